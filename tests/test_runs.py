"""Masks and label maps as runs of pixels against arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tests.formats.tracks_data import BITS
from vidamodal.runs import LabelRuns, Runs
from vidamodal.types import Rle

SEEDS = st.integers(0, 2**32 - 1)


@given(BITS)
@settings(max_examples=200)
def test_a_mask_is_the_same_from_an_array_and_from_run_lengths(mask: np.ndarray) -> None:
    rle = Rle.encode(mask)
    for runs in (Runs.of(rle), Runs.of_mask(mask)):
        np.testing.assert_array_equal(runs.decode(), mask)
        assert runs.encode() == rle
        assert runs.area == mask.sum() and runs.box == rle.box()
    np.testing.assert_array_equal(Runs.of_pieces(Runs.of(rle).pieces, *mask.shape).decode(), mask)


@given(BITS, st.tuples(*[st.integers(0, 3)] * 4))
@settings(max_examples=100)
def test_an_array_is_placed_in_an_image(mask: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    whole = np.pad(mask, (margins[:2], margins[2:]))
    runs = Runs.placed(mask, (margins[0], margins[2]), *whole.shape)
    np.testing.assert_array_equal(runs.decode(), whole)
    assert runs.encode() == Rle.encode(whole)


@given(BITS, SEEDS)
@settings(max_examples=200)
def test_masks_are_joined_and_cut_like_arrays(mask: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = rng.random(mask.shape) < rng.random()
    one, two = Runs.of_mask(mask), Runs.of(Rle.encode(other))
    for runs, array in ((one | two, mask | other), (one & two, mask & other), (one - two, mask & ~other)):
        np.testing.assert_array_equal(runs.decode(), array)
        assert runs.encode() == Rle.encode(array)
    # Operands whose runs touch at the ends of columns, as those of pieces do.
    split = Runs.of_pieces(one.pieces, *mask.shape)
    assert (split | two).encode() == Rle.encode(mask | other)
    assert (split & two).encode() == Rle.encode(mask & other)
    assert (two - split).encode() == Rle.encode(other & ~mask)


def test_runs_of_no_pixels_are_read() -> None:
    text = coco_mask.frPyObjects({"size": [4, 5], "counts": [2, 0, 3, 2, 0, 1, 12]}, 4, 5)["counts"].decode()
    mask = Rle(4, 5, text)
    runs = Runs.of(mask)
    np.testing.assert_array_equal(runs.decode(), mask.decode())
    assert runs.area == mask.area() and runs.box == mask.box()


@given(BITS, SEEDS)
@settings(max_examples=100)
def test_some_rows_and_columns_are_those_of_the_array(mask: np.ndarray, seed: int) -> None:
    rng, (height, width) = np.random.default_rng(seed), mask.shape
    top, left = (int(rng.integers(0, size)) for size in mask.shape)
    rows, columns = slice(top, int(rng.integers(top, height)) + 1, int(rng.integers(1, 4))), slice(left, width)
    labels = np.where(mask, rng.integers(1, 4, mask.shape), 0).astype(np.uint16)
    np.testing.assert_array_equal(Runs.of_mask(mask).at(rows, columns), mask[rows, columns])
    np.testing.assert_array_equal(LabelRuns.of_map(labels).at(rows, columns), labels[rows, columns])
    down, across = (np.sort(rng.integers(0, size, 7)) for size in mask.shape)
    np.testing.assert_array_equal(LabelRuns.of_map(labels).at(down, across), labels[np.ix_(down, across)])


def label_maps(seed: int) -> np.ndarray:
    """Return a map of labels with runs over several columns and neighbours of other labels."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 14, 2)
    blocks = rng.integers(0, 4, (height // 3 + 1, width // 2 + 1)) * (
        rng.random((height // 3 + 1, width // 2 + 1)) < 0.8
    )
    return np.kron(blocks, np.ones((3, 2)))[:height, :width].astype(np.uint16)


@given(SEEDS)
@settings(max_examples=200)
def test_label_maps_hold_the_label_of_every_pixel(seed: int) -> None:
    labels = label_maps(seed)
    runs = LabelRuns.of_map(labels)
    np.testing.assert_array_equal(runs.decode(), labels)
    np.testing.assert_array_equal(runs.labelled.decode(), labels > 0)
    masks = [Runs.of_mask(labels == k) for k in range(1, 4)]
    np.testing.assert_array_equal(LabelRuns.of(masks, *labels.shape).decode(), labels)


@given(SEEDS)
@settings(max_examples=200)
def test_of_overlapping_masks_the_last_one_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 6, 5)) < rng.random((3, 1, 1))
    expected = np.zeros((6, 5), dtype=np.uint16)
    for label, mask in enumerate(masks, start=1):
        expected[mask] = label
    known = [Runs.of_mask(masks[0]), Runs.of_mask(masks[1]), None, Runs.of_mask(masks[2])]
    np.testing.assert_array_equal(LabelRuns.of(known[:2] + known[3:], 6, 5).decode(), expected)
    skipped = np.where(expected == 3, 4, expected)
    np.testing.assert_array_equal(LabelRuns.of(known, 6, 5).decode(), skipped)


@given(SEEDS)
@settings(max_examples=300)
def test_borders_lie_above_and_left_of_another_label(seed: int) -> None:
    labels = label_maps(seed)
    expected = np.zeros(labels.shape, dtype=bool)
    expected[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    expected[:-1] |= labels[:-1] != labels[1:]
    np.testing.assert_array_equal(LabelRuns.of_map(labels).borders.decode(), expected)
