"""Objects without a mask that hide part of a track: the holes that they make, and how thick they have to be.

A hole between an arm and the body persists or returns; one that something else makes, as a ball before a player, does
not. Holes are found in the object's windows, which follow it, so that the same cell shows about the same part of the
object. A sliver along the outline, or the gap between two legs, is rarely an occluder: occluders are thick.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label, maximum

HOLE_LOGIT = np.float32(10.0)
"""Least logit in the short-lived holes of a visible mask."""

NOT_COMPLETED = np.float32(-10.0)
"""Logit where the completed mask is too thin."""

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


def thin_parts(
    chosen: Bool[np.ndarray, "s s"], visible: Bool[np.ndarray, "s s"], reach: float
) -> Bool[np.ndarray, "s s"]:
    """Return the cells of connected completed parts that stay close to the visible mask.

    Args:
        chosen: Cells that would be added to the visible mask.
        visible: Cells of the visible mask.
        reach: Least distance from the visible mask that a part must reach, over the root of the visible area.
    """
    parts, count = label(chosen)
    if not count:
        return np.zeros_like(chosen)
    distance = distance_transform_edt(~visible)
    farthest = maximum(distance, parts, np.arange(1, count + 1))
    thin = np.concatenate([[False], farthest < reach * np.sqrt(np.count_nonzero(visible))])
    return np.asarray(thin[parts])
