"""What a provider of visible masks offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float

from vidamodal.geometry import Cropper, Window
from vidamodal.inference.predictor import Pictures, Timings
from vidamodal.types import ClipTracks, Frame, VideoInfo


class Finder(Protocol):
    """Finds the visible masks of a video's objects. Its memory does not grow with the video, but by run lengths."""

    timings: Timings

    @property
    def size(self) -> int:
        """Cells a side of the square that it reads a frame on."""

    def find(self, video: VideoInfo, pictures: Pictures, quiet: bool = True) -> ClipTracks:
        """Tracks with visible masks, and with amodal ones and an order where it has its own; not exhaustive.

        InputError if the pictures cannot be had.
        """


def on_canvas(frame: Frame, size: int) -> Float[np.ndarray, "3 s s"]:
    """A frame's colours in [0, 1] on a square canvas that holds all of it, black beside it."""
    height, width = frame.shape[:2]
    return Cropper.at(Window.around(height, width), size, height, width).cut_image(frame)
