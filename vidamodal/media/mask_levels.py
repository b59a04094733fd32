"""Statistics of the values in a set of masks: how often each occurs, and whether it fills areas or only lies on edges.

A painted value fills areas. A value that smoothing or compression has made lies on an edge, between two others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.media.mask_images import colour_channels

MOST_LEVELS = 2**16
"""Values that are counted at most; of more, the rarest are dropped."""

_FEW_LEVELS, _MANY_LEVELS = 8, 64
_SMALL_STEPS = 0.6
_LOSSY_STEP = 12
"""Difference by which compression may change a channel of neighbouring pixels with the same value."""
_SOLID_SHARE, _BETWEEN_SHARE, _EDGE_SHARE = 0.1, 0.4, 0.8
_CONTRAST = 32
"""Smallest distance of two painted values between which an edge can be smooth, on a scale of 255."""
_OFF_LINE = 40
"""Largest distance of a smoothed colour from the line between the two that it mixes."""
_MOST_ANCHORS = 16
_REACH, _LOSSY_REACH = 16, 40
"""Largest difference of a channel between a painted value and one that compression made of it."""
_RARE = 20
"""Noise occurs this many times less often than the value near it."""
MOST_PAINTED = 1024


@dataclass
class Levels:
    """The distinct values of a set of images, in ascending order."""

    codes: Int[np.ndarray, " k"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: Int[np.ndarray, "k 4"] = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))
    """For each value: its pixels, those with four neighbours of nearly the same value, those between two other values,
    and the images that hold it."""
    flat: int = 0
    """Pixels with four neighbours of exactly the same value."""
    steps: int = 0
    """Neighbours across that differ."""
    small_steps: int = 0
    """Neighbours across that differ by 1 or 2, in grey images."""

    @property
    def pixels(self) -> Int[np.ndarray, " k"]:
        """Return the number of pixels of each value."""
        return self.counts[:, 0]

    @property
    def solid(self) -> Int[np.ndarray, " k"]:
        """Return the number of pixels of each value that lie inside an area of it."""
        return self.counts[:, 1]

    def merge(self, other: Levels) -> None:
        """Add the counts of other images."""
        codes, place = np.unique(np.concatenate([self.codes, other.codes]), return_inverse=True)
        counts = np.zeros((len(codes), 4), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        if len(codes) > MOST_LEVELS:
            kept = np.sort(np.argsort(-counts[:, 0], kind="stable")[: MOST_LEVELS // 2])
            codes, counts = codes[kept], counts[kept]
        self.codes, self.counts = codes, counts
        self.flat += other.flat
        self.steps += other.steps
        self.small_steps += other.small_steps

    def relabelled(self, codes: Int[np.ndarray, " k"]) -> Levels:
        """Return the same counts for other codes, which may repeat."""
        levels = Levels()
        levels.merge(replace(self, codes=codes.astype(np.int64)))
        return levels

    @property
    def are_smooth(self) -> bool:
        """True for the many values of photographs, depth maps and mattes, which fill no areas and form gradients."""
        if len(self.codes) <= _FEW_LEVELS:
            return False
        rest = np.delete(self.counts, np.argmax(self.pixels), axis=0).sum(axis=0)
        if rest[2] > _BETWEEN_SHARE * rest[0]:
            return True
        return len(self.codes) > _MANY_LEVELS and bool(
            2 * self.flat < self.pixels.sum() or self.small_steps > _SMALL_STEPS * self.steps
        )


def count_levels(values: Int[np.ndarray, "h w"], is_colour: bool, lossy: bool) -> Levels:
    """Return the statistics of one image; after lossy compression, nearly equal neighbours count as equal."""
    for factor in (4, 3, 2):
        values = _undo_enlargement(values, factor)
    solid = inside(values, is_colour, lossy)
    flat = inside(values) if lossy else solid
    between = np.zeros(values.shape, dtype=bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    between[:, 1:-1] |= across[:, 1:] & across[:, :-1] & (values[:, 2:] != values[:, :-2])
    between[1:-1] |= down[1:] & down[:-1] & (values[2:] != values[:-2])
    codes, counts = _count(values, solid, between)
    small = 0
    if not is_colour:
        step = np.abs(values[:, 1:][across].astype(np.int64) - values[:, :-1][across])
        small = int(np.count_nonzero(step <= 2))
    table = np.stack([*counts, np.ones_like(codes)], axis=1)
    return Levels(codes, table, int(flat.sum()), int(across.sum()), small)


def _undo_enlargement(values: Int[np.ndarray, "h w"], factor: int) -> Int[np.ndarray, "h2 w2"]:
    """The image before every pixel was repeated; the image itself if it consists of no such blocks."""
    if any(length % factor or length < 2 * factor for length in values.shape):
        return values
    small = values[::factor, ::factor]
    for row in range(factor):
        for column in range(factor):
            if not np.array_equal(values[row::factor, column::factor], small):
                return values
    return np.ascontiguousarray(small)


def inside(values: Int[np.ndarray, "h w"], is_colour: bool = False, lossy: bool = False) -> Bool[np.ndarray, "h w"]:
    """Return the pixels whose four neighbours have the same value."""
    across = _same(values[:, 1:], values[:, :-1], is_colour, lossy)
    down = _same(values[1:], values[:-1], is_colour, lossy)
    found = np.ones(values.shape, dtype=bool)
    for part, same in ((found[:, 1:], across), (found[:, :-1], across), (found[1:], down), (found[:-1], down)):
        part &= same
    return found


def painted_levels(levels: Levels, points: Float[np.ndarray, "k c"], lossy: bool) -> Bool[np.ndarray, " k"] | None:
    """Return which values were painted, if the others come from smoothing or compression; None if all were painted.

    Args:
        levels: The values.
        points: Their place on a scale of 255, or in RGB.
        lossy: Whether the images were compressed with losses.
    """
    is_solid = (levels.solid > 0) & (levels.solid >= _SOLID_SHARE * levels.pixels)
    if not lossy and not _is_smoothed(levels, points, is_solid):
        return None
    free, found = is_solid.copy(), np.zeros(len(is_solid), dtype=bool)
    clear = 2 * levels.solid >= levels.pixels
    while free.any() and found.sum() <= MOST_PAINTED:
        peak = np.argmax(np.where(free, levels.solid, -1))
        found[peak] = True
        near = np.abs(points - points[peak]).max(axis=1) <= (_LOSSY_REACH if lossy else _REACH)
        free &= ~near | (clear & (not lossy))
        free[peak] = False
    return found


def _is_smoothed(levels: Levels, points: Float[np.ndarray, "k c"], is_solid: Bool[np.ndarray, " k"]) -> bool:
    """Return True if most of the values that fill no area mix two others, or nearly equal a frequent one."""
    order = np.argsort(-levels.solid, kind="stable")
    places = order[is_solid[order]][:_MOST_ANCHORS]
    rest = np.flatnonzero(~is_solid)
    lies_between = levels.counts[rest, 2] >= _BETWEEN_SHARE * levels.pixels[rest]
    mixed = lies_between & lie_between(points[rest], points[places])
    noise = np.zeros((len(places), len(rest)), dtype=bool)
    for row, place in enumerate(places):
        is_rare = levels.pixels[rest] * _RARE <= levels.pixels[place]
        noise[row] = is_rare & (np.abs(points[rest] - points[place]).max(axis=1) <= _REACH)
    if points.shape[1] == 1 and len(places):
        mixed |= _fill_the_range(points[rest, 0], points[places, 0])
    # Small ids lie near 0, too: values are noise only if a bright painted value has such neighbours as well.
    is_bright = points[places].max(axis=1, initial=0) >= _CONTRAST
    if not mixed.any() and not noise[is_bright].any():
        return False
    found = mixed | noise.any(axis=0)
    return bool(2 * levels.pixels[rest[found]].sum() >= levels.pixels[rest].sum())


def _fill_the_range(values: Float[np.ndarray, " m"], anchors: Float[np.ndarray, " a"]) -> Bool[np.ndarray, " m"]:
    """Return which values lie between the extreme anchors, if they spread over all of the range, as ids do not."""
    low, high = anchors.min(), anchors.max()
    between = (values > low) & (values < high)
    if high - low < 4 * _CONTRAST:
        return np.zeros(len(values), dtype=bool)
    quarters = np.histogram(values[between], bins=4, range=(low, high))[0]
    return np.asarray(between & bool(quarters.min() >= 2))


def are_blurred_ids(levels: Levels) -> bool:
    """Return True if the values between painted ones lie on edges only: ids that were resized with smoothing."""
    is_solid = (levels.solid > 0) & (levels.solid >= _SOLID_SHARE * levels.pixels)
    if is_solid.sum() < 2:
        return False
    painted, rest = levels.codes[is_solid], ~is_solid
    mixed = rest & (levels.codes > painted.min()) & (levels.codes < painted.max())
    mixed &= levels.counts[:, 2] >= _EDGE_SHARE * levels.pixels
    return bool(mixed.sum() >= 2 and 2 * levels.pixels[mixed].sum() >= levels.pixels[rest].sum())


def lie_between(points: Float[np.ndarray, "m c"], anchors: Float[np.ndarray, "a c"]) -> Bool[np.ndarray, " m"]:
    """Return which points lie near a line between two anchors that are far apart, as mixtures of both do."""
    found = np.zeros(len(points), dtype=bool)
    for place, start in enumerate(anchors):
        for end in anchors[place + 1 :]:
            line = end - start
            length = float(line @ line)
            if length >= _CONTRAST**2:
                along = (points - start) @ line / length
                off = np.abs(points - start - along[:, None] * line).max(axis=1, initial=0)
                found |= (along > 0) & (along < 1) & (off <= _OFF_LINE)
    return found


def _same(
    one: Int[np.ndarray, "h w"], other: Int[np.ndarray, "h w"], is_colour: bool, lossy: bool
) -> Bool[np.ndarray, "h w"]:
    if not lossy:
        return np.asarray(one == other)
    if is_colour:
        return np.asarray(np.abs(colour_channels(one) - colour_channels(other)).max(axis=-1) <= _LOSSY_STEP)
    return np.asarray(np.abs(one.astype(np.int32) - other.astype(np.int32)) <= _LOSSY_STEP)


def _count(
    values: Int[np.ndarray, "h w"], solid: Bool[np.ndarray, "h w"], between: Bool[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, "3 k"]]:
    """Return the distinct values, and the numbers of all their pixels, of the solid ones and of those between."""
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high < MOST_LEVELS:  # small values count themselves, others by their place among the distinct ones
        codes, place = np.arange(high + 1), values
    else:
        codes = np.unique(values).astype(np.int64)
        place = np.searchsorted(codes, values)

    def count(part: Int[np.ndarray, " p"]) -> Int[np.ndarray, " k"]:
        return np.bincount(part, minlength=len(codes)).astype(np.int64)

    pixels = count(place.ravel())
    table = np.stack([pixels, pixels - count(place[~solid]), count(place[between])])  # most pixels are solid
    kept = pixels > 0
    return codes[kept], table[:, kept]
