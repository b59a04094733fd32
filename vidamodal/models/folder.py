"""Model folders: model.safetensors + config.json + heads/<name>.safetensors, loaded strictly or not at all.

The only module under models/ that touches files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vidamodal.heads.base import head_names, load_head_class
from vidamodal.media.files import whole_file
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.types import InputError

FORMAT = "vidamodal-model"
DEFAULT = "tiny"
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict, and what run.json says of it."""

    model: AmodalModel
    name: str
    config_hash: str
    weights_hash: str


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """A (nested) dataclass from plain values; InputError for unknown keys and wrong types. Types come from ``cls``."""
    if not isinstance(data, Mapping):
        raise InputError(f"{where} must be a mapping, not {type(data).__name__}")
    hints = get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - names)
    if unknown:
        raise InputError(f"{where} has an unknown key {unknown[0]!r}: it may hold {', '.join(sorted(names))}")
    values = {}
    for name, value in data.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            value = build(kind, value, f"{where}.{name}")  # type: ignore[arg-type]
        elif kind is float and type(value) is int:
            value = float(value)
        elif kind in (int, float, str, bool) and type(value) is not kind:
            raise InputError(f"{where}.{name} must be {kind.__name__}, not {value!r}")
        values[name] = value
    return cls(**values)


def save_model(folder: Path, model: AmodalModel, head_config: Any, training: Mapping[str, Any], card: str) -> None:
    """Write a model folder. The head lies in a file of its own, so that others can be added beside it."""
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    body = {k: v for k, v in state.items() if not k.startswith("head.")}
    head = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
    config = {
        "format": FORMAT,
        "version": 1,
        "model": dataclasses.asdict(model.config),
        "heads": {model.config.head: dataclasses.asdict(head_config)},
        "training": dict(training),
    }
    _write(folder / "heads" / f"{model.config.head}.safetensors", save(head))
    _write(folder / "model.safetensors", save(body))
    _write(folder / "README.md", card.encode())
    _write(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as beside:
        beside.write_bytes(content)


def find_model(name: str) -> Path:
    """The folder of a model: a path, else a bundled name, else a repository on the Hub (which may be offline)."""
    if Path(name).is_dir():
        return Path(name)
    bundled = Path(str(resources.files("vidamodal") / "assets" / "models"))
    names = sorted(p.name for p in bundled.iterdir() if p.is_dir()) if bundled.is_dir() else []
    if name in names:
        return bundled / name
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise InputError(
            f"no model {name!r}: give a folder, a bundled name ({', '.join(names)}) or owner/name on the Hub"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "config.json", "heads/*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"model {name!r} is neither a folder nor bundled ({', '.join(names)}), and the Hub did not give it: "
            f"{str(error).splitlines()[0]}"
        ) from error


def load_model(name: str = DEFAULT, head: str | None = None) -> LoadedModel:
    """Load a model by folder or name, with one of its heads. InputError unless everything fits its config exactly."""
    folder = find_model(name)
    config_path = folder / "config.json"
    try:
        raw = config_path.read_bytes()
        data = json.loads(raw)
    except (OSError, ValueError) as error:
        raise InputError(f"{config_path} cannot be read as a model's config: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != 1:
        raise InputError(f"{config_path} is not the config of a {FORMAT} of version 1")
    config = build(ModelConfig, data.get("model", {}), f"{config_path}: model")
    if not 0 <= config.overlap < config.chunk:
        raise InputError(f"{config_path}: model.overlap must be less than model.chunk, and neither below 0")
    if head is not None:
        config = dataclasses.replace(config, head=head)
    if config.head not in head_names():
        raise InputError(f"unknown head {config.head!r}: choose one of {', '.join(head_names())}")
    heads = data.get("heads")
    if not isinstance(heads, dict):
        raise InputError(f"{config_path}: heads must be a mapping from names to settings")
    if config.head not in heads:
        raise InputError(f"{folder} has no head {config.head!r}: it holds {', '.join(sorted(heads)) or 'none'}")
    head_config: Any = build(load_head_class(config.head)[1], heads[config.head], f"{config_path}: heads.{config.head}")
    try:
        model = AmodalModel(config, head_config)
    except ValueError as error:
        raise InputError(f"{config_path} does not describe a model: {error}") from error
    digest = hashlib.sha256()
    state = {}
    for path, prefix in (
        (folder / "model.safetensors", ""),
        (folder / "heads" / f"{config.head}.safetensors", "head."),
    ):
        try:
            state.update({prefix + k: v for k, v in load_file(path).items()})
            digest.update(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    load_weights(model, state, str(folder))
    return LoadedModel(model.eval(), folder.name, hashlib.sha256(raw).hexdigest(), digest.hexdigest())


def load_weights(model: AmodalModel, state: Mapping[str, torch.Tensor], folder: str) -> None:
    """Put weights that come from ``folder`` into a model; InputError unless every name and shape fits."""
    wanted = model.state_dict()
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
    model.load_state_dict(dict(state), strict=True)
