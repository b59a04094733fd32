"""Windows of an image: cutting pixels to a grid of cells, and pasting values of cells back at the pixels.

Image coordinates are in pixels, x to the right, y down; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped, UInt8


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
class Cropper:
    """Resampling of an image of h x w pixels to a window of cells x cells."""

    rows: Float[np.ndarray, "cells h"]
    columns: Float[np.ndarray, "cells w"]

    @staticmethod
    def at(window: Window, cells: int, height: int, width: int) -> Cropper:
        """Create the cropper of one window.

        Args:
            window: The window to cut out.
            cells: Cells along each side of the result.
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        rows = crop_matrix(window.center[1], window.side[1], cells, height)
        columns = crop_matrix(window.center[0], window.side[0], cells, width)
        if window.shown is not None:
            top, left, bottom, right = window.shown
            rows[:, :top] = rows[:, bottom:] = 0
            columns[:, :left] = columns[:, right:] = 0
        return Cropper(rows, columns)

    @property
    def inside(self) -> Float[np.ndarray, "cells cells"]:
        """Share of each cell that lies inside the image."""
        return np.outer(self.rows.sum(axis=1), self.columns.sum(axis=1))

    def cut(self, image: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "cells cells"]:
        """Return the mean of each cell: for a mask, the covered share of the cell in [0, 1]."""
        top, bottom = _support(self.rows)
        left, right = _support(self.columns)
        if top == bottom or left == right:
            return np.zeros((len(self.rows), len(self.columns)), dtype=np.float32)
        part = image[top:bottom, left:right].astype(np.float32)
        return np.asarray(self.rows[:, top:bottom] @ part @ self.columns[:, left:right].T)

    def cut_image(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 cells cells"]:
        """Return the colours of each cell in [0, 1]; zero outside the image."""
        top, bottom = _support(self.rows)
        left, right = _support(self.columns)
        part = rearrange(image[top:bottom, left:right], "h w c -> c h w").astype(np.float32) / 255
        return np.asarray(self.rows[:, top:bottom] @ part @ self.columns[:, left:right].T)

    def pick(
        self, values: Shaped[np.ndarray, "h w"], outside: float | np.generic = 0
    ) -> Shaped[np.ndarray, "cells cells"]:
        """Return the value at the centre of each cell, such as a label; ``outside`` beyond the image."""
        picked = values[np.ix_(self.rows.argmax(axis=1), self.columns.argmax(axis=1))]
        return np.where(self.inside > 0.5, picked, values.dtype.type(outside))


def crop_matrix(center: float, side: float, cells: int, pixels: int) -> Float[np.ndarray, "cells pixels"]:
    """Return the weights that resample a line of pixels to the cells of a window, with an antialiasing tent filter.

    Rows sum to 1 inside the image and to less at its border: their sum is the share of the cell inside the image.
    """
    pitch = side / cells
    at = center - side / 2 + (np.arange(cells) + 0.5) * pitch
    reach = max(pitch, 1.0)
    # The tent is sampled at all pixel centres, those beyond the image included, so that it is normalised correctly.
    first = np.floor(at - reach).astype(int)
    index = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weight = np.maximum(1 - np.abs(index + 0.5 - at[:, None]) / reach, 0)
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((cells, pixels), dtype=np.float32)
    inside = (index >= 0) & (index < pixels)
    rows = np.broadcast_to(np.arange(cells)[:, None], index.shape)
    matrix[rows[inside], index[inside]] = weight[inside]
    return matrix


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
        The rows and the columns that the window covers, and the values there.
    """
    rows, row_weights = paste_matrix(window.center[1], window.side[1], len(values), height)
    columns, column_weights = paste_matrix(window.center[0], window.side[0], len(values), width)
    if window.shown is not None:
        top, left, bottom, right = window.shown
        rows, row_weights = _restrict(rows, row_weights, top, bottom)
        columns, column_weights = _restrict(columns, column_weights, left, right)
    return rows, columns, row_weights @ values @ column_weights.T


def paste_matrix(center: float, side: float, cells: int, pixels: int) -> tuple[slice, Float[np.ndarray, "p cells"]]:
    """Return the p pixels of a line whose centres a window covers, and the weights that interpolate its cells there."""
    start = center - side / 2
    first = int(np.clip(np.ceil(start - 0.5), 0, pixels))
    last = int(np.clip(np.floor(start + side - 0.5) + 1, first, pixels))
    at = np.clip((np.arange(first, last) + 0.5 - start) / side * cells - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(int), cells - 2)
    matrix = np.zeros((last - first, cells), dtype=np.float32)
    rows = np.arange(last - first)
    matrix[rows, low] = 1 - (at - low)
    matrix[rows, low + 1] = at - low
    return slice(first, last), matrix


def _support(matrix: Float[np.ndarray, "cells pixels"]) -> tuple[int, int]:
    """Return the range of pixels with a weight that is not zero."""
    used = np.flatnonzero(matrix.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def _restrict(
    pixels: slice, matrix: Float[np.ndarray, "p cells"], first: int, last: int
) -> tuple[slice, Float[np.ndarray, "q cells"]]:
    """Keep the pixels in [first, last)."""
    start, stop = max(pixels.start, first), min(pixels.stop, last)
    stop = max(start, stop)
    return slice(start, stop), matrix[start - pixels.start : stop - pixels.start]


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
