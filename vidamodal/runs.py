"""Masks and label maps of an image as runs of pixels: work on them grows with the outlines, not with the areas.

Pixels are numbered down the columns: the place of a pixel is column * height + row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt16

from vidamodal.geometry import Pieces
from vidamodal.rle import compress, run_lengths
from vidamodal.types import Mask, Rle

Lines = slice | Int[np.ndarray, " k"]
"""Rows or columns of an image, from the first to the last; an array may repeat some."""


@dataclass(frozen=True)
class Runs:
    """A mask as runs of pixels, which do not overlap."""

    height: int
    """Height of the image in pixels."""
    width: int
    """Width of the image in pixels."""
    edges: Int[np.ndarray, " e"]
    """Places at which runs begin and end (exclusive) in turns; a run may end where the next begins."""

    @staticmethod
    def of(mask: Rle) -> Runs:
        """Read the run lengths of a mask."""
        ends = np.cumsum(run_lengths(mask.counts))
        edges = ends[: len(ends) - len(ends) % 2]
        return Runs(mask.height, mask.width, _without_empty(edges))

    @staticmethod
    def of_mask(mask: Bool[np.ndarray, "h w"]) -> Runs:
        """Return the runs of an array."""
        return Runs.placed(mask, (0, 0), *mask.shape)

    @staticmethod
    def placed(mask: Bool[np.ndarray, "p q"], corner: tuple[int, int], height: int, width: int) -> Runs:
        """Return the runs of an array in a rectangle of an image, outside which the mask is empty.

        Args:
            mask: The mask in the rectangle.
            corner: First row and column of the rectangle in the image.
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        pieces, (top, left) = Pieces.of(mask), corner
        return Runs.of_pieces(Pieces(pieces.columns + left, pieces.tops + top, pieces.bottoms + top), height, width)

    @staticmethod
    def of_pieces(pieces: Pieces, height: int, width: int) -> Runs:
        """Return the runs of pieces of columns."""
        edges = pieces.columns[:, None] * height + np.stack([pieces.tops, pieces.bottoms], axis=1)
        return Runs(height, width, edges.ravel())

    @staticmethod
    def nothing(height: int, width: int) -> Runs:
        """Return an empty mask."""
        return Runs(height, width, np.zeros(0, dtype=np.intp))

    @property
    def area(self) -> int:
        """Number of pixels inside."""
        return int(self.edges[1::2].sum() - self.edges[::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of the mask in pixels, bottom and right exclusive; None if it is empty."""
        pieces = self.pieces
        if not len(pieces.columns):
            return None
        top, bottom = int(pieces.tops.min()), int(pieces.bottoms.max())
        return top, int(pieces.columns[0]), bottom, int(pieces.columns[-1]) + 1

    @cached_property
    def pieces(self) -> Pieces:
        """The runs, split where they continue in the next column."""
        columns, tops, bottoms, _ = _split(self.edges[::2], self.edges[1::2], self.height)
        return Pieces(columns, tops, bottoms)

    def encode(self) -> Rle:
        """Return the run lengths of the mask."""
        return Rle(self.height, self.width, compress(self.edges, self.height, self.width)["counts"].decode("ascii"))

    def at(self, rows: Lines, columns: Lines) -> Bool[np.ndarray, "p q"]:
        """Return the pixels of some rows and columns, column-major."""
        return _paint(self.pieces, np.ones(len(self.pieces.columns), dtype=bool), rows, columns)

    def decode(self) -> Mask:
        """Return the mask, column-major."""
        return self.at(slice(0, self.height), slice(0, self.width))

    def __or__(self, other: Runs) -> Runs:
        """Return the union with another mask of the image."""
        return self._combine(other, 1, 1)

    def __and__(self, other: Runs) -> Runs:
        """Return the intersection with another mask of the image."""
        return self._combine(other, 1, 2)

    def __sub__(self, other: Runs) -> Runs:
        """Return the mask without the pixels of another mask of the image."""
        return self._combine(other, -2, 1)

    def _combine(self, other: Runs, weight: int, least: int) -> Runs:
        """Return the pixels at which the masks, the other one counted ``weight`` times, add up to ``least`` or more."""
        places = np.concatenate([self.edges, other.edges])
        steps = np.ones(len(places), dtype=np.intp)
        steps[1 : len(self.edges) : 2] = -1
        steps[len(self.edges) :: 2], steps[len(self.edges) + 1 :: 2] = weight, -weight
        order = np.argsort(places, kind="stable")
        places, sums = places[order], np.cumsum(steps[order])
        last = np.ones(len(places), dtype=bool)
        np.not_equal(places[1:], places[:-1], out=last[:-1])
        return Runs(self.height, self.width, _changes(places[last], sums[last] >= least))


@dataclass(frozen=True)
class LabelRuns:
    """A map of labels as runs of pixels of one label, which do not overlap; pixels outside them have label 0."""

    height: int
    """Height of the image in pixels."""
    width: int
    """Width of the image in pixels."""
    begins: Int[np.ndarray, " k"]
    """Places at which the runs begin, increasing."""
    ends: Int[np.ndarray, " k"]
    """One past the last place of each run."""
    labels: UInt16[np.ndarray, " k"]
    """Label of each run, at least 1."""

    @staticmethod
    def of(masks: Sequence[Runs | None], height: int, width: int) -> LabelRuns:
        """Label pixels by the place of their mask in the sequence, from 1 on; of several masks, the last one counts.

        Args:
            masks: Masks of the image; None is skipped.
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        out = LabelRuns._join(masks, height, width)
        if (out.ends[:-1] <= out.begins[1:]).all():
            return out
        taken, shown = Runs.nothing(height, width), list(masks)
        for k, mask in reversed(list(enumerate(masks))):
            if mask is not None:
                shown[k], taken = mask - taken, taken | mask
        return LabelRuns._join(shown, height, width)

    @staticmethod
    def of_map(labels: UInt16[np.ndarray, "h w"]) -> LabelRuns:
        """Return the runs of a map of labels."""
        height, width = labels.shape
        flat = labels.ravel(order="F")
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        begins = np.concatenate([[0], changes])
        ends, values = np.append(changes, flat.size), flat[begins]
        return LabelRuns(height, width, begins[values > 0], ends[values > 0], values[values > 0])

    @staticmethod
    def _join(masks: Sequence[Runs | None], height: int, width: int) -> LabelRuns:
        known = [(label, mask.edges) for label, mask in enumerate(masks, start=1) if mask is not None]
        edges = np.concatenate([np.zeros(0, dtype=np.intp), *(each for _, each in known)])
        labels = np.repeat([label for label, _ in known], [len(each) // 2 for _, each in known]).astype(np.uint16)
        order = np.argsort(edges[::2], kind="stable")
        return LabelRuns(height, width, edges[::2][order], edges[1::2][order], labels[order])

    @property
    def labelled(self) -> Runs:
        """All pixels with a label."""
        return Runs(self.height, self.width, np.stack([self.begins, self.ends], axis=1).ravel())

    def at(self, rows: Lines, columns: Lines) -> UInt16[np.ndarray, "p q"]:
        """Return the labels of some rows and columns, column-major."""
        return _paint(self.pieces, self.piece_labels, rows, columns)

    def decode(self) -> UInt16[np.ndarray, "h w"]:
        """Return the label of every pixel, column-major."""
        return self.at(slice(0, self.height), slice(0, self.width))

    @cached_property
    def pieces(self) -> Pieces:
        """The runs, split where they continue in the next column."""
        return Pieces(*self._pieces[:3])

    @cached_property
    def piece_labels(self) -> UInt16[np.ndarray, " n"]:
        """Label of each piece."""
        return np.asarray(self.labels[self._pieces[3]])

    @cached_property
    def _pieces(self) -> tuple[Any, Any, Any, Any]:
        return _split(self.begins, self.ends, self.height)

    @cached_property
    def borders(self) -> Runs:
        """The pixels whose right or lower neighbour has another label."""
        places, labels = self._steps()
        before = np.append(np.uint16(0), labels)
        ahead, last = places - self.height, (self.width - 1) * self.height
        both = np.concatenate([places[places < last], ahead[(ahead >= 0) & (ahead < last)], [0]])
        both.sort(kind="stable")
        here, right = (before[np.searchsorted(each, both, side="right")] for each in (places, ahead))
        differs = here != right
        final = np.append(both[1:] != both[:-1], True)
        edges = _changes(both[final], differs[final])
        if len(edges) % 2:  # the last column has no right neighbour
            edges = np.append(edges, last)
        beside = Runs(self.height, self.width, edges)
        # A label changes within a column unless it changes at the top of one.
        changed = places[(places % self.height > 0) & (labels != before[:-1])]
        above = Runs(self.height, self.width, np.stack([changed - 1, changed], axis=1).ravel())
        return beside | above

    def _steps(self) -> tuple[Int[np.ndarray, " n"], UInt16[np.ndarray, " n"]]:
        """The places at which the label may change, and the labels from there on."""
        places = np.concatenate([self.ends, self.begins])  # in this order, so that a run that follows at once counts
        labels = np.concatenate([np.zeros_like(self.labels), self.labels])
        order = np.argsort(places, kind="stable")
        places, labels = places[order], labels[order]
        last = np.append(places[1:] != places[:-1], True)[: len(places)]
        return places[last], labels[last]


def _split(
    begins: Int[np.ndarray, " k"], ends: Int[np.ndarray, " k"], height: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"] | slice]:
    """Return the columns, tops and bottoms of the pieces of runs, and the run of each piece."""
    first, last = begins // height, (ends - 1) // height
    if (first == last).all():
        return first, begins - first * height, ends - first * height, slice(None)
    counts = last - first + 1
    run = np.repeat(np.arange(len(begins)), counts)
    columns = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)
    tops = np.maximum(begins[run] - columns * height, 0)
    bottoms = np.minimum(ends[run] - columns * height, height)
    return columns, tops, bottoms, run


def _without_empty(edges: Int[np.ndarray, " e"]) -> Int[np.ndarray, " e"]:
    """Return edges of runs without those of runs of no pixels."""
    full = edges[::2] < edges[1::2]
    return edges if full.all() else edges[np.repeat(full, 2)]


def _changes(places: Int[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " e"]:
    """Return the places from which on pixels are inside, if they were not before, or the other way round."""
    changed = inside.copy()
    np.not_equal(inside[1:], inside[:-1], out=changed[1:])
    return np.asarray(places[changed])


def _paint(pieces: Pieces, values: np.ndarray, rows: Lines, columns: Lines) -> Shaped[np.ndarray, "p q"]:
    """Return the values of pieces at some rows and columns, 0 outside them, column-major."""
    down, across = (
        np.arange(each.start, each.stop, each.step or 1) if isinstance(each, slice) else each
        for each in (rows, columns)
    )
    first, stop = (np.searchsorted(pieces.columns, across, side=side) for side in ("left", "right"))
    counts = stop - first
    piece = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    start = np.repeat(np.arange(len(across)) * len(down), counts)
    edges = np.zeros((len(piece), 2), dtype=np.intp)
    for column, each in enumerate((pieces.tops, pieces.bottoms)):
        edges[:, column] = start + np.searchsorted(down, each[piece])
    lengths = np.diff(edges.ravel(), prepend=0, append=len(across) * len(down))
    painted = np.zeros(len(lengths), dtype=values.dtype)
    painted[1::2] = values[piece]
    return np.repeat(painted, lengths).reshape(len(across), len(down)).T
