"""Networks built from configs that anyone may have written: settings and sizes are limited before memory is used."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from vidamodal.types import InputError

T = TypeVar("T")

MOST = 2**16
"""Largest integer in a model's config."""
MAY_BE_ZERO = {
    "attention", "horizon", "learning_regions", "learning_steps", "least_area", "most_layers", "overlap", "power",
    "tower",
}  # fmt: skip
"""Integers of models' configs for which 0 has a meaning; all others are at least 1."""
_SPARE = 2**24
"""Values that a network may have beside those in its files: tables that are computed."""
_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange)
_ERRORS = (ValueError, RuntimeError, ArithmeticError, TypeError, LookupError, AssertionError, MemoryError)
"""Exceptions that networks raise for settings that do not fit each other."""


def construct(make: Callable[[], T], where: str, what: str, files: Sequence[Path] | None = None) -> T:
    """Build a network.

    Args:
        make: Builds it.
        where: The file with its config, which begins error messages.
        what: What the file should describe, such as "a model".
        files: The safetensors files with its weights. A network with many more values than they hold is not built.

    Raises:
        InputError: The settings do not fit each other, or the network is larger than its files.
    """
    try:
        if files is None:
            return make()
        with _Budget(4 * sum(map(count_values, files)) + _SPARE):
            return make()
    except InputError:
        raise
    except _ERRORS as error:
        raise InputError(f"{where} does not describe {what}: {error}") from error


def check_numbers(config: Any, where: str) -> None:
    """Check the numbers in a model's config.

    Args:
        config: A dataclass; those within it are checked, too.
        where: Name of the config, which begins error messages.

    Raises:
        InputError: An integer is below 1 (or 0 where that has a meaning) or above 65,536, or a number is not finite.
    """
    for each in dataclasses.fields(config):
        name, value = f"{where}.{each.name}", getattr(config, each.name)
        for item in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(item):
                check_numbers(item, name)
            elif isinstance(item, float) and not math.isfinite(item):
                raise InputError(f"{name} must be a finite number, not {item}")
            elif type(item) is int and not (each.name not in MAY_BE_ZERO) <= item <= MOST:
                raise InputError(f"{name} must lie between {int(each.name not in MAY_BE_ZERO)} and {MOST}, not {item}")


def count_values(path: Path) -> int:
    """Return how many numbers a safetensors file lists, without reading them.

    Raises:
        InputError: The file is missing, damaged, or no regular file.
    """
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError, MemoryError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error


def check_regular(path: Path) -> None:
    """Raise InputError if a file is missing, or is a pipe or a device, whose reading may never end."""
    if not path.is_file():
        raise InputError(
            f"{path} cannot be read as safetensors: there is no regular file. Pass a complete model folder."
        )


class _Budget(TorchFunctionMode):
    """Refuses to create more values than a number."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.left, self.values = values, values

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _FACTORIES:
            shape = args[0] if args and isinstance(args[0], tuple | list | torch.Size) else args
            self.left -= math.prod(size for size in shape if isinstance(size, int))
            if self.left < 0:
                raise ValueError(f"it has more than {self.values} values, many more than the files with its weights")
        return function(*args, **(kwargs or {}))
