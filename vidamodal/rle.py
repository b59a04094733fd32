"""Areas, overlaps and unions of masks, computed on run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as coco

from vidamodal.types import Rle

Packed = dict[str, Any]
"""Run lengths in the form that pycocotools reads."""
BATCH = 255
"""Most masks per call: with NumPy 2, pycocotools fails to compute the areas of more."""
_MAX_DIGITS = 6
"""Characters of one run length in a mask of the largest accepted size."""


def pack(mask: Rle) -> Packed:
    """Return a mask in the form that pycocotools reads."""
    return {"size": [mask.height, mask.width], "counts": mask.counts.encode("ascii")}


def areas(masks: Sequence[Packed]) -> Float[np.ndarray, " n"]:
    """Return the area of each mask in pixels."""
    parts = [coco.area(list(masks[k : k + BATCH])) for k in range(0, len(masks), BATCH)]
    return np.concatenate([np.zeros(0), *parts])


def shared_area(*masks: Packed) -> int:
    """Return the area of the intersection of the masks in pixels."""
    return int(coco.area(coco.merge(list(masks), intersect=True)))


def union(masks: Sequence[Rle]) -> Rle:
    """Return the union of one or more masks of one size."""
    if len(masks) == 1:
        return masks[0]
    merged = coco.merge([pack(mask) for mask in masks], intersect=False)
    return Rle(masks[0].height, masks[0].width, merged["counts"].decode("ascii"))


def overlaps(
    some: Sequence[Rle], others: Sequence[Rle]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"], Float[np.ndarray, " m"], Float[np.ndarray, " n"]]:
    """Compare all pairs of masks of two lists.

    Args:
        some: m masks, none of them empty.
        others: n masks, none of them empty.

    Returns:
        IoU and shared pixels of all pairs, and the areas of ``some`` and of ``others`` in pixels.
    """
    packed = [[pack(mask) for mask in masks] for masks in (some, others)]
    rows, columns = (areas(masks) for masks in packed)
    iou = np.array(coco.iou(*packed, [0] * len(others))) if some and others else np.zeros((len(some), len(others)))
    # iou = shared / (both areas - shared); rounding removes the error of the division.
    shared = np.rint(iou * (rows[:, None] + columns) / (1 + iou))
    return iou, shared, rows, columns


def run_lengths(counts: str) -> Int[np.ndarray, " r"]:
    """Return the run lengths, background first, in COCO's compressed text.

    A number is written in digits of five bits, lowest first, each as a character from "0" on. Bit 32 marks that another
    digit follows; bit 16 of the last digit is the sign. From the fourth number on, numbers are differences to the last
    but one. See rleToString in pycocotools' maskApi.c.

    Raises:
        ValueError: The text is damaged.
    """
    try:
        code = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - ord("0")
    except UnicodeEncodeError:
        raise ValueError("the counts hold a character that is not ASCII") from None
    if not code.size:
        return code
    if code.min() < 0 or code.max() > 63:
        raise ValueError("the counts hold a character outside '0' to 'o'")
    last = code & 32 == 0
    if not last[-1]:
        raise ValueError("the counts are cut off")
    starts, ends = np.flatnonzero(np.r_[True, last[:-1]]), np.flatnonzero(last)
    digits = ends - starts + 1
    if digits.max() > _MAX_DIGITS:
        raise ValueError("the counts hold a number too large for a mask")
    place = np.arange(code.size) - np.repeat(starts, digits)
    runs = np.add.reduceat((code & 31) << 5 * place, starts)
    runs -= np.where(code[ends] & 16, 1 << 5 * digits, 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ValueError("the counts hold a negative run")
    return runs


def compress(edges: Int[np.ndarray, " e"], height: int, width: int) -> Packed:
    """Return the run lengths of a mask from the places at which its runs begin and end, in turns."""
    again = np.flatnonzero(edges[1:] == edges[:-1])  # one run ends where the next begins
    edges = np.delete(edges, np.concatenate([again, again + 1]))
    counts = np.diff(edges, prepend=0, append=height * width)
    packed: Packed = coco.frPyObjects(
        {"size": [height, width], "counts": counts[: len(counts) - (not counts[-1])]}, 0, 0
    )
    return packed
