"""Hostile folders for the networks from outside: SAM 2, detectors, instance segmentation, depth and Stable Diffusion.

These are loaded by transformers and diffusers, which can also open pickles and import code that lies in a folder.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from scripts.dev.torture_checks.sandbox import Inputs, Payload
from tests.inference.depth.test_depth_model import save_depth_model
from tests.inference.hub_models import random_frame, save_instance_model, save_owlv2
from tests.inference.sam2_model import tiny_sam_model
from tests.segmenters.aisdiff.stable_diffusion import save_inpainting_model
from vidamodal.media.images import save_png

Damage = Callable[[Path, Path], None]
"""Damages the folder of a network. Called with the folder and the path of the canary."""


@dataclass(frozen=True)
class Network:
    """A kind of network: how a small one is saved, and the options that use the one in a folder."""

    save: Callable[[Path], object]
    options: Callable[[Path, Path], list[object]]
    """Called with the folder of the intact networks and with that of the hostile one."""

    def arguments(self, inputs: Inputs, intact: Path, hostile: Path, out: Path) -> list[object]:
        """Return the arguments of a prediction."""
        options = self.options(intact, hostile)
        video = inputs.video if "--masks" in options else intact / "frame.png"
        words = [inputs.masks if word == "MASKS" else word for word in options]
        return ["predict", video, "--out", out, "--model", inputs.model, "--offline", "--formats", "tracks", *words]


NETWORKS: dict[str, Network] = {
    "sam": Network(
        lambda folder: tiny_sam_model().save_pretrained(folder),
        lambda intact, hostile: ["--points", intact / "points.json", "--sam", hostile],
    ),
    "detector": Network(
        save_owlv2, lambda intact, hostile: ["--text", "mug.", "--sam", intact / "sam", "--detector", hostile]
    ),
    "detect": Network(
        lambda folder: save_instance_model(folder, "mask2former"), lambda _, hostile: ["--detect", hostile]
    ),
    "depth": Network(save_depth_model, lambda _, hostile: ["--masks", "MASKS", "--partial", "--depth", hostile]),
    "diffsp": Network(save_inpainting_model, lambda _, hostile: ["--detect", "aisdiff", "--diffsp", hostile]),
}
"""The networks by the option that names them."""


def save_networks(folder: Path) -> Path:
    """Save one network of each kind, a frame, and points in it; return the folder."""
    for name, network in NETWORKS.items():
        (folder / name).mkdir(parents=True)
        network.save(folder / name)
    save_png(folder / "frame.png", random_frame(0))
    points = {"objects": [{"id": 1, "frame": 0, "points": [[20, 20]], "labels": [1]}]}
    (folder / "points.json").write_text(json.dumps(points))
    return folder


def damage_network(intact: Path, hostile: Path, damage: Damage, canary: Path) -> None:
    """Copy a network, and damage each of its parts that has weights."""
    shutil.copytree(intact, hostile)
    for weights in sorted(hostile.rglob("*.safetensors")):
        damage(weights.parent, canary)


def _weights(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def _only_pickles(folder: Path, canary: Path) -> None:
    _weights(folder).unlink()
    for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.bin", "model.pt", "tf_model.h5"):
        (folder / name).write_bytes(pickle.dumps(Payload(canary)))


def _pickle_as_weights(folder: Path, canary: Path) -> None:
    _weights(folder).write_bytes(pickle.dumps(Payload(canary)))


def _index_of_pickles(folder: Path, canary: Path) -> None:
    """An index of weights in several files, which are pickles."""
    weights = _weights(folder)
    names = list(load_file(weights))
    weights.unlink()
    (folder / "evil.bin").write_bytes(pickle.dumps(Payload(canary)))
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "evil.bin")}
    (folder / f"{weights.name}.index.json").write_text(json.dumps(index))


def _change_json(folder: Path, change: Callable[[dict[str, Any]], Any], pattern: str = "config.json") -> None:
    for path in folder.glob(pattern):
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document))


def _code(folder: Path, canary: Path, **changes: Any) -> None:
    """Module beside the files that creates the canary when it is imported, and configs that ask for it."""
    (folder / "evil.py").write_text(f"import os\nos.system(\"touch '{canary}'\")\nclass Evil: pass\n")
    kinds = (
        "AutoConfig", "AutoModel", "AutoModelForDepthEstimation", "AutoModelForUniversalSegmentation",
        "AutoModelForZeroShotObjectDetection", "AutoImageProcessor", "AutoProcessor", "AutoTokenizer",
    )  # fmt: skip
    asked: dict[str, Any] = dict.fromkeys(kinds, "evil.Evil")
    asked["AutoTokenizer"] = ["evil.Evil", "evil.Evil"]
    _change_json(folder, lambda document: document.update(auto_map=asked, **changes), "*config.json")


def _unknown_classes(folder: Path, canary: Path) -> None:
    names = ("image_processor_type", "processor_class", "tokenizer_class", "_class_name", "feature_extractor_type")
    _code(folder, canary, model_type="evil", architectures=["evil.Evil"], **dict.fromkeys(names, "evil.Evil"))


def _write(content: bytes, folder: Path, _canary: Path) -> None:
    for path in folder.glob("*config.json"):
        path.write_bytes(content)


def _nan_weights(folder: Path, _canary: Path) -> None:
    path = _weights(folder)
    tensors = load_file(path)
    for tensor in tensors.values():
        if tensor.dtype.kind == "f":
            tensor[...] = float("nan")
    save_file(tensors, path, {"format": "pt"})


def _huge(folder: Path, _canary: Path) -> None:
    def grow(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: grow(inner) for key, inner in value.items()}
        return 10**9 if type(value) is int and value > 7 else value

    _change_json(folder, lambda document: document.update(grow(document)))


MUST_REFUSE: dict[str, Damage] = {
    "only pickles": _only_pickles,
    "a pickle as weights": _pickle_as_weights,
    "an index of pickles": _index_of_pickles,
    "NaN weights": _nan_weights,
    "sizes of 10^9": _huge,
    "nested lists": partial(_write, b"[" * 200_000 + b"]" * 200_000),
    "nested objects": partial(_write, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a list": partial(_write, b"[1]"),
    "no text": partial(_write, bytes(range(256))),
}
"""Damages after which a network is refused."""
MAY_ACCEPT: dict[str, Damage] = {"code beside it": _code, "classes in code beside it": _unknown_classes}
"""Damages after which a network may be loaded, because the library has an implementation."""
