"""Areas and overlaps on run lengths against pixels and pycocotools."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tests.formats.tracks_data import BITS
from tests.metrics.helpers import (
    seeds,
)
from vidamodal.rle import Patch, overlaps, pack, run_lengths, shared_area
from vidamodal.types import Rle


def test_any_number_of_masks_may_be_compared() -> None:
    many = [np.arange(400).reshape(20, 20) < k for k in range(1, 301)]
    iou, shared, rows, columns = overlaps([Rle.encode(mask) for mask in many], [Rle.encode(many[9])])
    assert rows.tolist() == list(range(1, 301)) and columns.tolist() == [10]
    assert shared[:, 0].tolist() == [min(k, 10) for k in range(1, 301)] and iou[9, 0] == 1


@given(seeds)
@settings(deadline=None, max_examples=25)
def test_areas_and_iou_of_run_lengths_are_those_of_pixels_and_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((13, 17)) < rng.random() for _ in range(5)]
    masks = [mask | (np.arange(13 * 17).reshape(13, 17) == 3) for mask in masks]
    one, other = [Rle.encode(m) for m in masks[:2]], [Rle.encode(m) for m in masks[2:]]
    iou, shared, rows, columns_ = overlaps(one, other)
    assert (iou == coco_mask.iou([pack(m) for m in one], [pack(m) for m in other], [0] * 3)).all()
    assert shared.tolist() == [[(a & b).sum() for b in masks[2:]] for a in masks[:2]]
    assert [*rows, *columns_] == [m.sum() for m in masks]
    assert shared_area(*(pack(m) for m in one)) == (masks[0] & masks[1]).sum()


@given(BITS)
@settings(max_examples=150, deadline=None)
def test_run_lengths_agree_with_pycocotools(mask: np.ndarray) -> None:
    runs = run_lengths(Rle.encode(mask).counts)
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    np.testing.assert_array_equal(painted.reshape(mask.shape[1], mask.shape[0]).T, mask)


def framed(mask: np.ndarray, margins: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask with empty rows and columns around it."""
    return np.pad(mask, (margins[:2], margins[2:]))


MARGINS = st.tuples(*[st.integers(0, 3)] * 4)


@given(BITS, MARGINS)
@settings(max_examples=200, deadline=None)
def test_a_patch_holds_the_mask_in_its_bounding_box(mask: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    whole = framed(mask, margins)
    patch = Patch.of(Rle.encode(whole))
    np.testing.assert_array_equal(patch.whole(*whole.shape), whole)
    assert patch.area == whole.sum() and patch.box == Rle.encode(whole).box()
    assert (patch.mask.size == 0) if patch.box is None else (patch.mask.shape == _size(patch.box))


def _size(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


@given(BITS, MARGINS)
@settings(max_examples=200, deadline=None)
def test_a_patch_anywhere_in_the_image_is_encoded_as_the_whole_mask(
    mask: np.ndarray, margins: tuple[int, int, int, int]
) -> None:
    whole = framed(mask, margins)
    assert Patch(margins[0], margins[2], mask).encode(*whole.shape) == Rle.encode(whole)


@given(BITS, MARGINS, st.integers(0, 6), st.integers(0, 6), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_a_patch_within_a_rectangle_is_the_mask_there(
    mask: np.ndarray, margins: tuple[int, int, int, int], top: int, left: int, height: int, width: int
) -> None:
    whole = framed(mask, margins)
    rows, columns = (
        slice(min(first, size), min(first + count, size))
        for first, count, size in zip((top, left), (height, width), whole.shape, strict=True)
    )
    np.testing.assert_array_equal(Patch(margins[0], margins[2], mask).within(rows, columns), whole[rows, columns])


def test_runs_of_no_pixels_are_read() -> None:
    text = coco_mask.frPyObjects({"size": [4, 5], "counts": [2, 0, 3, 2, 0, 1, 12]}, 4, 5)["counts"].decode()
    mask = Rle(4, 5, text)
    np.testing.assert_array_equal(Patch.of(mask).whole(4, 5), mask.decode())


@given(BITS, MARGINS, MARGINS)
@settings(max_examples=100, deadline=None)
def test_the_union_of_patches_is_that_of_the_masks(
    mask: np.ndarray, margins: tuple[int, int, int, int], others: tuple[int, int, int, int]
) -> None:
    total = sum(others[:2]) + sum(margins[:2]), sum(others[2:]) + sum(margins[2:])
    one, other = np.zeros((2, mask.shape[0] + total[0], mask.shape[1] + total[1]), dtype=bool)
    one[margins[0] : margins[0] + mask.shape[0], margins[2] : margins[2] + mask.shape[1]] = mask
    flipped = mask[::-1, ::-1]
    other[others[1] : others[1] + mask.shape[0], others[3] : others[3] + mask.shape[1]] = flipped
    joined = Patch(margins[0], margins[2], mask).union(Patch(others[1], others[3], flipped))
    np.testing.assert_array_equal(joined.whole(*one.shape), one | other)
    empty = Patch.of(Rle.empty(*one.shape))
    assert joined.union(empty) is joined and empty.union(joined) is joined
