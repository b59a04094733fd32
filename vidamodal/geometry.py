"""Windows of an image: cutting pixels to a grid of cells, and pasting values of cells back at the pixels.

Image coordinates are in pixels, x to the right, y down; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Window:
    """The rectangle around an object in one frame that a model sees; it may reach beyond the image."""

    center: tuple[float, float]
    """(x, y) in pixels."""
    side: tuple[float, float]
    """(width, height) in pixels."""
    shown: tuple[int, int, int, int] | None = None
    """(top, left, bottom, right) in pixels: the part of the image that the window shows; None is all of it."""

    @staticmethod
    def around(height: int, width: int) -> Window:
        """Return the smallest square that holds a whole image, centred on it."""
        side = float(max(height, width))
        return Window((width / 2, height / 2), (side, side))

    @property
    def area(self) -> float:
        """Area in pixels."""
        return self.side[0] * self.side[1]


@dataclass(frozen=True)
class Windows:
    """Windows of n tracks over t frames: see `Window`. All entries of a track that is never visible are nan."""

    center: Float[np.ndarray, "n t 2"]
    side: Float[np.ndarray, "n t 2"]
    shown: Int[np.ndarray, "n t 4"] | None = None

    def at(self, track: int, frame: int) -> Window:
        """Return the window of one track in one frame."""
        x, y = self.center[track, frame].tolist()
        width, height = self.side[track, frame].tolist()
        if self.shown is None:
            return Window((x, y), (width, height))
        top, left, bottom, right = self.shown[track, frame].tolist()
        return Window((x, y), (width, height), (top, left, bottom, right))

    @cached_property
    def areas(self) -> Float[np.ndarray, "n t"]:
        """Areas in pixels."""
        return np.asarray(self.side.prod(axis=2))


@dataclass(frozen=True)
class Pieces:
    """k pieces of columns of pixels, which do not overlap, sorted by column."""

    columns: Int[np.ndarray, " k"]
    tops: Int[np.ndarray, " k"]
    """First row of each piece."""
    bottoms: Int[np.ndarray, " k"]
    """One past the last row."""

    @staticmethod
    def of(mask: Bool[np.ndarray, "h w"]) -> Pieces:
        """Return the pieces of a mask."""
        height, width = mask.shape
        # A background pixel at the end of each column, and one in front of the first, delimit the pieces.
        padded = np.zeros(width * (height + 1) + 1, dtype=bool)
        padded[1:].reshape(width, height + 1)[:, :height] = mask.T
        columns, rows = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), height + 1)
        return Pieces(columns[::2], rows[::2], rows[1::2])

    def some(self, chosen: Int[np.ndarray, " n"]) -> Pieces:
        """Return some of the pieces, by their places in order."""
        return Pieces(self.columns[chosen], self.tops[chosen], self.bottoms[chosen])


@dataclass(frozen=True)
class Resampling:
    """Weights that average a line of pixels to the cells of a window.

    Products are sparse: only the pixels near a cell have a weight, and the threads of a BLAS library, which would wait
    for each other, are not used.
    """

    pixels: slice
    """The p pixels of the line that have weights."""
    first: Int[np.ndarray, " cells"]
    """The first pixel near each cell, relative to ``pixels``; it may lie outside."""
    weights: Float[np.ndarray, "cells n"]
    """Weights of the n pixels from there on; zero for those outside ``pixels``."""

    def cells(self, values: Shaped[np.ndarray, "p q"]) -> Float[np.ndarray, "cells q"]:
        """Return the cells of q lines, of which the pixels that have weights are given along the first axis."""
        return np.asarray(self._matrix(np.arange(len(values)), None) @ values)

    def average(
        self, places: Int[np.ndarray, " k"], lines: Float[np.ndarray, "k q"], factors: Float[np.ndarray, " k"] | None
    ) -> Float[np.ndarray, "cells q"]:
        """Return the cells of q lines that consist of k parts of single pixels.

        Args:
            places: Pixel of each part, relative to ``pixels``, in order; several parts may have one.
            lines: The values of the parts.
            factors: Factor of each part; None if all are 1.
        """
        return np.asarray(self._matrix(places, factors) @ lines)

    @cached_property
    def before(self) -> Float[np.ndarray, "p_plus_1 cells"]:
        """Sum of the weights before each pixel, for each cell."""
        pixels, cells = np.arange(self.pixels.stop - self.pixels.start + 1), np.arange(len(self.first))
        index = self.first[:, None] + np.arange(1, self.weights.shape[1] + 1)
        sums = np.cumsum(self.weights, axis=1)
        # All weights of the first cells lie before a pixel, some of those of the next, and none of the others.
        whole = np.tri(len(cells) + 1, len(cells), -1, dtype=np.float32) * sums[:, -1]
        out = whole.take(np.searchsorted(index[:, -1], pixels, side="right"), axis=0)
        inside = (index >= 1) & (index < len(pixels))
        out[index[inside], np.broadcast_to(cells[:, None], index.shape)[inside]] = sums[inside]
        return np.asarray(out)

    @cached_property
    def shares(self) -> Float[np.ndarray, " cells"]:
        """Share of each cell that lies inside the line."""
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def centers(self) -> Int[np.ndarray, " cells"]:
        """The pixel of the largest weight of each cell, not decreasing; any for a cell without weights."""
        largest = self.pixels.start + self.first + self.weights.argmax(axis=1)
        return np.asarray(np.clip(largest, self.pixels.start, max(self.pixels.stop - 1, self.pixels.start)))

    def _matrix(self, places: Int[np.ndarray, " k"], factors: Float[np.ndarray, " k"] | None) -> csr_array:
        """Return the weights (cells x k) of some pixels in order."""
        start = np.searchsorted(places, self.first)
        counts = np.searchsorted(places, self.first + self.weights.shape[1]) - start
        ends = np.cumsum(counts)
        cell = np.repeat(np.arange(len(counts)), counts)
        part = np.arange(len(cell)) + (start - ends + counts)[cell]
        weights = self.weights[cell, places[part] - self.first[cell]]
        if factors is not None:
            weights = weights * factors[part]
        return csr_array((weights, part, np.append(0, ends)), shape=(len(counts), len(places)))


@dataclass(frozen=True)
class Cropper:
    """Resampling of an image to a window of cells x cells."""

    rows: Resampling
    columns: Resampling

    @staticmethod
    def at(window: Window, cells: int, height: int, width: int) -> Cropper:
        """Create the cropper of one window.

        Args:
            window: The window to cut out.
            cells: Cells along each side of the result.
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        top, left, bottom, right = window.shown or (0, 0, height, width)
        return Cropper(
            crop_weights(window.center[1], window.side[1], cells, slice(top, bottom)),
            crop_weights(window.center[0], window.side[0], cells, slice(left, right)),
        )

    @property
    def inside(self) -> Float[np.ndarray, "cells cells"]:
        """Share of each cell that lies inside the image."""
        return np.outer(self.rows.shares, self.columns.shares)

    def cut(self, mask: Bool[np.ndarray, "h w"] | Pieces) -> Float[np.ndarray, "cells cells"]:
        """Return the mean of each cell: for a mask, the covered share of the cell in [0, 1]."""
        return np.asarray(self.cut_values(mask if isinstance(mask, Pieces) else Pieces.of(mask), [None])[0])

    def cut_values(
        self, pieces: Pieces, values: Sequence[Float[np.ndarray, " k"] | None]
    ) -> Float[np.ndarray, "planes cells cells"]:
        """Return the mean of each cell for several values of the same pieces; None is 1 for all of them."""
        rows, columns = self.rows, self.columns
        near = slice(*np.searchsorted(pieces.columns, (columns.pixels.start, columns.pixels.stop)))
        shown = (pieces.tops[near] < rows.pixels.stop) & (pieces.bottoms[near] > rows.pixels.start)
        near, start = near.start + np.flatnonzero(shown), rows.pixels.start
        covered = rows.before.take(pieces.bottoms[near] - start, axis=0, mode="clip")
        covered -= rows.before.take(pieces.tops[near] - start, axis=0, mode="clip")
        places = pieces.columns[near] - columns.pixels.start
        planes = [columns.average(places, covered, None if each is None else each[near]) for each in values]
        return np.stack(planes).transpose(0, 2, 1)

    def cut_image(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 cells cells"]:
        """Return the colours of each cell in [0, 1]; zero outside the image."""
        rows, columns = self.rows.pixels, self.columns.pixels
        part = rearrange(image[rows, columns], "h w c -> h (w c)").astype(np.float32) / 255
        tall = rearrange(self.rows.cells(part), "s (w c) -> w (c s)", c=3)
        return np.asarray(rearrange(self.columns.cells(tall), "r (c s) -> c s r", c=3))

    def pick(
        self, values: Shaped[np.ndarray, "h w"], outside: float | np.generic = 0
    ) -> Shaped[np.ndarray, "cells cells"]:
        """Return the value at the centre of each cell, such as a label; ``outside`` beyond the image."""
        picked = values[np.ix_(self.rows.centers, self.columns.centers)]
        return np.asarray(np.where(self.inside > 0.5, picked, values.dtype.type(outside)))


def crop_weights(center: float, side: float, cells: int, pixels: slice) -> Resampling:
    """Return the weights that resample a line of pixels to the cells of a window, with an antialiasing tent filter.

    The weights of a cell sum to 1 inside the line and to less at its ends.

    Args:
        center: Centre of the window.
        side: Side of the window in pixels.
        cells: Number of cells.
        pixels: The pixels of the line; those beyond have no weight.
    """
    pitch = side / cells
    at = center - side / 2 + (np.arange(cells) + 0.5) * pitch
    reach = max(pitch, 1.0)
    # The tent is sampled at all pixel centres, those beyond the line included, so that it is normalised correctly.
    first = np.floor(at - reach).astype(int)
    index = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weight = np.maximum(1 - np.abs(index + 0.5 - at[:, None]) / reach, 0)
    weight /= weight.sum(axis=1, keepdims=True)
    used = intersection(pixels, slice(int(first[0]), int(index[-1, -1]) + 1))
    weight[(index < used.start) | (index >= used.stop)] = 0
    return Resampling(used, first - used.start, weight.astype(np.float32))


def paste(
    values: Float[np.ndarray, "cells cells"], window: Window, height: int, width: int, step: int = 1
) -> tuple[slice, slice, Float[np.ndarray, "p q"]]:
    """Interpolate the values of a window at the pixels of an image that it covers.

    Args:
        values: One value for each cell of the window.
        window: Where the window lies.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        step: Every how many rows and columns a value is interpolated.

    Returns:
        The rows and the columns of the values, and the values, column-major.
    """
    top, left, bottom, right = window.shown or (0, 0, height, width)
    rows, near_rows = _neighbours(window.center[1], window.side[1], len(values), slice(top, bottom), step)
    columns, near_columns = _neighbours(window.center[0], window.side[0], len(values), slice(left, right), step)
    return rows, columns, near_columns.interpolate(near_rows.interpolate(values).T).T


def pieces_above(
    values: Float[np.ndarray, "cells cells"],
    limits: float | Float[np.ndarray, " k"],
    window: Window,
    height: int,
    width: int,
    pieces: Pieces | None = None,
) -> Pieces:
    """Return the pixels at which the interpolated values of a window exceed a limit: see `paste`.

    Args:
        values: One value for each cell of the window.
        limits: The limit, or one for each piece.
        window: Where the window lies.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        pieces: The pixels that are looked at; None for all that the window covers.
    """
    top, left, bottom, right = window.shown or (0, 0, height, width)
    rows = _covered(window.center[1], window.side[1], slice(top, bottom))
    columns, near = _neighbours(window.center[0], window.side[0], len(values), slice(left, right), 1)
    tall = near.interpolate(np.ascontiguousarray(values.T))
    if pieces is None:
        column = np.arange(len(tall))
        lowest, highest, limit = (np.full(len(tall), each) for each in (rows.start, rows.stop, limits))
    else:
        shown = slice(*np.searchsorted(pieces.columns, (columns.start, columns.stop)))
        column, limit = pieces.columns[shown] - columns.start, np.broadcast_to(limits, pieces.columns.shape)[shown]
        lowest, highest = np.maximum(pieces.tops[shown], rows.start), np.minimum(pieces.bottoms[shown], rows.stop)
        tall = tall[column]
    # Between the centres of two cells of a column, the values are linear; beyond the first and the last, constant.
    above = np.zeros((len(tall), len(values) + 2), dtype=bool)
    np.greater(tall, limit[:, None], out=above[:, 1:-1])
    piece, before = np.divmod(np.flatnonzero(above[:, 1:] != above[:, :-1]), len(values) + 1)
    low, high = np.maximum(before - 1, 0), np.minimum(before, len(values) - 1)
    one, other = tall[piece, low].astype(np.float64), tall[piece, high].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(low < high, (limit[piece] - one) / (other - one), 0.0)
    pitch = window.side[1] / len(values)
    at = window.center[1] - window.side[1] / 2 + (low + share + 0.5) * pitch - 0.5
    begins = np.where(before[::2] > 0, np.floor(at[::2]) + 1, rows.start)
    ends = np.where(before[1::2] < len(values), np.ceil(at[1::2]), rows.stop)
    piece = piece[::2]
    tops, bottoms = (np.clip(each, lowest[piece], highest[piece]).astype(np.intp) for each in (begins, ends))
    kept = tops < bottoms
    return Pieces(columns.start + column[piece[kept]], tops[kept], bottoms[kept])


@dataclass(frozen=True)
class _Neighbours:
    """The two cells between whose centres each of p pixels of a line lies."""

    low: Int[np.ndarray, " p"]
    """The first of the two cells."""
    share: Float[np.ndarray, " p"]
    """Weight of the second."""

    def interpolate(self, values: Float[np.ndarray, "cells q"]) -> Float[np.ndarray, "p q"]:
        """Return the values at the pixels of q lines of cells."""
        share = self.share[:, None]
        return np.asarray(values[self.low] * (1 - share) + values[self.low + 1] * share)


def _covered(center: float, side: float, pixels: slice) -> slice:
    """Return the pixels of a line whose centres a window covers."""
    start = center - side / 2
    first = int(np.clip(np.ceil(start - 0.5), pixels.start, pixels.stop))
    return slice(first, int(np.clip(np.floor(start + side - 0.5) + 1, first, pixels.stop)))


def _neighbours(center: float, side: float, cells: int, pixels: slice, step: int) -> tuple[slice, _Neighbours]:
    """Return the pixels of a line that a window covers, in steps, and how its cells are interpolated there."""
    covered = _covered(center, side, pixels)
    covered = slice(covered.start + min(step // 2, max(covered.stop - covered.start - 1, 0)), covered.stop, step)
    at = (np.arange(covered.start, covered.stop, step) + 0.5 - center + side / 2) / side * cells - 0.5
    at = np.clip(at, 0, cells - 1)
    low = np.minimum(at.astype(np.intp), cells - 2)
    return covered, _Neighbours(low, (at - low).astype(np.float32))


def intersection(one: slice, other: slice) -> slice:
    """Return the pixels that lie in two ranges; an empty range within the first if there are none."""
    start = min(max(one.start, other.start), one.stop)
    return slice(start, max(start, min(one.stop, other.stop)))


def centroid(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " 2"]:
    """Return the mean row and column of the pixels of a mask that is not empty."""
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    return np.asarray(np.array([np.arange(n.size) @ n for n in (rows, columns)]) / rows.sum())


def resize_nearest(values: Shaped[np.ndarray, "p q"], height: int, width: int) -> Shaped[np.ndarray, "h w"]:
    """Resize an array by nearest neighbours: a mean of two depths or two ids belongs to neither."""
    if values.shape == (height, width):
        return values
    return np.asarray(values[np.ix_(_cell_centres(height, values.shape[0]), _cell_centres(width, values.shape[1]))])


def _cell_centres(target: int, source: int) -> Int[np.ndarray, " target"]:
    return ((np.arange(target) + 0.5) * source / target).astype(np.intp)
