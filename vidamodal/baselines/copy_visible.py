"""Baseline that completes nothing: the amodal mask is the visible mask."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.types import Rle

ID = "copy-visible"
ADDS_ONLY_UNDER_OCCLUDERS = True


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """Return the visible masks, empty where they are not known."""
    return [Rle.empty(c.height, c.width) if v is None else v for v, c in zip(visible, covered, strict=True)]
