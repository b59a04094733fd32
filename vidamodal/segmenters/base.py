"""Interface and registry of segmenters, which find and complete the objects of single frames without masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.registry import choose, find_classes
from vidamodal.types import FrameInstance


class FrameSegmenter(nn.Module, ABC):
    """Base class of segmenters. A segmenter finds and completes the objects of a frame, independently of other frames.

    A module or subpackage of this package registers the segmenter that it defines or imports: see `find_segmenter`.
    """

    ID: ClassVar[str]
    """Name of the segmenter in configs and in config.json."""
    config_class: ClassVar[type]
    """Dataclass of the segmenter's settings."""
    config: Any
    """Settings, an instance of ``config_class``."""

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """Build the segmenter from its settings."""
        super().__init__()

    @property
    @abstractmethod
    def size(self) -> int:
        """Cells per side of the canvas to which the caller resizes frames."""

    @abstractmethod
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        """Return the instances of each frame, the front layer first.

        The result for a frame depends only on the frame and its seed.

        Args:
            frames: Colours in [0, 1], on the canvas.
            seeds: Seed of each frame's random numbers; frames with the same seed share their noise.
        """

    def load_pretrained(self) -> None:
        """Load the pretrained weights that the config names, if any.

        Raises:
            InputError: If they cannot be loaded or do not fit.
        """

    def initialize_as_identity(self, _new: set[str]) -> set[str]:
        """Initialise new blocks so that they do not change the output, when training continues a smaller model.

        Args:
            _new: Names of the weights that the smaller model lacks.

        Returns:
            The names of the weights of the initialised blocks; none if the segmenter cannot grow.
        """
        return set()


def segmenter_ids() -> list[str]:
    """Return the ids of all segmenters."""
    return list(_segmenters())


def find_segmenter(identity: str) -> type[FrameSegmenter]:
    """Return the segmenter class with this id.

    Segmenters are discovered by scanning the modules and subpackages of ``vidamodal.segmenters``.

    Raises:
        InputError: If there is none.
    """
    return choose(_segmenters(), identity, "segmenter")


def _segmenters() -> dict[str, type[FrameSegmenter]]:
    import vidamodal.segmenters

    return find_classes(vidamodal.segmenters, FrameSegmenter)  # type: ignore[type-abstract]
