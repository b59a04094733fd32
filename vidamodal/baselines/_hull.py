"""Convex hulls of masks, exact to the pixel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy.spatial import ConvexHull

Mask = Bool[np.ndarray, "h w"]

_LEVEL = 1e-9
"""Edges whose outward normal has less than this along x bound rows, not columns."""
_TIE = 1e-6
"""Pixels; a centre on the hull's outline is outside, on every side alike."""


def convex_hull(mask: Mask) -> Mask:
    """The pixels whose centres lie within the convex hull of the mask's pixels, each taken as a square."""
    filled = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return filled
    first = mask[rows].argmax(axis=1)
    past = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, past) for y in (rows, rows + 1)]
    across, down, offset = ConvexHull(np.concatenate(corners)).equations.T[:, :, None]  # <= 0 inside each edge
    ys = np.arange(rows[0], rows[-1] + 1)
    xs = np.arange(first.min(), past.max())
    edges = down * (ys + 0.5) + offset  # (edges, rows): what remains for x
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = -edges / across
    left = np.where(across < -_LEVEL, crossings, -np.inf).max(axis=0)
    right = np.where(across > _LEVEL, crossings, np.inf).min(axis=0)
    centres = xs + 0.5
    inside = (centres > left[:, None] + _TIE) & (centres < right[:, None] - _TIE)
    filled[np.ix_(ys, xs)] = inside
    return filled
