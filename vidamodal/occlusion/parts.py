"""Completed parts of an object that no listed mask explains, and a judge of which of them are kept.

In a partial scene a pixel outside all listed masks shows an occluder without a mask, or the background: the gap between
two legs. The network judges each pixel. The judge looks at whole parts, and at what single pixels do not tell: how
large and thick a part is, what it borders on, and whether the object fills the same place in neighbouring frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, distance_transform_edt, label

CUTS = (-0.5, 0.5, 1.5)
"""Logits above which connected cells form a part. Parts of a higher cut lie within those of a lower one."""

LEAST_CELLS = 3
"""Smaller parts are never kept."""

NEAR, NEXT = 8, 2
"""Frames on each side of a frame with which its parts are compared: for visible and for completed masks."""

FEATURES = (
    "cut",
    "greatest distance from the visible mask, over the root of its area",
    "mean distance from the visible mask, over the root of its area",
    "mean logit",
    "greatest logit",
    "log of the area over the visible area",
    "share of the outline at the visible mask",
    "share of the outline at other masks",
    "share of the outline at the border of the image",
    "share of cells between visible cells of the same row or column",
    "mean visible share of its cells in near frames",
    "mean probability of its cells in the next frames",
    "log of the visible area over the greatest one of near frames",
    "rows below the centre of the visible mask, over the root of its area",
    "columns beside the centre of the visible mask, over the root of its area",
    "log of the area over the squared length of the outline",
)
"""What the judge knows of a part."""

NOT_COMPLETED = np.float32(-10.0)
"""Logit of cells in parts that are not kept."""

_EXTREME = 4.0
"""Standard deviations at which features are clipped."""


@dataclass(frozen=True)
class PartJudge:
    """A small network that scores parts: the logit of the share of a part that belongs to the object."""

    mean: tuple[float, ...]
    """Mean of each of `FEATURES`."""
    scale: tuple[float, ...]
    """Standard deviation of each feature."""
    inner: tuple[tuple[float, ...], ...]
    """Weights of the hidden units, by unit and feature."""
    bias: tuple[float, ...]
    """Offsets of the hidden units."""
    outer: tuple[float, ...]
    """Weights of the score, by unit."""
    offset: float
    """Offset of the score."""
    threshold: float = 0.0
    """Score above which a part is kept."""

    def score(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """Return the score of each part."""
        values = np.clip((features - np.array(self.mean)) / np.array(self.scale), -_EXTREME, _EXTREME)
        hidden = np.tanh(values @ np.array(self.inner).T + np.array(self.bias))
        return np.asarray(hidden @ np.array(self.outer) + self.offset)

    def without_rejected(
        self, logits: Float[np.ndarray, "t s s"], window: TrackWindows, certain: float, since: int = 0
    ) -> Float[np.ndarray, "t s s"]:
        """Return the logits, lowered outside all listed masks where no part is kept.

        Args:
            logits: Logits of a track in consecutive frames.
            window: What its windows show.
            certain: Logit from which a cell belongs to the object in any case.
            since: First frame that is judged; the logits of those before it stay the same.
        """
        parts = find_parts(logits, window, since)
        kept = parts.choose(self.score(parts.features) > self.threshold)
        lowered = lower_rejected(logits, parts.cells(kept), window, certain)
        return np.concatenate([logits[:since], lowered[since:]])


@dataclass(frozen=True)
class TrackWindows:
    """What the windows of a track show in consecutive frames, as shares of each cell."""

    visible: Float[np.ndarray, "t s s"]
    """The visible mask."""
    others: Float[np.ndarray, "t s s"]
    """The masks of the other objects."""
    inside: Float[np.ndarray, "t s s"]
    """The image."""


@dataclass(frozen=True)
class Parts:
    """The n completed parts of a track in t frames, a part before those that lie within it."""

    labels: Int[np.ndarray, "t cuts s s"]
    """Number of the part at each cell for each cut, from 1; 0 for none."""
    parent: Int[np.ndarray, " n"]
    """Index of the part of the next lower cut that holds a part; -1 for none."""
    features: Float[np.ndarray, "n f"]
    """See `FEATURES`."""

    def choose(self, good: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Return the good parts that do not lie within another good one."""
        covered = np.zeros(len(good), dtype=bool)
        for k, parent in enumerate(self.parent.tolist()):
            covered[k] = parent >= 0 and (covered[parent] or good[parent])
        return np.asarray(good & ~covered)

    def cells(self, kept: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, "t s s"]:
        """Return the cells of some parts."""
        return np.asarray(np.concatenate([[False], kept])[self.labels].any(axis=1))


