"""Small frozen records that cross the boundaries between modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from pycocotools import mask as coco

from vidamodal.errors import InputError as InputError

Frame = UInt8[np.ndarray, "h w 3"]
"""An RGB image."""
Mask = Bool[np.ndarray, "h w"]
"""A mask of a whole image."""

Box = tuple[float, float, float, float]
"""A box (x0, y0, x1, y1) in pixels; it may leave the image."""

MAX_TRACK_ID = 2**31 - 1
"""Largest id that a track may have."""


@dataclass(frozen=True, slots=True)
class Rle:
    """A binary mask as COCO's compressed run lengths (column-major), as in tracks.json."""

    height: int
    width: int
    counts: str

    @staticmethod
    def encode(mask: Bool[np.ndarray, "h w"]) -> Rle:
        """Encode a mask; every non-zero value counts as inside."""
        # pycocotools treats 1 and 255 as different values.
        packed = coco.encode(np.asfortranarray(mask, dtype=bool).view(np.uint8))
        return Rle(mask.shape[0], mask.shape[1], packed["counts"].decode("ascii"))

    @staticmethod
    def empty(height: int, width: int) -> Rle:
        """Create a mask without any pixel."""
        return Rle.encode(np.zeros((height, width), dtype=bool))

    def decode(self) -> Bool[np.ndarray, "h w"]:
        """Return the mask as booleans. The counts must add up to its size: readers of files check that first."""
        return np.asarray(coco.decode(self._coco()).view(bool))

    def area(self) -> int:
        """Return the number of pixels inside."""
        return int(coco.area(self._coco()))

    def box(self) -> tuple[int, int, int, int] | None:
        """Return (top, left, bottom, right) in pixels, bottom and right exclusive; None for an empty mask."""
        left, top, width, height = (int(v) for v in coco.toBbox(self._coco()))
        return (top, left, top + height, left + width) if width and height else None

    def _coco(self) -> dict[str, Any]:
        return {"size": [self.height, self.width], "counts": self.counts.encode("ascii")}


@dataclass(frozen=True)
class VideoInfo:
    """Description of a video, as in tracks.json."""

    path: str
    """Name of the video file, never an absolute path."""
    height: int
    """Height in pixels."""
    width: int
    """Width in pixels."""
    frames: int
    """Number of frames."""
    fps: float
    """Frames per second."""
    canvas: tuple[int, int, int, int] | None = None
    """Margins (top, left, bottom, right) in pixels by which ``Track.amodal_full`` extends the image."""

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        top, left, bottom, right = self.canvas or (0, 0, 0, 0)
        return top + self.height + bottom, left + self.width + right


@dataclass(frozen=True)
class Hypothesis:
    """One sampled completion of a whole track."""

    score: float
    """Score in [0, 1]."""
    amodal: tuple[Rle | None, ...]
    """Amodal mask of each frame; None outside the track's span."""


@dataclass(frozen=True)
class Track:
    """One object through a video; tuples of masks and numbers have one entry per frame."""

    id: int
    visible: tuple[Rle | None, ...]
    """Visible masks: None if unknown, an empty mask if the object is known to be fully occluded or absent."""
    amodal: tuple[Rle | None, ...] | None = None
    """Amodal masks, ground truth or prediction; None if unknown."""
    confidence: tuple[float | None, ...] | None = None
    """Expected IoU of each predicted amodal mask, in [0, 1]."""
    hypotheses: tuple[Hypothesis, ...] = ()
    label: str | None = None
    amodal_full: tuple[Rle | None, ...] | None = None
    """Amodal masks on the padded canvas of the video; cut to the image, they equal ``amodal``."""
    boxes: tuple[Box | None, ...] | None = None
    """Amodal boxes of objects without amodal masks; None where the box is unknown."""
    present: tuple[float | None, ...] | None = None
    """Predicted probability that any part of the object is inside the image, in [0, 1]."""
    occlusion: tuple[int | None, ...] | None = None
    """Annotated occlusion of each frame, in KITTI's levels: 0 none, 1 partial, 2 large, 3 unknown."""
    truncated: tuple[bool | None, ...] | None = None
    """Annotated: True in frames in which the object extends beyond the image."""

    @property
    def span(self) -> tuple[int, int] | None:
        """First and one past the last frame with a known visible mask; None if there is none."""
        return known_span(self.visible)

    @property
    def ever_visible(self) -> bool:
        """True if the object is visible in some frame."""
        return any(mask is not None and mask.area() > 0 for mask in self.visible)


def known_span(masks: Sequence[Rle | None]) -> tuple[int, int] | None:
    """Return the first and one past the last frame with a known mask; None if there is none."""
    known = [t for t, mask in enumerate(masks) if mask is not None]
    return (known[0], known[-1] + 1) if known else None


FrameOrder = tuple[tuple[int, int], ...]
"""Order of one frame: pairs (id in front, id behind)."""


@dataclass(frozen=True)
class ClipTracks:
    """All tracks of one video: the content of a tracks.json."""

    video: VideoInfo
    tracks: tuple[Track, ...]
    exhaustive: bool = False
    """True if every object that may occlude another is listed."""
    order: tuple[FrameOrder, ...] | None = None
    """Order of each frame; None if unknown."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the tracks; ignored by all computations."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What a reader understood, assumed and left out, one line each, for the user; not part of tracks.json."""


@dataclass(frozen=True)
class FrameInstance:
    """One object that a segmenter predicts in a frame, on the segmenter's square canvas or at the size of the frame."""

    visible: Bool[np.ndarray, "h w"]
    amodal: Bool[np.ndarray, "h w"]
    layer: int
    """1 for the objects in front; one more than the layer of its deepest occluder for all others."""
    label: str | None
    score: float
    """Expected IoU of the amodal mask under the segmenter's own probabilities, in [0, 1]."""
    appearance: Float[np.ndarray, " d"] | None = None
    """Unit vector that is similar for the same object in different frames; None if the segmenter has none."""
    key: int | None = None
    """Id of the object through the video; None if the segmenter sees single frames."""
