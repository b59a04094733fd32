"""Model folders: model.safetensors + config.json + heads/<name>.safetensors, loaded strictly or not at all.

A segmenter of bare frames is a folder without heads, of a family of its own.

The only module under models/ that touches files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from vidamodal.config import build
from vidamodal.heads.base import find_head
from vidamodal.hub import find_model
from vidamodal.media.files import atomic_file
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.segmenters.base import FrameSegmenter, find_segmenter
from vidamodal.types import InputError

FORMAT = "vidamodal-model"
DEFAULT = "tiny"
SEGMENTER = "segmenter"
"""The family of models that need no masks."""
Model = AmodalModel | C2F | FramewiseModel
"""The families of models: config.json says which, and nothing where it is ours."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict, and what run.json says of it."""

    model: Model
    name: str
    config_hash: str
    weights_hash: str

    @property
    def head(self) -> str:
        """The head it is used with."""
        return self.model.config.head


@dataclasses.dataclass(frozen=True)
class LoadedSegmenter:
    """A segmenter of bare frames, ready to be used, and what run.json says of it."""

    model: FrameSegmenter
    head: str
    name: str
    config_hash: str
    weights_hash: str


def save_model(folder: Path, model: Model, training: Mapping[str, Any], card: str) -> None:
    """Write a model folder. The head lies in a file of its own, so that others can be added beside it; C2F has none."""
    config = {"format": FORMAT, "version": 1, "model": dataclasses.asdict(model.config), "training": dict(training)}
    if isinstance(model, C2F):
        config["family"] = "c2f"
    else:
        if isinstance(model, FramewiseModel):
            config["family"] = "framewise"
        config["heads"] = {model.config.head: dataclasses.asdict(model.head_config)}
        _write(folder / "heads" / f"{model.config.head}.safetensors", save(_weights(model.head)))
    body = {name: value for name, value in _weights(model).items() if not name.startswith("head.")}
    _write(folder / "model.safetensors", save(body))
    _write(folder / "README.md", card.encode())
    _write_config(folder, config)


def save_segmenter(folder: Path, model: FrameSegmenter, training: Mapping[str, Any], card: str) -> None:
    """Write the folder of a segmenter, which is found again by its id."""
    _write(folder / "model.safetensors", save(_weights(model)))
    _write(folder / "README.md", card.encode())
    settings = {"head": model.ID, "settings": dataclasses.asdict(model.config)}
    config = {"format": FORMAT, "version": 1, "family": SEGMENTER, "segmenter": settings, "training": dict(training)}
    _write_config(folder, config)


