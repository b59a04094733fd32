"""Baseline that moves the nearest unoccluded shape of an object along its path: memory without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.geometry import centroid
from vidamodal.types import Rle

ID = "last-complete-shape"
ADDS_ONLY_UNDER_OCCLUDERS = False  # the shape is not cut to the occluders

_HALF_LIFE = 6.0
"""Frames after which a shape counts half as much: objects turn, and come nearer or go away."""
_MOTION_FRAMES = 5
"""Number of frames from which a velocity is estimated, and for which it continues after the object was last visible."""

Mask = Bool[np.ndarray, "h w"]
Path = Float[np.ndarray, "k 2"]


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Return in each frame a complete shape from an earlier or later frame, united with the visible mask.

    A visible mask counts as complete if no other object's visible pixels touch it; if there is none, the largest
    mask near each frame is used. Frames with a complete mask keep it. In other visible frames the shape lies on the
    straight path between complete frames, moved as little as needed to cover the box of the visible mask. In frames
    with nothing visible it lies on the path between the visible frames before and after; before the first and after
    the last one it continues with their motion.
    """
    areas = np.array([0 if mask is None else mask.area() for mask in visible])
    source = _source_frames(visible, covered, areas)
    times = np.arange(len(visible))
    complete_frames, visible_frames = np.flatnonzero(source == times), np.flatnonzero(areas)
    centroids = {int(t): centroid(_decode(visible[t])) for t in set(source.tolist())}
    boxes = {int(t): _box(visible[t]) for t in visible_frames.tolist()}
    # Range of centroids for which the shape covers the visible box.
    bounds = np.array(
        [np.sort(boxes[t] - boxes[source[t]] + centroids[source[t]], axis=0) for t in visible_frames.tolist()]
    )
    anchors = np.array([centroids[t] for t in complete_frames.tolist()])
    path = np.clip(_interpolate(complete_frames, anchors, visible_frames), bounds[:, 0], bounds[:, 1])
    places = _extrapolate(visible_frames, path, len(visible))
    return [
        Rle.encode(
            _shift(_decode(visible[int(source[t])]), places[t] - centroids[source[t]])
            | (mask.decode() if mask is not None else False)
        )
        for t, mask in enumerate(visible)
    ]


def _source_frames(
    visible: Sequence[Rle | None], covered: Sequence[Rle], areas: Int[np.ndarray, " t"]
) -> Int[np.ndarray, " t"]:
    """Return for each frame the frame that its shape is taken from: itself if its visible mask is complete."""
    untouched = np.array(
        [n > 0 and not _touches_others(_decode(v), c) for n, v, c in zip(areas, visible, covered, strict=True)]
    )
    choices = np.flatnonzero(untouched if untouched.any() else areas)
    worth = np.log2(areas[choices])
    nearest = [choices[np.argmax(worth - np.abs(choices - t) / _HALF_LIFE)] for t in range(len(visible))]
    return np.where(untouched, np.arange(len(visible)), nearest)


def _touches_others(visible: Mask, covered: Rle) -> bool:
    """Return True if a pixel of another object's visible mask is a 4-neighbour of this one's."""
    others = covered.decode() & ~visible
    return any(
        (one[1:] & other[:-1]).any()
        for one, other in ((visible, others), (others, visible), (visible.T, others.T), (others.T, visible.T))
    )


def _interpolate(known: Int[np.ndarray, " k"], path: Path, times: Int[np.ndarray, " t"]) -> Float[np.ndarray, "t 2"]:
    return np.stack([np.interp(times, known, path[:, axis]) for axis in (0, 1)], axis=1)


def _extrapolate(known: Int[np.ndarray, " k"], path: Path, frames: int) -> Float[np.ndarray, "t 2"]:
    """Return the centroid in every frame: interpolated, and extrapolated beyond the first and last known frame.

    Beyond them, it moves at the mean velocity of the first or last five known frames for five frames and then rests.
    """
    times = np.arange(frames)
    places = _interpolate(known, path, times)
    memory = min(_MOTION_FRAMES, len(known)) - 1
    for end, other, beyond in ((0, memory, times < known[0]), (-1, -1 - memory, times > known[-1])):
        velocity = (path[end] - path[other]) / ((known[end] - known[other]) or 1)
        places[beyond] += np.outer(np.clip(times[beyond] - known[end], -_MOTION_FRAMES, _MOTION_FRAMES), velocity)
    return places


def _box(mask: Rle | None) -> Float[np.ndarray, "2 2"]:
    """Return the first and last row and column of a mask that is not empty: (top, left), (bottom, right)."""
    box = mask.box() if mask is not None else None
    assert box is not None
    return np.array([box[:2], [box[2] - 1, box[3] - 1]], dtype=float)


def _shift(shape: Mask, offset: Float[np.ndarray, " 2"]) -> Mask:
    """Move a shape by whole pixels; pixels that leave the image are dropped."""
    shifted = np.zeros_like(shape)
    rows, columns = np.nonzero(shape)
    rows, columns = rows + round(float(offset[0])), columns + round(float(offset[1]))
    kept = (rows >= 0) & (rows < shape.shape[0]) & (columns >= 0) & (columns < shape.shape[1])
    shifted[rows[kept], columns[kept]] = True
    return shifted


def _decode(mask: Rle | None) -> Mask:
    assert mask is not None  # only called for frames with visible pixels
    return mask.decode()
