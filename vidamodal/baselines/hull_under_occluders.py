"""What is visible, and of its convex hull what other objects cover."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.baselines._hull import convex_hull
from vidamodal.types import Rle

UNDER_OCCLUDERS = True


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Each frame's hull under occluders; nothing where nothing is visible, or known to be."""
    return [
        Rle.empty(c.height, c.width) if v is None else _complete(v, c) for v, c in zip(visible, covered, strict=True)
    ]


def _complete(visible: Rle, covered: Rle) -> Rle:
    mask = visible.decode()
    return Rle.encode(mask | (convex_hull(mask) & covered.decode()))
