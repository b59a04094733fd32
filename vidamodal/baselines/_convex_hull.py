"""Convex hulls of masks, exact to the pixel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy.spatial import ConvexHull

Mask = Bool[np.ndarray, "h w"]

_HORIZONTAL = 1e-9
"""Edges with an outward normal of less than this along x bound rows, not columns."""
_TIE = 1e-6
"""Margin in pixels that keeps a pixel centre on the hull's outline outside, on all sides alike."""


def convex_hull(mask: Mask) -> Mask:
    """Return the pixels that have their centres within the convex hull of the mask's pixels, each taken as a square."""
    filled = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return filled
    first = mask[rows].argmax(axis=1)
    past = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, past) for y in (rows, rows + 1)]
    normal_x, normal_y, offset = ConvexHull(np.concatenate(corners)).equations.T[:, :, None]  # <= 0 inside each edge
    ys = np.arange(rows[0], rows[-1] + 1)
    xs = np.arange(first.min(), past.max())
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = -(normal_y * (ys + 0.5) + offset) / normal_x  # (edges, rows): x of each edge at each row
    left = np.where(normal_x < -_HORIZONTAL, crossings, -np.inf).max(axis=0)
    right = np.where(normal_x > _HORIZONTAL, crossings, np.inf).min(axis=0)
    centres = xs + 0.5
    filled[np.ix_(ys, xs)] = (centres > left[:, None] + _TIE) & (centres < right[:, None] - _TIE)
    return filled
