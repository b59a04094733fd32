"""Backbones of the package transformers, which is an extra, and the weights that they may begin with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidamodal.types import InputError


def transformers(who: str, extra: str) -> Any:
    """The package; InputError, which says who needs it and which extra brings it, where it is not installed."""
    try:
        import transformers as library  # slow to import
    except ImportError as error:
        raise InputError(f"{who} needs the package transformers: pip install 'vidamodal[{extra}]'") from error
    return library


def diffusers(who: str) -> Any:
    """The package; InputError, which says who needs it, where it is not installed."""
    try:
        import diffusers as library  # an extra, and slow to import
    except ImportError as error:
        raise InputError(f"{who} needs the package diffusers: pip install 'vidamodal[diffusion]'") from error
    return library


def read_pretrained(kind: Any, name: str, where: str, **more: Any) -> Any:
    """A backbone of class ``kind`` with the weights of a folder or a name on the Hub, which may be offline.

    Safetensors only. InputError, which names the setting ``where``, if they cannot be had.
    """
    if name.startswith((".", "/")) and not Path(name).is_dir():
        raise InputError(f"{where}: there is no folder {name}")
    try:
        return kind.from_pretrained(name, use_safetensors=True, dtype=torch.float32, **more)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise InputError(
            f"{where}: {name!r} is neither a folder nor a model on the Hub with a {kind.__name__} in safetensors that "
            f"can be had now: {str(error).strip().splitlines()[0]}"
        ) from error


def take_weights(mine: nn.Module, theirs: nn.Module, name: str, where: str) -> None:
    """Put the weights of one backbone into another; InputError unless every name and shape fits."""
    wanted, given = mine.state_dict(), theirs.state_dict()
    for key in sorted(wanted.keys() | given.keys()):
        if key not in wanted or key not in given or wanted[key].shape != given[key].shape:
            raise InputError(f"{where}: {name!r} does not fit the config at {key}")
    mine.load_state_dict(given)


class Outside:
    """A network that a model uses as it is: read when it is first needed, in no state dict, never trained.

    Copies of the model share it.
    """

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        """``read`` gives the network of a folder or a name on the Hub."""
        self.name, self._read = name, read
        self._there: Any = None

    def on(self, device: torch.device) -> Any:
        """The network on a device; InputError if it cannot be had."""
        if self._there is None:
            self._there = self._read(self.name).eval().requires_grad_(False)
        return self._there.to(device)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Outside:
        return self
