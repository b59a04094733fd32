"""Windows of an image: cutting pixels to a grid of cells, and pasting values of cells back at the pixels.

Image coordinates are in pixels, x to the right, y down; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped, UInt8

_BLOCK = 8
"""Cells that are resampled together: each product then reads only the pixels near them."""


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

    @property
    def areas(self) -> Float[np.ndarray, "n t"]:
        """Areas in pixels."""
        return np.asarray(self.side.prod(axis=2))


@dataclass(frozen=True)
class Resampling:
    """Weights that average a line of pixels to the cells of a window. Only the pixels near a cell have a weight."""

    pixels: slice
    """The p pixels of the line that have weights."""
    weights: Float[np.ndarray, "cells p"]
    blocks: tuple[tuple[slice, slice], ...]
    """Groups of cells, and the pixels of the line that they average."""

    def cells(self, values: Shaped[np.ndarray, "*batch k q"], first: int) -> Float[np.ndarray, "*batch cells q"]:
        """Return the cells of q lines of pixels.

        Args:
            values: Consecutive pixels, along the last axis but one; those before and after them are zero.
            first: Place of the first of these pixels in the line.
        """
        out = np.zeros((*values.shape[:-2], len(self.weights), values.shape[-1]), dtype=np.float32)
        known = slice(first, first + values.shape[-2])
        for cells, pixels in self.blocks:
            near = intersection(pixels, known)
            if near.start < near.stop:
                weights = self.weights[cells, shifted(near, -self.pixels.start)]
                out[..., cells, :] = weights @ values[..., shifted(near, -first), :]
        return out

    @property
    def shares(self) -> Float[np.ndarray, " cells"]:
        """Share of each cell that lies inside the line."""
        return np.asarray(self.weights.sum(axis=1))

    @property
    def centers(self) -> Int[np.ndarray, " cells"]:
        """The pixel of the largest weight of each cell; any for a cell without weights."""
        if not self.weights.shape[1]:
            return np.zeros(len(self.weights), dtype=np.int64)
        return np.asarray(self.pixels.start + self.weights.argmax(axis=1))


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

    def cut(
        self, image: Shaped[np.ndarray, "p q"], corner: tuple[int, int] = (0, 0)
    ) -> Float[np.ndarray, "cells cells"]:
        """Return the mean of each cell: for a mask, the covered share of the cell in [0, 1].

        Args:
            image: The image, or a rectangle of it outside which it is zero.
            corner: Row and column of the upper left pixel of the rectangle.
        """
        (top, left), (height, width) = corner, image.shape
        rows = intersection(slice(top, top + height), self.rows.pixels)
        columns = intersection(slice(left, left + width), self.columns.pixels)
        part = image[shifted(rows, -top), shifted(columns, -left)].astype(np.float32)
        return self.columns.cells(self.rows.cells(part, rows.start).T, columns.start).T

    def cut_image(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 cells cells"]:
        """Return the colours of each cell in [0, 1]; zero outside the image."""
        rows, columns = self.rows.pixels, self.columns.pixels
        part = rearrange(image[rows, columns], "h w c -> c h w").astype(np.float32) / 255
        tall = rearrange(self.rows.cells(part, rows.start), "c s w -> c w s")
        return np.asarray(rearrange(self.columns.cells(tall, columns.start), "c r s -> c s r"))

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
    used = intersection(pixels, slice(int(index[0, 0]), int(index[-1, -1]) + 1))
    matrix = np.zeros((cells, used.stop - used.start), dtype=np.float32)
    inside = (index >= used.start) & (index < used.stop)
    rows = np.broadcast_to(np.arange(cells)[:, None], index.shape)
    matrix[rows[inside], index[inside] - used.start] = weight[inside]
    blocks = []
    for start in range(0, cells, _BLOCK):
        block = slice(start, min(start + _BLOCK, cells))
        blocks.append((block, intersection(used, slice(int(index[start, 0]), int(index[block.stop - 1, -1]) + 1))))
    return Resampling(used, matrix, tuple(blocks))


def paste(
    values: Float[np.ndarray, "cells cells"], window: Window, height: int, width: int
) -> tuple[slice, slice, Float[np.ndarray, "p q"]]:
    """Interpolate the values of a window at the pixels of an image that it covers.

    Args:
        values: One value for each cell of the window.
        window: Where the window lies.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        The rows and the columns that the window covers, and the values there, column-major.
    """
    top, left, bottom, right = window.shown or (0, 0, height, width)
    rows, row_weights = paste_matrix(window.center[1], window.side[1], len(values), slice(top, bottom))
    columns, column_weights = paste_matrix(window.center[0], window.side[0], len(values), slice(left, right))
    tall = (row_weights @ values).T
    out = np.empty((len(column_weights), len(row_weights)), dtype=tall.dtype)
    pitch = int(window.side[0] / len(values)) + 1
    for start in range(0, len(out), _BLOCK * pitch):
        block = slice(start, start + _BLOCK * pitch)
        near = np.flatnonzero(column_weights[block].any(axis=0))
        cells = slice(near[0], near[-1] + 1)
        np.matmul(column_weights[block, cells], tall[cells], out=out[block])
    return rows, columns, out.T


def paste_matrix(center: float, side: float, cells: int, pixels: slice) -> tuple[slice, Float[np.ndarray, "p cells"]]:
    """Return the p pixels of a line whose centres a window covers, and the weights that interpolate its cells there."""
    start = center - side / 2
    first = int(np.clip(np.ceil(start - 0.5), pixels.start, pixels.stop))
    last = int(np.clip(np.floor(start + side - 0.5) + 1, first, pixels.stop))
    at = np.clip((np.arange(first, last) + 0.5 - start) / side * cells - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(int), cells - 2)
    matrix = np.zeros((last - first, cells), dtype=np.float32)
    rows = np.arange(last - first)
    matrix[rows, low] = 1 - (at - low)
    matrix[rows, low + 1] = at - low
    return slice(first, last), matrix


def intersection(one: slice, other: slice) -> slice:
    """Return the pixels that lie in two ranges; an empty range within the first if there are none."""
    start = min(max(one.start, other.start), one.stop)
    return slice(start, max(start, min(one.stop, other.stop)))


def shifted(pixels: slice, by: int) -> slice:
    """Return a range of pixels moved by a number of pixels."""
    return slice(pixels.start + by, pixels.stop + by)


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
