"""Counting of one video: turns predicted and true masks into the numbers of the prediction store.

Areas are counted on run lengths, so their cost depends on the outlines of the masks and not on the size of the frame.
Only outlines, erosion and centroids need pixels, in a box around the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from pycocotools import mask as coco

from vidamodal.geometry import centroid
from vidamodal.metrics.boxes import count_boxes, with_copied_masks
from vidamodal.metrics.counts import TrackCounts, VideoCounts
from vidamodal.metrics.iou_tables import count_ious
from vidamodal.metrics.shapes import Mask, adaptive_boundary_f, boundary_f, boundary_tolerance, erode
from vidamodal.rle import Packed, pack, shared_area
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

_MASKS = 4
"""P, A, V and O."""


def scored_tracks(truth: ClipTracks) -> tuple[Track, ...]:
    """Return the tracks of a ground truth that are scored: ever visible, with amodal masks."""
    return tuple(track for track in truth.tracks if track.amodal is not None and track.ever_visible)


def count_video(key: str, prediction: ClipTracks | None, truth: ClipTracks, shapes: bool = True) -> VideoCounts:
    """Count one video.

    Tracks are matched by id. A missing track, and one without amodal masks, counts as empty in every frame.

    Args:
        key: Name of the video.
        prediction: Predicted tracks, of the same size and length as the ground truth; None for no prediction at all.
        truth: Ground-truth tracks.
        shapes: False skips outlines, erosion, drift and IoU tables, which the primary protocol does not need and which
            take most of the time.

    Returns:
        The counts of the scored tracks.
    """
    scored = scored_tracks(truth)
    predicted = {track.id: track.amodal for track in prediction.tracks} if prediction else {}
    others = _visible_of_others(scored, truth)
    tracks = tuple(
        _count_track(predicted.get(track.id), track, others[track.id], truth.video, shapes) for track in scored
    )
    if not shapes:
        return VideoCounts(key, tracks)
    return VideoCounts(
        key,
        tracks,
        *count_ious(scored, prediction, truth),
        hypotheses=_count_hypotheses(scored, prediction, others, truth.video),
        boxes=count_boxes(prediction, truth),
        copied_boxes=count_boxes(prediction and with_copied_masks(prediction), truth),
        exhaustive=prediction is not None and prediction.exhaustive,
    )


def _count_hypotheses(
    scored: Sequence[Track], prediction: ClipTracks | None, others: dict[int, list[Packed]], video: VideoInfo
) -> tuple[tuple[TrackCounts, ...], ...]:
    """Count the hypotheses of every scored track; empty if no track has any."""
    sampled = {track.id: track.hypotheses for track in prediction.tracks} if prediction else {}
    if not any(sampled.values()):
        return ()
    return tuple(
        tuple(
            _count_track(hypothesis.amodal, track, others[track.id], video, shapes=False)
            for hypothesis in sampled.get(track.id, ())
        )
        for track in scored
    )


def _count_track(
    prediction: Sequence[Rle | None] | None, truth: Track, others: Sequence[Packed], video: VideoInfo, shapes: bool
) -> TrackCounts:
    """Count one track against its predicted amodal masks; None, for the track or for a frame, is an empty mask."""
    empty = pack(Rle.empty(video.height, video.width))
    tolerance = boundary_tolerance(video.height, video.width)
    # shared[t, p, a, v, o]: area of the intersection of those of P, A, V and O whose index is 1
    shared = np.zeros((video.frames, *(2,) * _MASKS), dtype=np.int64)
    error_change = np.zeros(video.frames, dtype=np.int64)
    known, leaving = np.zeros((2, video.frames), dtype=bool)
    eroded = np.zeros((video.frames, 3), dtype=np.int64)
    boundary, adaptive, drift = np.full((3, video.frames), np.nan)
    previous: _ErrorMask | None = None
    masks = zip(prediction or (None,) * video.frames, truth.amodal or (), truth.visible, strict=True)
    for t, (predicted, amodal, visible) in enumerate(masks):
        if amodal is None or visible is None:
            previous = None
            continue
        known[t] = True
        leaving[t] = _leaves_image(truth, t, video)
        p, a, v = empty if predicted is None else pack(predicted), pack(amodal), pack(visible)
        shared[t] = _shared_areas((p, a, v, others[t]), video.height * video.width)
        error = _ErrorMask.of(p, a)
        error_change[t] = error.change_from(previous) if previous else 0
        previous = error
        if shapes and shared[t, 0, 1, 0, 0]:
            cropped = _crop_to_content((p, a, v))
            boundary[t], drift[t], eroded[t] = _count_shapes(cropped, tolerance)
            adaptive[t] = adaptive_boundary_f(cropped[0], cropped[1], (video.height, video.width))
    return TrackCounts(
        truth.id,
        video.height,
        cells=_cells(shared),
        error_change=error_change,
        known=known,
        leaving=leaving,
        eroded=eroded,
        boundary_f=boundary,
        adaptive_f=adaptive,
        drift=drift,
    )


def _count_shapes(masks: Sequence[Mask], tolerance: int) -> tuple[float, float, tuple[int, int, int]]:
    """Return boundary F, drift and eroded areas (see `TrackCounts`) from the masks P, A and V; A is not empty."""
    predicted, true, visible = masks
    drift = np.nan
    if not visible.any() and predicted.any():
        drift = float(np.hypot(*(centroid(predicted) - centroid(true))) / np.sqrt(np.count_nonzero(true)))
    p, a = (erode(mask & ~visible) for mask in (predicted, true))
    areas = (int(np.count_nonzero(p)), int(np.count_nonzero(a)), int(np.count_nonzero(p & a)))
    return boundary_f(predicted, true, tolerance), drift, areas


def _shared_areas(masks: Sequence[Packed], image_area: int) -> Int[np.ndarray, "2 2 2 2"]:
    """Return the area shared by each subset of the masks; that of the empty subset is the whole image."""
    areas = np.zeros(1 << len(masks), dtype=np.int64)
    areas[0] = image_area
    intersections: dict[int, Packed] = {}
    for subset in range(1, len(areas)):
        rest = subset & (subset - 1)
        lowest = masks[(subset ^ rest).bit_length() - 1]
        if rest and not areas[rest]:
            continue
        intersections[subset] = coco.merge([intersections[rest], lowest], intersect=True) if rest else lowest
        areas[subset] = coco.area(intersections[subset])
    # Bit 0 of a subset, the fastest axis, stands for the first mask.
    return areas.reshape((2,) * len(masks)).transpose()


def _cells(shared: Int[np.ndarray, "t 2 2 2 2"]) -> Int[np.ndarray, "t 2 2 2 2"]:
    """Turn areas of intersections into areas of disjoint cells: outside a mask = everywhere minus inside it."""
    cells = shared.copy()
    for axis in range(1, cells.ndim):
        everywhere, inside = (np.take(cells, side, axis=axis) for side in (0, 1))
        cells = np.stack([everywhere - inside, inside], axis=axis)
    return cells


def _leaves_image(track: Track, t: int, video: VideoInfo) -> bool:
    amodal = track.amodal[t] if track.amodal else None
    on_canvas = track.amodal_full[t] if track.amodal_full else None
    if amodal is not None and on_canvas is not None:
        return on_canvas.area() > amodal.area()
    box = amodal.box() if amodal is not None else None
    if box is None:
        return False
    return box[0] == 0 or box[1] == 0 or box[2] == video.height or box[3] == video.width


def _visible_of_others(scored: Sequence[Track], truth: ClipTracks) -> dict[int, list[Packed]]:
    """Return, by id of the scored track, the union of the visible masks of all other tracks in every frame."""
    empty = pack(Rle.empty(truth.video.height, truth.video.width))
    others: dict[int, list[Packed]] = {track.id: [] for track in scored}
    for t in range(truth.video.frames):
        visible = [pack(mask) if (mask := track.visible[t]) is not None else empty for track in truth.tracks]
        before, after = [empty], [empty]
        for forward, backward in zip(visible, reversed(visible), strict=True):
            before.append(coco.merge([before[-1], forward]))
            after.append(coco.merge([after[-1], backward]))
        for k, track in enumerate(truth.tracks):
            if track.id in others:
                others[track.id].append(coco.merge([before[k], after[len(visible) - 1 - k]]))
    return others


def _crop_to_content(masks: Sequence[Packed]) -> list[Mask]:
    """Decode masks within one box around them all, with an empty pixel on every side that is not the image's border."""
    left, top, width, height = (int(v) for v in coco.toBbox(coco.merge(list(masks))))
    box = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    return [coco.decode(mask)[box].astype(bool) for mask in masks]


@dataclass(frozen=True)
class _ErrorMask:
    """An error mask E = P xor A, kept as the union and the intersection of P and A: E = union minus intersection."""

    union: Packed
    intersection: Packed
    area: int

    @staticmethod
    def of(p: Packed, a: Packed) -> _ErrorMask:
        union, intersection = coco.merge([p, a]), coco.merge([p, a], intersect=True)
        return _ErrorMask(union, intersection, shared_area(union) - shared_area(intersection))

    def change_from(self, other: _ErrorMask) -> int:
        """Return |E xor E'|, with |E and E'| by inclusion and exclusion."""
        both = (
            shared_area(self.union, other.union)
            - shared_area(self.union, other.intersection)
            - shared_area(self.intersection, other.union)
            + shared_area(self.intersection, other.intersection)
        )
        return self.area + other.area - 2 * both