def add_head(folder: Path, whole: Path, model: AmodalModel, training: Mapping[str, Any]) -> None:
    """Write the model folder ``whole`` again into ``folder``, with the head of ``model`` beside those it has.

    The model's own head stays the one it is used with. ``training`` is kept as that of the new head.
    """
    config, name = json.loads((whole / "config.json").read_bytes()), model.config.head
    heads = [path for path in sorted(whole.glob("heads/*.safetensors")) if path.stem != name]
    for path in (whole / "model.safetensors", whole / "README.md", *heads):
        _write(folder / path.relative_to(whole), path.read_bytes())
    _write(folder / "heads" / f"{name}.safetensors", save(_weights(model.head)))
    config["heads"][name] = dataclasses.asdict(model.head_config)
    config["heads_training"] = {**config.get("heads_training", {}), name: dict(training)}
    _write_config(folder, config)


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    _write(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as beside:
        beside.write_bytes(content)


def load_model(name: str = DEFAULT, head: str | None = None) -> LoadedModel:
    """Load a model by folder or name, with one of its heads. InputError unless everything fits its config exactly."""
    folder = find_model(name)
    config_path = folder / "config.json"
    raw, data = _read_config(config_path)
    model: Model
    weights = [(folder / "model.safetensors", "")]
    try:
        if data.get("family") == "c2f":
            model = C2F(build(C2FConfig, data.get("model", {}), f"{config_path}: model"))
            if head not in (None, model.config.head):
                raise InputError(f"{folder} is a C2F-Seg model, which refines by itself: leave out the head {head!r}")
        elif data.get("family") == "framewise":
            model, weights = _alone(folder, data, head)
        elif data.get("family") == SEGMENTER:
            raise InputError(
                f"{folder} is a segmenter, which finds the objects by itself: leave out the masks, or "
                "whatever else gives them, or name it with --detect to have its masks completed"
            )
        elif "family" in data:
            raise InputError(f"{config_path}: there is no family of models {data['family']!r}")
        else:
            model, weights = _with_head(folder, data, head)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{config_path} does not describe a model: {error}") from error
    check_settings(model.config, str(config_path))
    digest = _read_weights(model, folder, weights)
    return LoadedModel(model.eval(), folder.name, hashlib.sha256(raw).hexdigest(), digest)


def is_segmenter(name: str) -> bool:
    """Whether a model that is there, by folder or bundled, is a segmenter. InputError if there is none of this name."""
    return _read_config(find_model(name) / "config.json")[1].get("family") == SEGMENTER


def load_segmenter(name: str, head: str | None = None) -> LoadedSegmenter:
    """Load a segmenter of bare frames by folder or name, like `load_model`; ``head``: whose it must be."""
    folder = find_model(name)
    config_path = folder / "config.json"
    raw, data = _read_config(config_path)
    told = data.get("segmenter")
    if data.get("family") != SEGMENTER or not isinstance(told, dict) or set(told) != {"head", "settings"}:
        raise InputError(f"{folder} is not a segmenter of bare frames: give visible masks, or another model")
    if head not in (None, told["head"]):
        raise InputError(f"{folder} is a segmenter of the head {told['head']!r}, not of {head!r}")
    kind = find_segmenter(str(told["head"]))
    try:
        model = kind(build(kind.config_class, told["settings"], f"{config_path}: segmenter.settings"))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{config_path} does not describe a segmenter: {error}") from error
    digest = _read_weights(model, folder, [(folder / "model.safetensors", "")])
    return LoadedSegmenter(model.eval(), told["head"], folder.name, hashlib.sha256(raw).hexdigest(), digest)


def _read_config(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        raw = path.read_bytes()
        data = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a model's config: {error}; give the folder that a training wrote, or "
            "a model's name"
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != 1:
        raise InputError(f"{path} is not the config of a {FORMAT} of version 1")
    return raw, data


def _read_weights(model: Model | FrameSegmenter, folder: Path, files: list[tuple[Path, str]]) -> str:
    """Put the weights of files, whose names get prefixes, into a model; their hash."""
    digest, state = hashlib.sha256(), {}
    for path, prefix in files:
        try:
            state.update({prefix + k: v for k, v in load_file(path).items()})
            digest.update(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    load_weights(model, state, str(folder))
    return digest.hexdigest()


def check_settings(config: ModelConfig | C2FConfig | FramewiseConfig, where: str) -> None:
    """InputError, naming ``where`` they stand, for settings of a model that prediction cannot work with."""
    if not 0 <= config.overlap < config.chunk:
        raise InputError(f"{where}: model.overlap must be less than model.chunk, and neither below 0")
    if not 0 < config.temperature < math.inf:
        raise InputError(f"{where}: model.temperature must be above 0, not {config.temperature}")


def _with_head(folder: Path, data: Mapping[str, Any], head: str | None) -> tuple[AmodalModel, list[tuple[Path, str]]]:
    """A model of our own family with one of its heads, and the files of their weights with their prefixes."""
    where = folder / "config.json"
    config = build(ModelConfig, data.get("model", {}), f"{where}: model")
    if head is not None and head != config.head:  # the model's temperature is that of its own head
        temperatures = data.get("temperatures", {})
        if not isinstance(temperatures, dict) or type(temperatures.get(head, 1.0)) is not float:
            raise InputError(f"{where}: temperatures must be a mapping from heads to numbers")
        config = dataclasses.replace(config, head=head, temperature=temperatures.get(head, 1.0))
    return AmodalModel(config, _head_config(folder, data, config.head)), _head_files(folder, config.head)


def _alone(folder: Path, data: Mapping[str, Any], head: str | None) -> tuple[FramewiseModel, list[tuple[Path, str]]]:
    """A head that stands alone, and the files of its weights."""
    config = build(FramewiseConfig, data.get("model", {}), f"{folder / 'config.json'}: model")
    if head is not None:
        config = dataclasses.replace(config, head=head)
    return FramewiseModel(config, _head_config(folder, data, config.head)), _head_files(folder, config.head)


def _head_config(folder: Path, data: Mapping[str, Any], head: str) -> Any:
    where, heads = folder / "config.json", data.get("heads")
    kind = find_head(head)
    if not isinstance(heads, dict):
        raise InputError(f"{where}: heads must be a mapping from names to settings")
    if head not in heads:
        raise InputError(f"{folder} has no head {head!r}: it holds {', '.join(sorted(heads)) or 'none'}")
    return build(kind.config_class, heads[head], f"{where}: heads.{head}")


def _head_files(folder: Path, head: str) -> list[tuple[Path, str]]:
    return [(folder / "model.safetensors", ""), (folder / "heads" / f"{head}.safetensors", "head.")]


def load_weights(
    model: Model | FrameSegmenter, state: Mapping[str, torch.Tensor], folder: str, fresh: Set[str] = frozenset()
) -> None:
    """Put weights that come from ``folder`` into a model; InputError unless every name and shape fits. Those that are
    ``fresh`` stay as they are in the model."""
    wanted = model.state_dict()
    state = {name: wanted[name] for name in fresh} | dict(state)
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state:
            raise InputError(f"{folder}: the weights lack {name}, which config.json asks for")
        if name not in wanted:
            raise InputError(f"{folder}: the weights hold {name}, for which config.json has no place")
        if wanted[name].shape != state[name].shape:
            raise InputError(
                f"{folder}: {name} has shape {tuple(state[name].shape)}, but config.json asks for "
                f"{tuple(wanted[name].shape)}"
            )
    model.load_state_dict(state, strict=True)
