"""Nothing is completed."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.types import Rle

UNDER_OCCLUDERS = True


def complete(visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
    """What is visible; nothing where that is not known."""
    return [Rle.empty(c.height, c.width) if v is None else v for v, c in zip(visible, covered, strict=True)]
