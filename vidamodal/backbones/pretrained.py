"""Backbones of the package transformers, which is an extra, and the weights that they may begin with."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.utils
import torch
from safetensors import SafetensorError
from torch import nn

from vidamodal.hub import first_line
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


UNREADABLE = (OSError, ValueError, RuntimeError, ImportError, TypeError, LookupError, AttributeError, SafetensorError)
"""What the packages raise where a file is missing or damaged."""


def read_pretrained(kind: Any, name: str, where: str, example: str, **more: Any) -> Any:
    """A network of class ``kind`` with the weights of a folder or a name on the Hub, which may be offline.

    Safetensors only. InputError, which names the setting ``where`` and how to get ``example``, a name on the Hub, if
    they cannot be had or are not those of such a network: what is missing would be drawn at random.
    """
    if name.startswith((".", "/")) and not Path(name).is_dir():
        raise InputError(f"{where}: there is no folder {name}; {how_to_get(example, where)}")
    try:
        with one_line():
            network, told = kind.from_pretrained(
                name, use_safetensors=True, dtype=torch.float32, output_loading_info=True,
                ignore_mismatched_sizes=True, **more,
            )  # fmt: skip
    except UNREADABLE as error:
        raise InputError(
            f"{where}: {name!r} is neither a folder nor a model on the Hub with a {kind.__name__} in safetensors that "
            f"can be had now: {first_line(error)}; {how_to_get(example, where)}"
        ) from error
    lost = [key for key in told["missing_keys"] if not key.endswith("num_batches_tracked")]
    wrong = sorted([*lost, *(key for key, *_shapes in told["mismatched_keys"])])
    if wrong:
        raise InputError(
            f"{where}: the weights of {name!r} are not those of a {kind.__name__}: {wrong[0]} is missing or has "
            f"another shape; {how_to_get(example, where)}"
        )
    return network


def how_to_get(example: str, where: str) -> str:
    """What a line that names a missing model ends with."""
    return f"where there is a network, `hf download {example} --local-dir FOLDER` gets one: then give {where} FOLDER"


@contextmanager
def one_line() -> Iterator[None]:
    """Keep the packages' warnings, tables of weights that do not fit, tries of the Hub and bars off stderr: what is
    wrong is said in one line."""
    hub, hidden = huggingface_hub.utils.logging, huggingface_hub.utils.are_progress_bars_disabled()
    there = [sys.modules[name].utils.logging for name in ("transformers", "diffusers") if name in sys.modules]
    before, bars = [each.get_verbosity() for each in (hub, *there)], [each.is_progress_bar_enabled() for each in there]
    for each in (hub, *there):
        each.set_verbosity_error()
    for each in there:
        each.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip((hub, *there), before, strict=True):
            each.set_verbosity(level)
        for each, bar in zip(there, bars, strict=True):
            if bar:
                each.enable_progress_bar()
        if hidden:  # transformers switches the Hub's bars with its own
            huggingface_hub.utils.disable_progress_bars()


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights."""
    weights = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        weights.update(key.encode())
        weights.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return weights.hexdigest()


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
        self._weights: str | None = None

    @property
    def weights(self) -> str | None:
        """The fingerprint of the network; None until it is first needed."""
        if self._there is not None and self._weights is None:
            self._weights = fingerprint(self._there)
        return self._weights

    def on(self, device: torch.device) -> Any:
        """The network on a device; InputError if it cannot be had."""
        if self._there is None:
            self._there = self._read(self.name).eval().requires_grad_(False)
        return self._there.to(device)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Outside:
        return self


def outside_networks(model: nn.Module) -> list[dict[str, str]]:
    """What a model has used as it is: the last part of the name, and the fingerprint of the weights."""
    used = [each for part in model.modules() for each in vars(part).values() if isinstance(each, Outside)]
    return [{"name": Path(each.name).name, "weights": each.weights} for each in used if each.weights is not None]
