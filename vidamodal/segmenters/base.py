"""Interface and registry of segmenters, which find and complete the objects of single frames without masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.registry import find_classes
from vidamodal.types import FrameInstance, InputError


class FrameSegmenter(nn.Module, ABC):
    """Finds the objects of whole frames by itself, each with its whole mask and its layer. No frame knows of another.

    It resizes nothing: frames come on its canvas.
    """

    ID: ClassVar[str]
    """Name in configs and config.json."""
    config_class: ClassVar[type]
    """Dataclass of its settings."""
    config: Any

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """`config` is the dataclass named by `config_class`."""
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


def segmenter_ids() -> list[str]:
    """Return the ids of all segmenters."""
    return list(_segmenters())


def find_segmenter(identity: str) -> type[FrameSegmenter]:
    """Return the segmenter class with this id.

    Raises:
        InputError: If there is none.
    """
    segmenters = _segmenters()
    if identity not in segmenters:
        raise InputError(f"there is no segmenter {identity!r}. Choose one of {', '.join(segmenters)}.")
    return segmenters[identity]


def _segmenters() -> dict[str, type[FrameSegmenter]]:
    import vidamodal.segmenters

    return find_classes(vidamodal.segmenters, FrameSegmenter)  # type: ignore[type-abstract]