def lower_rejected(
    logits: Float[np.ndarray, "t s s"],
    kept: Bool[np.ndarray, "t s s"],
    window: TrackWindows,
    certain: float,
) -> Float[np.ndarray, "t s s"]:
    """Return the logits, lowered outside all listed masks except in kept cells and along their outlines.

    Args:
        logits: Logits of a track.
        kept: Cells of the parts that are kept.
        window: What the windows of the track show.
        certain: Logit from which a cell is kept in any case.
    """
    kept = kept | (logits >= certain)
    square = np.ones((1, 3, 3), dtype=bool)
    # Between cell centres logits are interpolated: those beside a kept part tell where it ends.
    outline = binary_dilation(kept, square) & ((logits <= CUTS[0]) | (window.visible > 0.5))
    return np.where(kept | outline, logits, np.minimum(logits, NOT_COMPLETED))


def find_parts(logits: Float[np.ndarray, "t s s"], window: TrackWindows, since: int = 0) -> Parts:
    """Find the parts that a completion adds to the visible masks of a track outside the masks of other objects.

    Frames in which nothing is visible have no parts.

    Args:
        logits: Logits of the track in consecutive frames; -inf in frames outside its span.
        window: What its windows show.
        since: First frame whose parts are found; those before it are only compared with.
    """
    shown = window.visible > 0.5
    probability = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    labels = np.zeros((len(logits), len(CUTS), *logits.shape[1:]), dtype=np.int32)
    parents: list[Int[np.ndarray, " k"]] = []
    features: list[Float[np.ndarray, "k f"]] = []
    count = 0
    for t in (since + np.flatnonzero(shown[since:].any(axis=(1, 2)))).tolist():
        frame = _Frame.of(t, logits, probability, shown, window)
        for level in range(len(CUTS)):
            cells, found = frame.part_cells(level)
            labels[t, level][cells > 0] = cells[cells > 0] + count
            below = labels[t, level - 1] if level else np.zeros_like(cells)
            parents.append(_greatest(below, cells, found).astype(int) - 1)
            features.append(frame.describe(level, cells, found))
            count += found
    width = len(FEATURES)
    return Parts(
        labels, np.concatenate([*parents, np.zeros(0, int)]), np.concatenate([*features, np.zeros((0, width))])
    )


