"""Configurations: dataclasses built from plain values, YAML files that overlay a base, and the packaged configs."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vidamodal.errors import InputError

T = TypeVar("T")

BASE = "base"
"""Key of a YAML config that names the file it overlays, relative to itself."""


class Argument(str):
    """A value from a command line, which takes the type of the field that it sets."""

    __slots__ = ()


class Variants(ABC):
    """Base class of dataclasses that are chosen by one key of their data, such as ``family``."""

    discriminator: ClassVar[str]

    @classmethod
    @abstractmethod
    def variant(cls, name: str) -> type:
        """Return the dataclass of this name. Raises InputError if there is none."""


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a (nested) dataclass from plain values.

    Args:
        cls: The dataclass. Its annotations give the types: int, float, str, bool, Literal, unions, homogeneous tuples,
            dataclasses, and mappings, whose content is not checked.
        data: Plain values, as read from JSON or YAML. Omitted fields take their defaults.
        where: Name of the data for error messages, such as ``config.json: model``.

    Raises:
        InputError: If a key is unknown, or a value has the wrong type or is not one of the choices.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{where} must be a mapping, not {type(data).__name__}")
    if issubclass(cls, Variants):
        if cls.discriminator not in data:
            raise InputError(f"{where} has no key {cls.discriminator!r}. Add it to choose the kind of {where}.")
        cls = cls.variant(str(data[cls.discriminator]))
    hints = get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = sorted(map(str, set(data) - names))
    if unknown:
        raise InputError(f"{where} has an unknown key {unknown[0]!r}. Known keys: {', '.join(sorted(names))}.")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def check(config: T, where: str) -> T:
    """Return a dataclass after checking its values like those of a file; for configs that were built in Python."""
    return build(type(config), dataclasses.asdict(config), where)  # type: ignore[call-overload]


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Convert a value to the type ``kind``; raise InputError if it has another type."""
    origin, choices = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _convert_union(choices, value, where)
    if isinstance(value, Argument):
        value = _parse(kind, value, where)
    if origin is Literal:
        if value not in choices:
            raise InputError(f"{where} is {value!r}: choose {_alternatives(choices)}")
        return value
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, Variants)):
        return build(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _convert_tuple(choices, value, where)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, str, bool) and type(value) is not kind:
        raise InputError(f"{where} must be {kind.__name__}, not {value!r}")
    if kind is dict or origin is dict:
        return _plain_mapping(value, where)
    return value


def _convert_union(kinds: Sequence[Any], value: Any, where: str) -> Any:
    if isinstance(value, Argument) and NoneType in kinds and value in ("null", "None", "~"):
        value = None
    if value is None and NoneType in kinds:
        return None
    errors = []
    for kind in (kind for kind in kinds if kind is not NoneType):
        try:
            return _convert(kind, value, where)
        except InputError as error:
            errors.append(error)
    raise errors[0]


def _convert_tuple(kinds: Sequence[Any], value: Any, where: str) -> tuple[Any, ...]:
    """Convert a list to a tuple; all items have the same type."""
    if not isinstance(value, list | tuple):
        raise InputError(f"{where} must be a list, not {value!r}")
    if Ellipsis not in kinds and len(value) != len(kinds):
        raise InputError(f"{where} must be a list of {len(kinds)} values, not {value!r}")
    return tuple(_convert(kinds[0], item, f"{where}[{number}]") for number, item in enumerate(value))


def _plain_mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping, not {type(value).__name__}")
    return {key: _plain(item) for key, item in value.items()}


