"""The small frozen records that cross the boundaries between modules, and the one error that means a user's mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from pycocotools import mask as coco

from vidamodal.errors import InputError as InputError

Frame = UInt8[np.ndarray, "h w 3"]
"""An RGB image."""
Mask = Bool[np.ndarray, "h w"]

MAX_TRACK_ID = 2**31 - 1


@dataclass(frozen=True)
class Rle:
    """A binary mask as COCO's compressed run lengths (column-major), as it stands in tracks.json."""

    height: int
    width: int
    counts: str

    @staticmethod
    def encode(mask: Bool[np.ndarray, "h w"]) -> Rle:
        """Run lengths of a (h, w) mask; anything non-zero counts as inside."""
        packed = coco.encode(np.asfortranarray(mask, dtype=bool).view(np.uint8))  # coco takes 1 and 255 for two masks
        return Rle(mask.shape[0], mask.shape[1], packed["counts"].decode("ascii"))

    @staticmethod
    def empty(height: int, width: int) -> Rle:
        """A mask without a pixel."""
        return Rle.encode(np.zeros((height, width), dtype=bool))

    def decode(self) -> Bool[np.ndarray, "h w"]:
        """The mask as booleans. The counts must be known to fill it: readers of files check that first."""
        return coco.decode(self._coco()).astype(bool)

    def area(self) -> int:
        """Number of pixels inside."""
        return int(coco.area(self._coco()))

    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) in pixels, bottom and right exclusive; None for an empty mask."""
        left, top, width, height = (int(v) for v in coco.toBbox(self._coco()))
        return (top, left, top + height, left + width) if width and height else None

    def _coco(self) -> dict[str, Any]:
        return {"size": [self.height, self.width], "counts": self.counts.encode("ascii")}


@dataclass(frozen=True)
class VideoInfo:
    """What tracks.json says of a video: a name (never an absolute path), its size in pixels, length and rate.

    ``canvas`` says how far ``Track.amodal_full`` reaches beyond the image: top, left, bottom, right in pixels.
    """

    path: str
    height: int
    width: int
    frames: int
    fps: float
    canvas: tuple[int, int, int, int] | None = None

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        top, left, bottom, right = self.canvas or (0, 0, 0, 0)
        return top + self.height + bottom, left + self.width + right


@dataclass(frozen=True)
class Hypothesis:
    """One sampled completion of a whole track, with a score in [0, 1]."""

    score: float
    amodal: tuple[Rle | None, ...]


@dataclass(frozen=True)
class Track:
    """One object through a video; every tuple has one entry a frame.

    ``visible[t]``: None = not known, an empty mask = known to be fully hidden. ``amodal`` is truth or prediction.
    ``confidence[t]`` is the expected IoU of ``amodal[t]``, in [0, 1], None where ``amodal[t]`` is None.
    ``amodal_full`` is the amodal mask on the video's padded canvas; cut to the image, it is ``amodal``.
    """

    id: int
    visible: tuple[Rle | None, ...]
    amodal: tuple[Rle | None, ...] | None = None
    confidence: tuple[float | None, ...] | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    label: str | None = None
    amodal_full: tuple[Rle | None, ...] | None = None

    @property
    def span(self) -> tuple[int, int] | None:
        """First and one past the last frame whose visible mask is known; None if none is."""
        known = [t for t, mask in enumerate(self.visible) if mask is not None]
        return (known[0], known[-1] + 1) if known else None

    @property
    def ever_visible(self) -> bool:
        """Whether any known visible mask has a pixel."""
        return any(mask is not None and mask.area() > 0 for mask in self.visible)


FrameOrder = tuple[tuple[int, int], ...]
"""Pairs (id in front, id behind) of one frame."""


@dataclass(frozen=True)
class ClipTracks:
    """The content of a tracks.json: all tracks of one video."""

    video: VideoInfo
    tracks: tuple[Track, ...]
    exhaustive: bool = False
    order: tuple[FrameOrder, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameInstance:
    """One object that a segmenter predicts in a frame, on the segmenter's canvas of s x s cells."""

    visible: Bool[np.ndarray, "s s"]
    amodal: Bool[np.ndarray, "s s"]
    layer: int
    """1 for the objects in front; one more than the layer of its deepest occluder for all others."""
    label: str | None
    score: float
    """Expected IoU of the amodal mask under the segmenter's own probabilities, in [0, 1]."""
    appearance: Float[np.ndarray, " d"] | None = None
    """Unit vector that is similar for the same object in different frames; None if the segmenter has none."""
