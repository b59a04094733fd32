"""The prediction store: each object-frame is counted once, and every measure and protocol is read off the counts.

All counting is done on run lengths, so its cost depends on the outlines of the masks, not on the size of the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from pycocotools import mask as coco

from vidamodal.types import ClipTracks, Rle, Track

_REFERENCE_HEIGHT, _REFERENCE_AREA = 256, 64
_Packed = dict[str, Any]  # an RLE as pycocotools takes it


@dataclass(frozen=True)
class TrackCounts:
    """Pixels of one track: P is the predicted, A the true amodal and V the true visible mask; one entry a frame.

    ``cells[t, p, a, v]`` counts the pixels inside (1) or outside (0) of each: a frame's eight cells make up the image.
    ``change[t]`` is |E_t xor E_t-1| with the error mask E = P xor A; 0 where frame t - 1 is not known.
    ``known[t]`` says that the truth tells both A and V; all counts of other frames are 0.
    """

    id: int
    height: int
    cells: Int[np.ndarray, "t 2 2 2"]
    change: Int[np.ndarray, " t"]
    known: Bool[np.ndarray, " t"]

    def pixels(self, p: int | None = None, a: int | None = None, v: int | None = None) -> Int[np.ndarray, " t"]:
        """Pixels inside (1), outside (0) or wherever (None) of P, A and V in every frame."""
        cells = self.cells
        for axis, side in enumerate((p, a, v), start=1):
            cells = cells if side is None else cells.take([side], axis=axis)
        return cells.sum(axis=(1, 2, 3))

    @property
    def counted(self) -> Bool[np.ndarray, " t"]:
        """Frames that the primary protocol scores: at least 64 amodal pixels when scaled to a height of 256."""
        return self.known & (self.pixels(a=1) * _REFERENCE_HEIGHT**2 >= _REFERENCE_AREA * self.height**2)

    @property
    def seen(self) -> Bool[np.ndarray, " t"]:
        """Known frames with at least one visible pixel."""
        return self.pixels(v=1) > 0

    def perfected(self) -> TrackCounts:
        """The counts of a perfect predictor on the same truth: P = A."""
        cells = np.zeros_like(self.cells)
        for side in (0, 1):
            cells[:, side, side] = self.cells[:, :, side].sum(axis=1)
        return replace(self, cells=cells, change=np.zeros_like(self.change))


@dataclass(frozen=True)
class VideoCounts:
    """The scored tracks of one video: those that are ever visible and have an amodal truth."""

    key: str
    tracks: tuple[TrackCounts, ...]

    def perfected(self) -> VideoCounts:
        """The counts of a perfect predictor on the same truth."""
        return VideoCounts(self.key, tuple(track.perfected() for track in self.tracks))


def scored_tracks(truth: ClipTracks) -> tuple[Track, ...]:
    """The tracks of a truth that are scored: ever visible, with amodal masks."""
    return tuple(track for track in truth.tracks if track.amodal is not None and track.ever_visible)


def count_video(key: str, prediction: ClipTracks | None, truth: ClipTracks) -> VideoCounts:
    """Counts a video. Tracks match by id; one that is missing, or without amodal masks, is empty in every frame.

    Both must have the same size and length; ``prediction`` None stands for a video without any.
    """
    predicted = {track.id: track.amodal for track in prediction.tracks} if prediction else {}
    return VideoCounts(key, tuple(count_track(predicted.get(t.id), t, truth) for t in scored_tracks(truth)))


def count_track(prediction: Sequence[Rle | None] | None, truth: Track, clip: ClipTracks) -> TrackCounts:
    """Counts one track of ``clip`` against the predicted amodal masks; None, in whole or for a frame, is empty."""
    height, width, frames = clip.video.height, clip.video.width, clip.video.frames
    empty = Rle.empty(height, width)
    # inside[t, p, a, v]: area of the intersection of those of P, A and V whose index is 1
    inside = np.zeros((frames, 2, 2, 2), dtype=np.int64)
    change = np.zeros(frames, dtype=np.int64)
    known = np.zeros(frames, dtype=bool)
    previous: _Error | None = None
    for t, (p, a, v) in enumerate(zip(prediction or (None,) * frames, truth.amodal or (), truth.visible, strict=True)):
        if a is None or v is None:
            previous = None
            continue
        known[t] = True
        packed = [_packed(mask) for mask in (p or empty, a, v)]
        inside[t, 0, 0, 0] = height * width
        for size in (1, 2, 3):
            for members in combinations(range(3), size):
                corner = tuple(int(mask in members) for mask in range(3))
                inside[(t, *corner)] = _area(*(packed[member] for member in members))
        error = _Error.between(packed[0], packed[1])
        change[t] = error.change(previous) if previous else 0
        previous = error
    return TrackCounts(truth.id, height, _cells(inside), change, known)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None if there is none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _cells(inside: Int[np.ndarray, "t 2 2 2"]) -> Int[np.ndarray, "t 2 2 2"]:
    """From areas of intersections to areas of the disjoint cells: outside a mask = everywhere minus inside it."""
    cells = inside.copy()
    for axis in (1, 2, 3):
        everywhere, within = (np.take(cells, side, axis=axis) for side in (0, 1))
        cells = np.stack([everywhere - within, within], axis=axis)
    return cells


@dataclass(frozen=True)
class _Error:
    """An error mask E = P xor A, held as the union and the intersection of P and A: E = union minus intersection."""

    union: _Packed
    common: _Packed
    area: int

    @staticmethod
    def between(p: _Packed, a: _Packed) -> _Error:
        union, common = coco.merge([p, a]), coco.merge([p, a], intersect=True)
        return _Error(union, common, _area(union) - _area(common))

    def change(self, other: _Error) -> int:
        """|E xor E'|; as common lies within union, |E and E'| follows by inclusion and exclusion."""
        both = (
            _area(self.union, other.union)
            - _area(self.union, other.common)
            - _area(self.common, other.union)
            + _area(self.common, other.common)
        )
        return self.area + other.area - 2 * both


def _packed(mask: Rle) -> _Packed:
    return {"size": [mask.height, mask.width], "counts": mask.counts.encode("ascii")}


def _area(*masks: _Packed) -> int:
    """Pixels in the intersection of the masks."""
    return int(coco.area(coco.merge(list(masks), intersect=True)))
