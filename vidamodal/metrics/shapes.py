"""Outlines, erosion and centroids of pixel masks, which may be cropped to a box around the object."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_dilation

Mask = Bool[np.ndarray, "h w"]

_TOLERANCE = 0.008
"""``bound_th`` of davis2017-evaluation, in image diagonals."""


def boundary_tolerance(height: int, width: int) -> int:
    """Return how far apart two outlines may lie and still match, in pixels: 0.008 image diagonals, as in DAVIS."""
    return math.ceil(_TOLERANCE * float(np.linalg.norm((height, width))))


def outline(mask: Mask) -> Mask:
    """Return the pixels that differ from their neighbour to the right, below, or diagonally below to the right.

    This is the rule of davis2017-evaluation, including its border: the last row looks only to the right, the last
    column only down, and the last pixel nowhere. A mask may be cropped to a box that leaves one empty pixel on each
    side that is not the image's border.
    """
    edge = np.zeros_like(mask)
    edge[:-1] = mask[:-1] ^ mask[1:]
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def boundary_f(predicted: Mask, true: Mask, tolerance: float) -> float:
    """Return DAVIS' boundary F: the F measure of two outlines that match within a disk.

    Args:
        predicted: Predicted mask.
        true: True mask.
        tolerance: Radius of the disk in pixels.

    Returns:
        F in [0, 1]; 1 if neither mask has an outline, 0 if only one has.
    """
    edges, true_edges = outline(predicted), outline(true)
    count, true_count = np.count_nonzero(edges), np.count_nonzero(true_edges)
    if not count or not true_count:
        return float(count == true_count)
    disk = _disk(tolerance)
    precision = np.count_nonzero(edges & binary_dilation(true_edges, disk)) / count
    recall = np.count_nonzero(true_edges & binary_dilation(edges, disk)) / true_count
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def adaptive_boundary_f(predicted: Mask, true: Mask, image: tuple[int, int]) -> float:
    """Return MOSEv2's boundary F: outlines match within a tenth of the size of the object.

    The radius is 0.1 times the square root of the true area, rounded up, and at most DAVIS' 0.008 image diagonals,
    which are not rounded here, but at least one pixel: in images with a diagonal below 73 pixels the original's disk
    is empty. Source: f_measure_adaptive of MOSE-api with ``bound_th=0.1`` and ``mode="area"``.

    Args:
        predicted: Predicted mask.
        true: True mask, not empty.
        image: Height and width of the image in pixels; the masks may be cropped.
    """
    radius = min(_TOLERANCE * float(np.linalg.norm(image)), math.ceil(0.1 * math.sqrt(np.count_nonzero(true))))
    return boundary_f(predicted, true, max(1.0, radius))


def erode(mask: Mask) -> Mask:
    """Erode a mask by 5 x 5 pixels; as in OpenCV, pixels beyond the image count as inside."""
    padded = np.pad(mask, 2, constant_values=True)
    rows = padded[:-4] & padded[1:-3] & padded[2:-2] & padded[3:-1] & padded[4:]
    return np.asarray(rows[:, :-4] & rows[:, 1:-3] & rows[:, 2:-2] & rows[:, 3:-1] & rows[:, 4:])


@lru_cache
def _disk(radius: float) -> Bool[np.ndarray, "d d"]:
    """Return a disk as scikit-image and OpenCV use it, mirrored and padded to an odd size for SciPy's dilation.

    The offsets of a disk start at -radius even if the radius is not an integer, so it may not be symmetric.
    """
    offsets = np.arange(-radius, radius + 1)
    disk = offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2
    if len(offsets) % 2 == 0:
        disk = np.pad(disk, ((0, 1), (0, 1)))
    return np.asarray(disk[::-1, ::-1])
