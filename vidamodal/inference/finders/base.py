"""Interface and registry of finders, which provide the visible masks of a video's objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from vidamodal.geometry import Cropper, Window
from vidamodal.inference.runtime import FrameRanges, Timings
from vidamodal.registry import choose, find_classes
from vidamodal.types import ClipTracks, Frame, VideoInfo


class Finder(ABC):
    """Finds the objects of a video and their visible masks. Its memory must not grow with the length of the video."""

    ID: ClassVar[str]
    """Name by which `create_finder` finds the class."""
    timings: Timings
    """Time spent in each step so far."""

    @classmethod
    @abstractmethod
    def create(cls, device: str, seed: int) -> Finder:
        """Return a finder with default settings.

        Args:
            device: "auto", "cpu", "cuda" or "mps".
            seed: Seed of random decisions, at least 0.

        Raises:
            InputError: If the finder needs more than a video, or if its model cannot be loaded.
        """

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Side in cells of the square canvas on which a frame is read; None if the frame keeps its shape."""

    @abstractmethod
    def find(self, video: VideoInfo, frames: FrameRanges, quiet: bool = True) -> ClipTracks:
        """Return tracks with visible masks, and with amodal masks and an order if the finder predicts them.

        Args:
            video: Size and length of the video.
            frames: Its frames.
            quiet: Show no progress bar.

        Raises:
            InputError: If there are no frames.
        """

    def run_record(self) -> dict[str, Any]:
        """Return what run.json records of the finder."""
        return {"canvas": self.size}

    def external_networks(self) -> list[dict[str, str]]:
        """Return name and weights hash of networks from other projects that the finder has used."""
        return []


def finder_ids() -> list[str]:
    """Return the ids of all finders."""
    return list(_finders())


def create_finder(identity: str, device: str, seed: int) -> Finder:
    """Return the finder with this id; see `Finder.create`.

    Raises:
        InputError: If there is none.
    """
    return choose(_finders(), identity, "finder").create(device, seed)


def frame_on_canvas(frame: Frame, size: int) -> Float[np.ndarray, "3 s s"]:
    """Return the colours of a frame in [0, 1] on a square canvas that holds all of it, black beside it."""
    height, width = frame.shape[:2]
    return Cropper.at(Window.around(height, width), size, height, width).cut_image(frame)


def _finders() -> dict[str, type[Finder]]:
    import vidamodal.inference.finders

    return find_classes(vidamodal.inference.finders, Finder)  # type: ignore[type-abstract]
