"""Objects without a mask that hide part of a track: the short-lived holes that they make.

A hole between an arm and the body persists or returns; one that something else makes, as a ball before a player, does
not. Holes are found in the object's windows, which follow it, so that the same cell shows about the same part of the
object.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_fill_holes

HOLE_LOGIT = np.float32(10.0)
"""Least logit in the short-lived holes of a visible mask."""

REACH = 8
"""Frames before and after a frame that are compared with it."""

USUAL = 0.75
"""Share of these frames in which a cell must show the object for a hole in it to count as short-lived."""

LEAST_FRAMES = 4
"""Fewest frames to compare with."""


def short_holes(visible: Float[np.ndarray, "t s s"]) -> Bool[np.ndarray, "t s s"]:
    """Return the cells of enclosed holes of a visible mask that other frames usually fill.

    Args:
        visible: Visible share of each cell in consecutive frames, in windows that follow the object; zero in frames in
            which nothing is visible.
    """
    shown = visible > 0.5
    seen = shown.any(axis=(1, 2))
    holes = np.zeros_like(shown)
    for t in np.flatnonzero(seen):
        inside = binary_fill_holes(shown[t]) & ~shown[t]
        if not inside.any():
            continue
        frames = np.arange(len(shown))
        near = seen & (np.abs(frames - t) <= REACH) & (frames != t)
        if np.count_nonzero(near) >= LEAST_FRAMES:
            holes[t] = inside & (shown[near].mean(axis=0) >= USUAL)
    return holes
