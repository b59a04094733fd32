"""Baseline that predicts the convex hull of the visible mask."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.baselines._convex_hull import convex_hull
from vidamodal.types import Rle

ID = "hull"
ADDS_ONLY_UNDER_OCCLUDERS = False  # a hull also extends over the background


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Return the hull of each frame's visible mask, empty where it is empty or not known."""
    return [
        Rle.empty(c.height, c.width) if v is None else Rle.encode(convex_hull(v.decode()))
        for v, c in zip(visible, covered, strict=True)
    ]
