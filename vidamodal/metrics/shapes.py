"""What needs pixels rather than run lengths: outlines, erosion and centres. Masks come cut to a box around them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation

Mask = Bool[np.ndarray, "h w"]

_BOUND = 0.008
"""Tolerance of DAVIS' boundary measure, in image diagonals."""


def boundary_reach(height: int, width: int) -> int:
    """How far apart two outlines may lie and still match, in pixels: davis2017-evaluation's ``bound_th`` of 0.008."""
    return math.ceil(_BOUND * float(np.linalg.norm((height, width))))


def outline(mask: Mask) -> Mask:
    """Pixels that differ from their neighbour to the right, below, or both: half a pixel up and left of the outline.

    davis2017-evaluation's rule, with its border: the last row looks only right, the last column only down, and the
    last pixel nowhere. A mask may be cut to a box that leaves one empty pixel around it wherever the image goes on.
    """
    edge = np.zeros_like(mask)
    edge[:-1] = mask[:-1] ^ mask[1:]
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def boundary_f(predicted: Mask, true: Mask, reach: int) -> float:
    """F measure of two masks' outlines, each within ``reach`` pixels (a disk) of the other: DAVIS' F.

    1 if neither has an outline, 0 if only one has.
    """
    ours, theirs = outline(predicted), outline(true)
    n_ours, n_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not n_ours or not n_theirs:
        return float(n_ours == n_theirs)
    disk = _disk(reach)
    precision = np.count_nonzero(ours & binary_dilation(theirs, disk)) / n_ours
    recall = np.count_nonzero(theirs & binary_dilation(ours, disk)) / n_theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def erode(mask: Mask) -> Mask:
    """Erosion by 5 x 5 pixels; what lies outside the image wears nothing away, as in OpenCV."""
    padded = np.pad(mask, 2, constant_values=True)
    rows = padded[:-4] & padded[1:-3] & padded[2:-2] & padded[3:-1] & padded[4:]
    return rows[:, :-4] & rows[:, 1:-3] & rows[:, 2:-2] & rows[:, 3:-1] & rows[:, 4:]


def centre(mask: Mask) -> Float[np.ndarray, " 2"]:
    """Mean row and column of the pixels of a mask that is not empty."""
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    return np.array([np.arange(n.size) @ n for n in (rows, columns)]) / rows.sum()


@lru_cache
def _disk(radius: int) -> Bool[np.ndarray, "d d"]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius
