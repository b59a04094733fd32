"""Outlines of masks as closed lines, and the smoothing and dashing of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex, Int

from vidamodal.types import Mask

Points = Complex[np.ndarray, " p"]
"""Points of a line as x + iy, so that distances and averages are single operations."""


@dataclass(frozen=True)
class Contour:
    """A closed edge of a mask.

    Attributes:
        points: Midpoints of the pixel sides along the edge, in order.
        inside: Flat index of the pixel inside the mask that each side belongs to.
    """

    points: Points
    inside: Int[np.ndarray, " p"]


def trace_contours(mask: Mask) -> Iterator[Contour]:
    """Yield all edges of a mask, outer ones clockwise and holes anticlockwise.

    As many pixel sides enter a corner as leave it, so the sorted ends equal the sorted starts. Pairing the two
    sequences gives each side a successor, and the successors form closed loops.
    """
    padded = np.pad(mask, 1)
    width = padded.shape[1]
    flat = padded.ravel()  # a corner has the index of the pixel to its lower right
    sides = ((-width, 0, 1), (1, 1, width + 1), (width, width + 1, width), (-1, width, 0))  # neighbour, start, end
    pixels = [np.flatnonzero(flat & ~np.roll(flat, -neighbour)) for neighbour, _, _ in sides]
    starts = np.concatenate([pixel + start for pixel, (_, start, _) in zip(pixels, sides, strict=True)])
    ends = np.concatenate([pixel + end for pixel, (_, _, end) in zip(pixels, sides, strict=True)])
    successor = np.empty_like(starts)
    successor[np.argsort(ends, kind="stable")] = np.argsort(starts, kind="stable")
    x, y = starts % width + ends % width, starts // width + ends // width
    points = (x + 1j * y) / 2 - (1 + 1j)
    pixel_y, pixel_x = np.divmod(np.concatenate(pixels), width)
    inside = (pixel_y - 1) * mask.shape[1] + pixel_x - 1
    for loop in _cycles(successor.tolist()):
        yield Contour(points[loop], inside[loop])


def smooth(points: Points, window: int) -> Points:
    """Return the moving average along a closed line; the window is at most a quarter of its length."""
    half = min(window, len(points) // 4) // 2
    wrapped = np.concatenate([points[len(points) - half :], points, points[:half]])
    return np.convolve(wrapped, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")


def on_dash(points: Points, scale: int, dash: float, gap: float) -> Bool[np.ndarray, " p"]:
    """Return which points of a closed line lie on a dash.

    Args:
        points: The line.
        scale: Factor by which the line will be enlarged.
        dash: Length of a dash on the enlarged line, adjusted so that a whole number fits.
        gap: Length of the gap after it.
    """
    along = np.cumsum(abs(points - _start_at(points, -1))) * scale
    count = max(1, round(along[-1] / (dash + gap)))
    phase: np.ndarray = along * (count / max(along[-1], 1e-6)) % 1
    return phase < dash / (dash + gap)


def stretches(points: Points, painted: Bool[np.ndarray, " p"]) -> Iterator[Points]:
    """Yield the painted stretches of a closed line, each with the point after it."""
    if painted.all():
        yield np.concatenate([points, points[:2]])
        return
    first = int(np.argmin(painted))
    points = np.concatenate([_start_at(points, first), points[first : first + 1]])
    painted = np.concatenate([_start_at(painted, first), [False]])
    changes = (np.flatnonzero(painted[1:] != painted[:-1]) + 1).tolist()
    for begin, end in zip(changes[::2], changes[1::2], strict=True):
        yield points[begin : end + 1]


def _cycles(permutation: list[int]) -> Iterator[list[int]]:
    seen = [False] * len(permutation)
    for first in range(len(permutation)):
        cycle = []
        while not seen[first]:
            seen[first] = True
            cycle.append(first)
            first = permutation[first]
        if cycle:
            yield cycle


def _start_at(points: np.ndarray, first: int) -> np.ndarray:
    """Rotate a closed sequence; ``np.roll`` is several times slower on short ones."""
    return np.concatenate([points[first:], points[:first]])