def _plain(value: Any) -> Any:
    """Return the content of a mapping whose types are not known yet, with command-line values as YAML reads them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return _parse(Any, value, "") if isinstance(value, Argument) else value


def _parse(kind: Any, text: Argument, where: str) -> Any:
    """Parse a command-line value as YAML; the value of a text field stays as it is."""
    if kind is str or (get_origin(kind) is Literal and isinstance(get_args(kind)[0], str)):
        return str(text)
    try:
        return parse_yaml(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; numbers such as 1e-3, which YAML 1.1 reads as text, are numbers."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{' '.join(str(error).split())}") from error
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _alternatives(choices: Iterable[Any]) -> str:
    *first, last = map(str, choices)
    return f"{', '.join(first)} or {last}" if first else last


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with an overlay applied to them.

    Mappings are merged key by key. A list of mappings with a ``kind`` has the kinds and the order of the overlay, and
    each is merged with the mapping of the same kind in the base. Any other value replaces that of the base.
    """
    merged = dict(base)
    for key, value in overlay.items():
        before = merged.get(key)
        if isinstance(value, Argument) and isinstance(before, Mapping | list):
            value = parse_yaml(value)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(before, value)
        elif isinstance(value, list) and all(isinstance(item, Mapping) and "kind" in item for item in value):
            kinds = {item["kind"]: item for item in before or ()} if _is_staged(before) else {}
            merged[key] = [merge(kinds.get(item["kind"], {}), item) for item in value]
        else:
            merged[key] = value
    return merged


def _is_staged(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) and "kind" in item for item in value)


def set_option(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set one nested value in place, such as ``model.network.chunk`` or ``stages.amodal.steps`` (stages by kind)."""
    head, _, rest = key.partition(".")
    inner = settings.get(head)
    if not rest:
        settings.update(merge(settings, {head: value}))
    elif _is_staged(inner):
        kind, _, rest = rest.partition(".")
        chosen = [item for item in inner or () if item["kind"] == kind]
        if not chosen or not rest:
            kinds = ", ".join(item["kind"] for item in inner or ())
            raise InputError(f"{head}.{kind}: the config has no such entry. Its {head} are: {kinds or 'none'}.")
        set_option(chosen[0], rest, value)
    else:
        settings[head] = dict(inner) if isinstance(inner, Mapping) else {}
        set_option(settings[head], rest, value)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML config, merged over the file that its key ``base`` names, if any.

    Raises:
        InputError: If a file cannot be read, is not a mapping, or is its own base.
    """
    return _load(path, ())


def _load(path: Path, within: tuple[Path, ...]) -> dict[str, Any]:
    import yaml

    try:
        if path.resolve() in within:
            raise InputError(f"{path} is its own base: remove the key {BASE!r} from one of the files")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a config: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a mapping of settings, not {type(data).__name__}")
    base = data.pop(BASE, None)
    return data if base is None else merge(_load(path.parent / str(base), (*within, path.resolve())), data)


def packaged_configs() -> Path:
    """Return the folder of the configs that come with the package, installed or in a source checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_config(name: str) -> list[Path]:
    """Return the files of a config: one, or the parts of a recipe in the order of their numbers.

    Args:
        name: A YAML file, or the name of a packaged config (``tiny/1-masks``) or recipe (``tiny``), or a folder of
            numbered files.

    Raises:
        InputError: If there is no such config.
    """
    file = Path(name)
    if file.suffix in (".yaml", ".yml") and file.is_file():
        return [file]
    root = packaged_configs()
    for path in (root / name, root / f"{name}.yaml", file):
        if path.is_file():
            return [path]
        if name and path.is_dir():
            return _parts(path, name)
    raise InputError(f"no config {name!r}: choose a YAML file or one of {', '.join(config_names())}")


def _parts(folder: Path, name: str) -> list[Path]:
    numbered = {int(path.stem.split("-")[0]): path for path in folder.glob("[0-9]*-*.yaml")}
    if not numbered:
        files = [f"{name}/{path.stem}" for path in sorted(folder.glob("*.yaml"))]
        raise InputError(
            f"{name}: no recipe (numbered files) in this folder. Choose {_alternatives(files or ['another folder'])}."
        )
    return [numbered[number] for number in sorted(numbered)]


def config_names() -> list[str]:
    """Return the names of the packaged recipes and configs for training."""
    root = packaged_configs()
    files = [*root.glob("*.yaml"), *root.glob("*/*.yaml")]
    kept = [path for path in files if not {"_base", "accelerate", "ablation"} & {*path.relative_to(root).parts}]
    recipes = {path.parent.name for path in kept if path.stem[0].isdigit()}
    return sorted(recipes | {str(path.relative_to(root).with_suffix("")) for path in kept})
