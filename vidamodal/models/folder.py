"""Model folders: model.safetensors, config.json, a model card (README.md) and heads/<id>.safetensors.

Loading is strict: every weight must fit config.json. Segmenters of frames are folders without heads.
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

from vidamodal.backbones.pretrained import check_finite
from vidamodal.config import build
from vidamodal.heads.base import find_head
from vidamodal.hub import find_model
from vidamodal.media.files import atomic_file
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.construction import check_numbers, check_regular, construct
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.segmenters.base import FrameSegmenter, find_segmenter
from vidamodal.types import InputError

FORMAT = "vidamodal-model"
DEFAULT = "tiny"
"""Name of the model that is used by default."""
SEGMENTER = "segmenter"
"""Family of models that need no masks, in config.json."""
Model = AmodalModel | C2F | FramewiseModel
"""Models that complete given masks. The family in config.json names the class; `AmodalModel` has none."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, and its identity for run.json."""

    model: Model
    name: str
    """Name of its folder."""
    config_hash: str
    weights_hash: str

    @property
    def head(self) -> str:
        """Id of the head in use."""
        return self.model.config.head


@dataclasses.dataclass(frozen=True)
class LoadedSegmenter:
    """A segmenter in evaluation mode, and its identity for run.json."""

    model: FrameSegmenter
    head: str
    """Id of the segmenter."""
    name: str
    """Name of its folder."""
    config_hash: str
    weights_hash: str


def save_model(folder: Path, model: Model, training: Mapping[str, Any], card: str) -> None:
    """Write a model folder.

    Args:
        folder: Where to write. Files of an earlier model are replaced.
        model: The model. Its head, if it has one, is written to a separate file, so that others can be added.
        training: Plain values that describe the training, kept in config.json.
        card: Text of the model card.
    """
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
    """Write the folder of a segmenter; see `save_model`."""
    _write(folder / "model.safetensors", save(_weights(model)))
    _write(folder / "README.md", card.encode())
    settings = {"head": model.ID, "settings": dataclasses.asdict(model.config)}
    config = {"format": FORMAT, "version": 1, "family": SEGMENTER, "segmenter": settings, "training": dict(training)}
    _write_config(folder, config)


def add_head(folder: Path, source: Path, model: AmodalModel, training: Mapping[str, Any]) -> None:
    """Write a copy of a model folder with a further head. The default head stays the same.

    A head of the same id is replaced, and the temperature that was fitted to it is removed.

    Args:
        folder: Where to write.
        source: The model folder to copy.
        model: A model with the new head.
        training: Plain values that describe the training of the head, kept in config.json.
    """
    config, name = json.loads((source / "config.json").read_bytes()), model.config.head
    heads = [path for path in sorted(source.glob("heads/*.safetensors")) if path.stem != name]
    for path in (source / "model.safetensors", source / "README.md", *heads):
        _write(folder / path.relative_to(source), path.read_bytes())
    _write(folder / "heads" / f"{name}.safetensors", save(_weights(model.head)))
    config["heads"][name] = dataclasses.asdict(model.head_config)
    if name == config["model"].get("head", ModelConfig.head):
        config["model"]["temperature"] = 1.0
    config.get("temperatures", {}).pop(name, None)
    config["heads_training"] = {**config.get("heads_training", {}), name: dict(training)}
    _write_config(folder, config)


def load_model(name: str = DEFAULT, head: str | None = None) -> LoadedModel:
    """Load a model that completes given masks.

    Args:
        name: Folder, bundled name, or ``owner/name`` on the Hugging Face Hub.
        head: Id of one of its heads; by default the one that config.json names.

    Returns:
        The model in evaluation mode, with the hashes of its config and weights.

    Raises:
        InputError: If there is no such model or head, or if the weights do not fit config.json.
    """
    folder = find_model(name)
    path = folder / "config.json"
    raw, data = _read_config(path)
    model = _build_model(folder, data, head)
    check_settings(model.config, str(path))
    digest = _read_weights(model, folder, None if isinstance(model, C2F) else model.config.head)
    return LoadedModel(model.eval(), folder.name, hashlib.sha256(raw).hexdigest(), digest)


def is_segmenter(name: str) -> bool:
    """Return whether a model is a segmenter of frames.

    Raises:
        InputError: If there is no model of this name.
    """
    return _read_config(find_model(name) / "config.json")[1].get("family") == SEGMENTER


def load_segmenter(name: str, identity: str | None = None) -> LoadedSegmenter:
    """Load a segmenter of frames.

    Args:
        name: Folder, bundled name, or ``owner/name`` on the Hugging Face Hub.
        identity: Id of the segmenter that is expected; by default any.

    Raises:
        InputError: If there is no such model, if it is no segmenter or another one, or if the weights do not fit
            config.json.
    """
    folder = find_model(name)
    path = folder / "config.json"
    raw, data = _read_config(path)
    section = data.get("segmenter")
    if data.get("family") != SEGMENTER or not isinstance(section, dict) or set(section) != {"head", "settings"}:
        raise InputError(f"{folder} is not a segmenter of frames. Pass visible masks, or choose another model.")
    if identity not in (None, section["head"]):
        raise InputError(f"{folder} is the segmenter {section['head']!r}, not {identity!r}. Choose another model.")
    kind = find_segmenter(str(section["head"]))
    config: Any = build(kind.config_class, section["settings"], f"{path}: segmenter.settings")
    check_numbers(config, f"{path}: segmenter.settings")
    model = construct(lambda: kind(config), str(path), "a segmenter", _weight_files(folder, None))
    digest = _read_weights(model, folder, None)
    return LoadedSegmenter(model.eval(), section["head"], folder.name, hashlib.sha256(raw).hexdigest(), digest)


