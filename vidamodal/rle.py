"""Areas, overlaps and unions of masks, computed on run lengths, and masks in a part of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco

from vidamodal.geometry import intersection, shifted
from vidamodal.types import Mask, Rle

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


@dataclass(frozen=True)
class Patch:
    """A mask that is stored only in a rectangle of the image, outside which it is empty.

    Patches read from run lengths are column-major, as the run lengths are; others are slower to encode.
    """

    top: int
    """First row of the rectangle in the image."""
    left: int
    """First column of the rectangle in the image."""
    mask: Bool[np.ndarray, "p q"]
    """The mask in the rectangle."""

    @staticmethod
    def of(mask: Rle) -> Patch:
        """Decode a mask in its bounding box; the other pixels of the image are not touched."""
        box = mask.box()
        if box is None:
            return Patch(0, 0, np.zeros((0, 0), dtype=bool))
        top, left, bottom, right = box
        height, width = bottom - top, right - left
        ends = np.cumsum(run_lengths(mask.counts))
        starts, lengths = ends[:-1:2], np.diff(ends)[::2]
        starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        # A run that continues in the next column fills the rows of the image, and therefore of the box.
        columns, rows = np.divmod(starts, mask.height)
        begins = (columns - left) * height + rows - top
        edges = np.stack([begins, begins + lengths], axis=1).ravel()
        return Patch(top, left, coco.decode(_compress(edges, height, width)).view(bool))

    def encode(self, height: int, width: int) -> Rle:
        """Return the run lengths of the mask in an image; the pixels outside the rectangle are not touched.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        rows, columns = self.mask.shape
        # A background pixel at the end of each column, and one in front of the first, delimit the runs.
        padded = np.zeros(columns * (rows + 1) + 1, dtype=bool)
        padded[1:].reshape(columns, rows + 1)[:, :rows] = self.mask.T
        column, row = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), rows + 1)
        edges = (self.left + column) * height + self.top + row
        return Rle(height, width, _compress(edges, height, width)["counts"].decode("ascii"))

    @cached_property
    def area(self) -> int:
        """The number of pixels inside."""
        return int(np.count_nonzero(self.mask))

    @property
    def rows(self) -> slice:
        """Rows of the rectangle."""
        return slice(self.top, self.top + self.mask.shape[0])

    @property
    def columns(self) -> slice:
        """Columns of the rectangle."""
        return slice(self.left, self.left + self.mask.shape[1])

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the rectangle in pixels, bottom and right exclusive."""
        return self.top, self.left, self.rows.stop, self.columns.stop

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of the mask in pixels, bottom and right exclusive; None if it is empty."""
        columns = np.flatnonzero(self.mask.any(axis=0))
        if not len(columns):
            return None
        rows = np.flatnonzero(self.mask[:, columns[0] : columns[-1] + 1].any(axis=1))
        return (
            self.top + int(rows[0]),
            self.left + int(columns[0]),
            self.top + int(rows[-1]) + 1,
            self.left + int(columns[-1]) + 1,
        )

    def within(self, rows: slice, columns: slice) -> Bool[np.ndarray, "p q"]:
        """Return the mask in another rectangle of the image; it may share memory with the patch."""
        inner = intersection(self.rows, rows), intersection(self.columns, columns)
        part = self.mask[shifted(inner[0], -self.top), shifted(inner[1], -self.left)]
        if inner == (rows, columns):
            return part
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=bool, order="F")
        out[shifted(inner[0], -rows.start), shifted(inner[1], -columns.start)] = part
        return out

    def union(self, other: Patch) -> Patch:
        """Return the union with another mask of the same image."""
        if not other.mask.size:
            return self
        if not self.mask.size:
            return other
        ours, theirs = self.rectangle, other.rectangle
        (top, left), (bottom, right) = map(min, ours[:2], theirs[:2]), map(max, ours[2:], theirs[2:])
        out = np.zeros((bottom - top, right - left), dtype=bool, order="F")
        for patch in (self, other):
            out[shifted(patch.rows, -top), shifted(patch.columns, -left)] |= patch.mask
        return Patch(top, left, out)

    def whole(self, height: int, width: int) -> Mask:
        """Return the mask of the whole image."""
        return self.within(slice(0, height), slice(0, width))


def _compress(edges: Int[np.ndarray, " e"], height: int, width: int) -> Packed:
    """Return the run lengths of a mask from the places at which its runs begin and end, in turns."""
    again = np.flatnonzero(edges[1:] == edges[:-1])  # one run ends where the next begins
    edges = np.delete(edges, np.concatenate([again, again + 1]))
    counts = np.diff(edges, prepend=0, append=height * width)
    packed: Packed = coco.frPyObjects(
        {"size": [height, width], "counts": counts[: len(counts) - (not counts[-1])]}, 0, 0
    )
    return packed
