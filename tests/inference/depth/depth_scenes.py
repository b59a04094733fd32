"""Clips of discs before a wall, on a floor, and their disparity."""

from __future__ import annotations

import numpy as np

from tests.inference.helpers import H, W, bar, clip_of, disc
from vidamodal.types import ClipTracks

FLOOR = np.linspace(0.1, 0.7, H, dtype=np.float32)[:, None].repeat(W, axis=1)
"""Disparity of an empty scene: the floor is nearest at the lower border."""


def disc_behind_bar(frames: int = 4, listed: bool = True) -> tuple[ClipTracks, np.ndarray]:
    """Return a disc that moves behind a bar, which has a mask or not, and the disparity of every frame."""
    visible = [disc(24 + t, 24, 12) & ~bar(34) for t in range(frames)]
    tracks = {1: visible, **({2: [bar(34)] * frames} if listed else {})}
    disparity = FLOOR[None].repeat(frames, axis=0)
    for values, mask in zip(disparity, visible, strict=True):
        values[mask] = 0.7
        values[bar(34)] = 1.2
    return clip_of(tracks), disparity
