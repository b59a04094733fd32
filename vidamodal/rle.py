"""Areas of masks and of what they share, counted on run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco

from vidamodal.types import Rle

Packed = dict[str, Any]
"""An RLE as pycocotools takes it."""
AT_ONCE = 255
"""With NumPy 2, pycocotools cannot tell the areas of more masks together."""


def pack(mask: Rle) -> Packed:
    """A mask as pycocotools takes it."""
    return {"size": [mask.height, mask.width], "counts": mask.counts.encode("ascii")}


def areas(masks: Sequence[Packed]) -> Float[np.ndarray, " n"]:
    """Pixels of each mask."""
    parts = [coco.area(list(masks[k : k + AT_ONCE])) for k in range(0, len(masks), AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def shared_area(*masks: Packed) -> int:
    """Pixels in the intersection of the masks."""
    return int(coco.area(coco.merge(list(masks), intersect=True)))


def overlaps(
    some: Sequence[Rle], others: Sequence[Rle]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"], Float[np.ndarray, " m"], Float[np.ndarray, " n"]]:
    """IoU and shared pixels of all pairs of masks of two lists, none of them empty, and the areas of both lists."""
    packed = [[pack(mask) for mask in masks] for masks in (some, others)]
    rows, columns = (areas(masks) for masks in packed)
    iou = np.array(coco.iou(*packed, [0] * len(others))) if some and others else np.zeros((len(some), len(others)))
    # From iou = shared / (both areas - shared); rounding takes away what the division left.
    shared = np.rint(iou * (rows[:, None] + columns) / (1 + iou))
    return iou, shared, rows, columns
