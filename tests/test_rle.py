"""Areas and overlaps on run lengths against pixels and pycocotools."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from pycocotools import mask as coco_mask

from tests.formats.tracks_data import BITS
from tests.metrics.helpers import (
    seeds,
)
from vidamodal.rle import overlaps, pack, run_lengths, shared_area
from vidamodal.types import Rle


def test_any_number_of_masks_may_be_compared() -> None:
    many = [np.arange(400).reshape(20, 20) < k for k in range(1, 301)]
    iou, shared, rows, columns = overlaps([Rle.encode(mask) for mask in many], [Rle.encode(many[9])])
    assert rows.tolist() == list(range(1, 301)) and columns.tolist() == [10]
    assert shared[:, 0].tolist() == [min(k, 10) for k in range(1, 301)] and iou[9, 0] == 1


@given(seeds)
@settings(max_examples=25)
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
@settings(max_examples=150)
def test_run_lengths_agree_with_pycocotools(mask: np.ndarray) -> None:
    runs = run_lengths(Rle.encode(mask).counts)
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    np.testing.assert_array_equal(painted.reshape(mask.shape[1], mask.shape[0]).T, mask)
