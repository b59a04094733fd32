"""The shape an object showed, or soon will, with nothing against it, moved along its path: no model, but memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.metrics.shapes import centre
from vidamodal.types import Rle

UNDER_OCCLUDERS = False  # the shape lies where it lies

_HALF_LIFE = 6.0
"""Frames after which a shape counts as half as complete as it was: objects turn, come near and go away."""
_MEMORY = 5
"""Frames whose motion goes on after the object was last seen, and for how many."""

Path = Float[np.ndarray, "k 2"]


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """A complete shape near each frame, before or after it, united with what is visible there.

    What no other object's visible pixels touch is taken to be complete, or if there is none, what is largest near each
    frame. A frame that shows such a shape is left as it is; elsewhere the shape is on the straight path between these
    frames, moved as little as makes it cover the box of what shows; where nothing does, on the path between its
    neighbours, and before the first and after the last of them where their motion takes it.
    """
    areas = np.array([0 if mask is None else mask.area() for mask in visible])
    free = np.array([n > 0 and not _touches(_decode(v), c) for n, v, c in zip(areas, visible, covered, strict=True)])
    times = np.arange(len(visible))
    worth = areas * (free if free.any() else True) * 0.5 ** (np.abs(times - times[:, None]) / _HALF_LIFE)
    source = np.where(free, times, worth.argmax(axis=1))
    certain, seen = np.flatnonzero(source == times), np.flatnonzero(areas)
    centres = {int(t): centre(_decode(visible[t])) for t in set(source.tolist())}
    boxes = {int(t): _box(visible[t]) for t in seen.tolist()}
    # How far the centre may lie from the sides of the visible box, if the shape is to cover it.
    bounds = np.array([np.sort(boxes[t] - boxes[source[t]] + centres[source[t]], axis=0) for t in seen.tolist()])
    path = np.clip(
        _between(certain, np.array([centres[t] for t in certain.tolist()]), seen), bounds[:, 0], bounds[:, 1]
    )
    places = _onwards(seen, path, len(visible))
    return [
        Rle.encode(
            _moved(_decode(visible[int(source[t])]), places[t] - centres[source[t]])
            | (mask.decode() if mask is not None else False)
        )
        for t, mask in enumerate(visible)
    ]


def _touches(visible: Bool[np.ndarray, "h w"], covered: Rle) -> bool:
    """Whether another object's visible pixels lie beside (not only at a corner of) this one's."""
    others = covered.decode() & ~visible
    return any(
        (one[1:] & other[:-1]).any()
        for one, other in ((visible, others), (others, visible), (visible.T, others.T), (others.T, visible.T))
    )


def _between(known: Int[np.ndarray, " k"], path: Path, times: Int[np.ndarray, " t"]) -> Float[np.ndarray, "t 2"]:
    return np.stack([np.interp(times, known, path[:, axis]) for axis in (0, 1)], axis=1)


def _onwards(seen: Int[np.ndarray, " k"], path: Path, frames: int) -> Float[np.ndarray, "t 2"]:
    """The centre in every frame: linear between the frames where it is known, then on at its mean velocity, then still.

    The velocity is that of the first, or last, five known frames, and lasts for five.
    """
    times = np.arange(frames)
    places = _between(seen, path, times)
    memory = min(_MEMORY, len(seen)) - 1
    for end, other, beyond in ((0, memory, times < seen[0]), (-1, -1 - memory, times > seen[-1])):
        velocity = (path[end] - path[other]) / ((seen[end] - seen[other]) or 1)
        places[beyond] += np.outer(np.clip(times[beyond] - seen[end], -_MEMORY, _MEMORY), velocity)
    return places


def _box(mask: Rle | None) -> Float[np.ndarray, "2 2"]:
    """First and last row and column: (top, left), (bottom, right)."""
    box = mask.box() if mask is not None else None
    assert box is not None  # only frames with visible pixels are asked for
    return np.array([box[:2], [box[2] - 1, box[3] - 1]], dtype=float)


def _moved(shape: Bool[np.ndarray, "h w"], offset: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "h w"]:
    """The shape moved by whole pixels; what leaves the image is cut off."""
    moved = np.zeros_like(shape)
    rows, columns = np.nonzero(shape)
    rows, columns = rows + round(float(offset[0])), columns + round(float(offset[1]))
    kept = (rows >= 0) & (rows < shape.shape[0]) & (columns >= 0) & (columns < shape.shape[1])
    moved[rows[kept], columns[kept]] = True
    return moved


def _decode(mask: Rle | None) -> Bool[np.ndarray, "h w"]:
    assert mask is not None  # only frames with visible pixels are asked for
    return mask.decode()