@dataclass(frozen=True)
class _Frame:
    """Maps of one frame over its window."""

    logits: Float[np.ndarray, "s s"]
    free: Bool[np.ndarray, "s s"]
    """Cells inside the image that show no listed object."""
    shown: Bool[np.ndarray, "s s"]
    others: Bool[np.ndarray, "s s"]
    inside: Bool[np.ndarray, "s s"]
    distance: Float[np.ndarray, "s s"]
    """Distance from the visible mask in cells."""
    between: Bool[np.ndarray, "s s"]
    """Cells between visible cells of the same row or column."""
    usual: Float[np.ndarray, "s s"]
    """Share of the near frames in which a cell is visible."""
    lasting: Float[np.ndarray, "s s"]
    """Mean probability in the next frames."""
    relative: float
    """Log of the visible area over the greatest one of near frames."""

    @staticmethod
    def of(
        t: int,
        logits: Float[np.ndarray, "t s s"],
        probability: Float[np.ndarray, "t s s"],
        shown: Bool[np.ndarray, "t s s"],
        window: TrackWindows,
    ) -> _Frame:
        others, inside = window.others[t] > 0.5, window.inside[t] > 0.5
        gap = np.abs(np.arange(len(shown)) - t)
        near, following = (gap > 0) & (gap <= NEAR), (gap > 0) & (gap <= NEXT)
        areas = np.count_nonzero(shown[gap <= NEAR], axis=(1, 2))
        return _Frame(
            logits[t],
            inside & ~shown[t] & ~others,
            shown[t],
            others,
            inside,
            np.asarray(distance_transform_edt(~shown[t])),
            _between(shown[t]),
            _mean(shown[near], np.zeros(shown.shape[1:])),
            _mean(probability[following], probability[t]),
            float(np.log(np.count_nonzero(shown[t]) / areas.max())),
        )

    def part_cells(self, level: int) -> tuple[Int[np.ndarray, "s s"], int]:
        """Return the number of the part at each cell, from 1, and the count of the parts of a cut."""
        cells, found = label(self.free & (self.logits > CUTS[level]))
        large = np.bincount(cells.ravel(), minlength=found + 1) >= LEAST_CELLS
        large[0] = False
        return np.where(large, np.cumsum(large), 0)[cells], int(np.count_nonzero(large))

    def describe(self, level: int, cells: Int[np.ndarray, "s s"], found: int) -> Float[np.ndarray, "k f"]:
        """Return the features of the parts of a cut."""

        def total(values: Float[np.ndarray, "s s"] | Bool[np.ndarray, "s s"]) -> Float[np.ndarray, " k"]:
            return np.bincount(cells.ravel(), values.ravel().astype(np.float64), found + 1)[1:]

        area = np.count_nonzero(self.shown)
        size, root = np.maximum(total(np.ones_like(self.shown)), 1), np.sqrt(area)
        outline, *borders = (
            total(_neighbours(where, cells))
            for where in (np.ones_like(self.shown), self.shown, self.others, ~self.inside)
        )
        outline = np.maximum(outline, 1)
        rows, columns = np.mgrid[: cells.shape[0], : cells.shape[1]]
        row, column = (place[self.shown].mean() for place in (rows, columns))
        return np.stack(
            [
                np.full(found, CUTS[level]),
                np.minimum(_greatest(self.distance, cells, found) / root, 3),
                total(self.distance) / size / root,
                total(np.clip(self.logits, -30, 30)) / size,
                _greatest(self.logits, cells, found),
                np.log(size / area),
                *(border / outline for border in borders),
                total(self.between) / size,
                total(self.usual) / size,
                total(self.lasting) / size,
                np.full(found, self.relative),
                (total(rows) / size - row) / root,
                np.abs(total(columns) / size - column) / root,
                np.log(size / outline**2),
            ],
            axis=1,
        )


def _greatest(
    values: Float[np.ndarray, "s s"] | Int[np.ndarray, "s s"], cells: Int[np.ndarray, "s s"], found: int
) -> Float[np.ndarray, " k"]:
    """Return the greatest value in each part."""
    greatest = np.full(found + 1, -np.inf)
    np.maximum.at(greatest, cells.ravel(), values.ravel().astype(np.float64))
    return greatest[1:]


def _mean(frames: Float[np.ndarray, "t s s"], default: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    return np.asarray(frames.mean(axis=0)) if len(frames) else default


def _between(shown: Bool[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    def after(axis: int, step: int) -> Bool[np.ndarray, "s s"]:
        turned = np.moveaxis(shown, axis, 0)[::step]
        return np.moveaxis(np.logical_or.accumulate(turned, axis=0)[::step], 0, axis)

    return np.asarray((after(0, 1) & after(0, -1)) | (after(1, 1) & after(1, -1)))


def _neighbours(where: Bool[np.ndarray, "s s"], cells: Int[np.ndarray, "s s"]) -> Int[np.ndarray, "s s"]:
    """Return how many of the four neighbours of each cell are such cells and of another part."""
    padded, parts = np.pad(where, 1), np.pad(cells, 1)
    count = np.zeros(cells.shape, dtype=np.int64)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        side = (slice(rows, rows + len(cells)), slice(columns, columns + len(cells)))
        count += padded[side] & (parts[side] != cells)
    return count
