"""The convex hull of what is visible."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.baselines._hull import convex_hull
from vidamodal.types import Rle

UNDER_OCCLUDERS = False  # a hull also reaches over what hides nothing


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Each frame's hull; nothing where nothing is visible, or known to be."""
    return [
        Rle.empty(c.height, c.width) if v is None else Rle.encode(convex_hull(v.decode()))
        for v, c in zip(visible, covered, strict=True)
    ]
