"""Baseline that adds to the visible mask the part of its convex hull that other objects cover."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.baselines._convex_hull import convex_hull
from vidamodal.types import Rle

ID = "hull-under-occluders"
ADDS_ONLY_UNDER_OCCLUDERS = True


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Return each frame's visible mask with the covered part of its hull, empty where it is empty or not known."""
    return [
        Rle.empty(c.height, c.width) if v is None else _complete_frame(v, c)
        for v, c in zip(visible, covered, strict=True)
    ]


def _complete_frame(visible: Rle, covered: Rle) -> Rle:
    mask = visible.decode()
    return Rle.encode(mask | (convex_hull(mask) & covered.decode()))
