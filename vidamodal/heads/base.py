"""What a head gets and gives. A head is one file in this package; see `load_head_class`, `load_segmenter_class`."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.data.crops import TrackCrops
from vidamodal.noise import Noise
from vidamodal.types import FrameInstance, InputError


@dataclass(frozen=True)
class HeadInputs:
    """What a framewise head sees."""

    crops: TrackCrops
    coarse: Float[Tensor, "b t s s"]
    """Logits of the coarse amodal mask."""
    features: Float[Tensor, "b t c g g"]
    """The transformer's features on the token grid; no channel (c = 0) where the head stands alone."""
    noise: Noise
    """What a head draws from, if it draws at all."""


class FramewiseHead(nn.Module, ABC):
    """Refines the coarse mask frame by frame: amodal logits (b, t, s, s) out. Whatever is temporal came before it."""

    draws = False
    """Whether what it gives depends on its noise: then hypotheses are drawn from it."""
    pixels = False
    """Whether it reads the window's colours."""
    order = False
    """Whether it reads who lies in front of whom."""

    @abstractmethod
    def __init__(self, config: Any, crop: int, channels: int) -> None:
        """Build for windows of `crop` cells and `channels` features; `config` is the dataclass named by `Config`.

        No channels: the head stands alone, without a transformer, and the coarse mask is the visible one.
        """
        super().__init__()

    @abstractmethod
    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]: ...

    def learn(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Logits to learn from; the truth is the amodal mask, which a diffusion head spoils and gives back."""
        logits: Tensor = self(inputs)
        return logits

    def loss(
        self, _logits: Float[Tensor, "b t s s"], _truth: Float[Tensor, "b t s s"], _inside: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t"] | None:
        """A loss of its own for each object-frame, in place of BCE + Dice; None for those."""
        return None

    def load_pretrained(self) -> None:  # noqa: B027  (few heads have any)
        """Put weights in that its config names; InputError if they cannot be had."""


class FrameSegmenter(nn.Module, ABC):
    """Finds the objects of whole frames by itself, each with its whole mask and its layer. No frame knows of another.

    It resizes nothing: frames come on its canvas.
    """

    config: Any

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """`config` is the dataclass named by `SegmenterConfig`."""
        super().__init__()

    @property
    @abstractmethod
    def size(self) -> int:
        """Cells a side of the canvas."""

    def load_pretrained(self) -> None:  # noqa: B027  (few segmenters have any)
        """Put weights in that its config names; InputError if they cannot be had."""

    def pass_through(self, _new: set[str]) -> set[str]:
        """Make blocks that an earlier model lacks add nothing at first, of those whose weights are all in `new`.

        Returns the names of their weights; a segmenter that cannot grow has none.
        """
        return set()

    @abstractmethod
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        """The instances of each frame, those in front first; colours in [0, 1].

        A frame's seed says what is drawn for it: frames with the same one share their noise. What is found in a frame
        depends on nothing else that is given with it.
        """


def head_names() -> list[str]:
    """The heads there are: the modules of this package but this one and those that begin with an underscore."""
    import vidamodal.heads as package

    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if name != "base" and not name.startswith("_"))


def load_head_class(name: str) -> tuple[type[FramewiseHead], type]:
    """The head class and its config dataclass (``Head`` and ``Config`` of the module); InputError if there is none."""
    module = _module(name)
    return module.Head, module.Config


def load_segmenter_class(name: str) -> tuple[type[FrameSegmenter], type]:
    """The segmenter and its config dataclass (``Segmenter`` and ``SegmenterConfig`` of a head's module).

    InputError if there is no such head, or if it segments no bare frames.
    """
    module = _module(name)
    if not hasattr(module, "Segmenter"):
        able = [each for each in head_names() if hasattr(_module(each), "Segmenter")]
        raise InputError(f"the head {name!r} segments no bare frames: choose one of {', '.join(able)}, or give masks")
    return module.Segmenter, module.SegmenterConfig


def _module(name: str) -> ModuleType:
    if name not in head_names():
        raise InputError(f"unknown head {name!r}: choose one of {', '.join(head_names())}")
    return importlib.import_module(f"vidamodal.heads.{name}")