def check_settings(config: ModelConfig | C2FConfig | FramewiseConfig, where: str) -> None:
    """Raise InputError for settings that prediction cannot work with; ``where`` begins the message."""
    if not 0 <= config.overlap < config.chunk:
        raise InputError(f"{where}: model.overlap must be less than model.chunk and at least 0, not {config.overlap}")
    if not 0 < config.temperature < math.inf:
        raise InputError(f"{where}: model.temperature must be above 0, not {config.temperature}")
    if not 0 < config.presence_threshold < 1:
        raise InputError(f"{where}: model.presence_threshold must lie between 0 and 1, not {config.presence_threshold}")
    if not 0 < config.partial.temperature < math.inf:
        raise InputError(f"{where}: model.partial.temperature must be above 0, not {config.partial.temperature}")


def load_weights(
    model: Model | FrameSegmenter, state: Mapping[str, torch.Tensor], source: str, fresh: Set[str] = frozenset()
) -> None:
    """Load weights into a model.

    Args:
        model: The model.
        state: The weights by name.
        source: Where they come from, for error messages.
        fresh: Names of weights that the state lacks and that keep their values.

    Raises:
        InputError: If a name or a shape does not fit, or a weight is not finite.
    """
    expected = model.state_dict()
    state = {name: expected[name] for name in fresh} | dict(state)
    for name in sorted(expected.keys() | state.keys()):
        if name not in state:
            raise InputError(f"{source}: the weights lack {name}, which the config requires")
        if name not in expected:
            raise InputError(f"{source}: the weights contain {name}, which a model of this config does not have")
        if expected[name].shape != state[name].shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, but the config requires "
                f"{tuple(expected[name].shape)}"
            )
        check_finite(name, state[name], source)
    model.load_state_dict(state, strict=True)


def _build_model(folder: Path, data: Mapping[str, Any], head: str | None) -> Model:
    """Build a model, with random weights, from config.json."""
    path, family = folder / "config.json", data.get("family")
    section, where = data.get("model", {}), f"{path}: model"
    if family == SEGMENTER:
        raise InputError(
            f"{folder} is a segmenter, which detects the objects itself. Pass no masks, or use it as the detector to "
            "have its masks completed."
        )
    if family == "c2f":
        c2f = build(C2FConfig, section, where)
        if head not in (None, c2f.head):
            raise InputError(
                f"{folder} is a C2F-Seg model, which has its own refinement. Choose no head, not {head!r}."
            )
        check_numbers(c2f, where)
        return construct(lambda: C2F(c2f), str(path), "a model", _weight_files(folder, None))
    if family not in (None, "framewise"):
        raise InputError(f"{path}: there is no model family {family!r}")
    config: ModelConfig | FramewiseConfig
    if family == "framewise":
        config = build(FramewiseConfig, section, where)
        config = config if head is None else dataclasses.replace(config, head=head)
    else:
        config = build(ModelConfig, section, where)
        if head not in (None, config.head):  # the temperature in `model` is that of the default head
            config = dataclasses.replace(config, head=head, temperature=_temperature(path, data, str(head)))
    return _build_with_head(folder, config, _head_config(folder, data, config.head))


def _build_with_head(folder: Path, config: ModelConfig | FramewiseConfig, head: Any) -> Model:
    path = folder / "config.json"
    check_numbers(config, f"{path}: model")
    check_numbers(head, f"{path}: heads.{config.head}")

    def make() -> Model:
        return FramewiseModel(config, head) if isinstance(config, FramewiseConfig) else AmodalModel(config, head)

    return construct(make, str(path), "a model", _weight_files(folder, config.head))


def _temperature(path: Path, data: Mapping[str, Any], head: str) -> float:
    temperatures = data.get("temperatures", {})
    value = temperatures.get(head, 1.0) if isinstance(temperatures, dict) else None
    if type(value) is not float:
        raise InputError(f"{path}: temperatures must be a mapping from heads to numbers")
    return value


def _head_config(folder: Path, data: Mapping[str, Any], head: str) -> Any:
    path, heads = folder / "config.json", data.get("heads")
    kind = find_head(head)
    if not isinstance(heads, dict):
        raise InputError(f"{path}: heads must be a mapping from names to settings")
    if head not in heads:
        raise InputError(f"{folder} has no head {head!r}. It has {', '.join(sorted(heads)) or 'none'}.")
    return build(kind.config_class, heads[head], f"{path}: heads.{head}")


def _read_config(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        raw = path.read_bytes()
        data = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a model's config: {error}. Pass a model folder or a model's name."
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != 1:
        raise InputError(f"{path} is not the config of a {FORMAT} (version 1). Pass a model folder.")
    return raw, data


def _read_weights(model: Model | FrameSegmenter, folder: Path, head: str | None) -> str:
    """Load the weights of a folder, with those of a head, and return their hash."""
    digest, state = hashlib.sha256(), {}
    for path, prefix in zip(_weight_files(folder, head), ("", "head."), strict=False):
        check_regular(path)
        try:
            state.update({prefix + name: value for name, value in load_file(path).items()})
            digest.update(path.read_bytes())
        except (OSError, SafetensorError, MemoryError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    load_weights(model, state, str(folder))
    return digest.hexdigest()


def _weight_files(folder: Path, head: str | None) -> list[Path]:
    """Return the file of a model's weights, and that of a head."""
    heads = [] if head is None else [folder / "heads" / f"{head}.safetensors"]
    return [folder / "model.safetensors", *heads]


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    _write(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as staged:
        staged.write_bytes(content)
