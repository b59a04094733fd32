"""What a head gets and gives. A head is one file in this package; see `load_head_class`, `load_segmenter_class`."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vidamodal.types import InputError

BOX_NUMBERS = 8


@dataclass(frozen=True)
class TrackCrops:
    """b tracks over t frames, each looked at in its stabilised window of s x s cells; masks are shares in [0, 1]."""

    visible: Float[Tensor, "b t s s"]
    """The object's visible mask; zero in frames where it is not known."""
    others: Float[Tensor, "b t s s"]
    """The other objects' visible masks: what may hide the object."""
    edges: Float[Tensor, "b t s s"]
    """Where visible masks of different objects, or an object and the rest, meet: the union alone hides who overlaps."""
    inside: Float[Tensor, "b t s s"]
    """What of a cell lies inside the image."""
    background: Float[Tensor, "b t s s"]
    """Known to show no object at all, so that nothing can be hidden there: zero where the scene is partial."""
    order: Float[Tensor, "b t s s"]
    """On the other objects' visible masks, how sure it is that they lie in front (1) or behind (-1)."""
    image: Float[Tensor, "b t c s s"]
    """Colours (red, green, blue) in [0, 1]; no channel (c = 0) where pixels are not read."""
    known: Float[Tensor, "b t"]
    """1 where the visible mask is known, else 0."""
    box: Float[Tensor, "b t n"]
    """Numbers of the window: see `vidamodal.data.crops.box_numbers`."""
    time: Float[Tensor, "b t"]
    """Frame numbers, relative to the middle of the clip."""
    valid: Bool[Tensor, "b t"]
    """False in frames that only fill up the batch."""

    def to(self, device: torch.device | str) -> TrackCrops:
        return TrackCrops(*(getattr(self, f.name).to(device) for f in fields(self)))

    def alone(self) -> TrackCrops:
        """Without what the other objects show."""
        nothing = torch.zeros_like(self.others)
        return replace(self, others=nothing, edges=nothing, background=nothing, order=nothing)

    def planes(self) -> Float[Tensor, "b t c s s"]:
        """The maps of masks as channels, the known flag as a constant one."""
        known = self.known[..., None, None].expand_as(self.visible)
        return torch.stack([self.visible, self.others, self.edges, self.inside, self.background, known], dim=2)


PLANES = 6


@dataclass(frozen=True)
class Noise:
    """Random numbers of tracks. Each generator serves equally many of them: a clip's in training, one in inference."""

    generators: tuple[torch.Generator, ...]

    @staticmethod
    def of(*seeds: int) -> Noise:
        """One generator for each seed."""
        return Noise(tuple(torch.Generator().manual_seed(seed) for seed in seeds))

    def uniform(self, like: Tensor, *shape: int) -> Float[Tensor, "b ..."]:
        """Between 0 and 1, (b, *shape) for the b tracks of ``like``, on its device."""
        return self._draw(torch.rand, like, shape)

    def normal(self, like: Tensor, *shape: int) -> Float[Tensor, "b ..."]:
        """Of mean 0 and deviation 1, likewise."""
        return self._draw(torch.randn, like, shape)

    def _draw(self, draw: Callable[..., Tensor], like: Tensor, shape: tuple[int, ...]) -> Tensor:
        tracks = len(like) // len(self.generators)
        if tracks * len(self.generators) != len(like):
            raise ValueError(f"{len(self.generators)} generators cannot share {len(like)} tracks")
        return torch.cat([draw(tracks, *shape, generator=g) for g in self.generators]).to(like.device)


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


@dataclass(frozen=True)
class FrameInstance:
    """An object that a segmenter found in a frame, on the segmenter's canvas of s x s cells."""

    visible: Bool[np.ndarray, "s s"]
    amodal: Bool[np.ndarray, "s s"]
    layer: int
    """1 in front, then one more for what that hides."""
    label: str | None
    score: float
    """Expected IoU of the amodal mask under the segmenter's own probabilities."""
    appearance: Float[np.ndarray, " d"] | None = None
    """What it looks like, of length 1: the same object has nearly the same in other frames. None: not told."""


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
