"""Regions of interest: alignment, pasting, overlaps and suppression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.segmenters.aisdiff.roi import (
    box_overlaps,
    enlarge_boxes,
    generalised_iou,
    paste_masks,
    roi_align,
    suppress,
)


def roi_align_by_hand(plane: np.ndarray, box: tuple[float, ...], bins: int, stride: int, sampling: int) -> np.ndarray:
    """RoIAlign of one plane, point by point."""
    height, width = plane.shape
    left, top, right, bottom = (v / stride for v in box)

    def value(x: float, y: float) -> float:
        x, y = x - 0.5, y - 0.5  # centres of cells are whole numbers now
        if not (-1 <= x <= width and -1 <= y <= height):
            return 0.0
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        x0, y0 = math.floor(x), math.floor(y)
        x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
        upper = plane[y0, x0] * (1 - x + x0) + plane[y0, x1] * (x - x0)
        lower = plane[y1, x0] * (1 - x + x0) + plane[y1, x1] * (x - x0)
        return float(upper * (1 - y + y0) + lower * (y - y0))

    points = [(k + 0.5) / sampling for k in range(sampling)]
    out = np.zeros((bins, bins))
    for p in range(bins):
        for q in range(bins):
            for a in points:
                for b in points:
                    x = left + (q + b) * (right - left) / bins
                    y = top + (p + a) * (bottom - top) / bins
                    out[p, q] += value(x, y) / sampling**2
    return out


@pytest.mark.parametrize("sampling", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_roi_align_is_bilinear_sampling_in_float64(sampling: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 7, 9))
    boxes = np.concatenate([rng.uniform(-6, 12, (12, 2)), rng.uniform(3, 24, (12, 2))], axis=1)
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:] - boxes[:, :2])
    image = rng.integers(0, 2, 12)
    tensors = [torch.from_numpy(each) for each in (features, boxes, image)]
    ours = roi_align(tensors[0], tensors[1], tensors[2], 4, stride, sampling).numpy()
    for k in range(12):
        for c in range(3):
            expected = roi_align_by_hand(features[image[k], c], tuple(boxes[k]), 4, stride, sampling)
            np.testing.assert_allclose(ours[k, c], expected, atol=1e-12)


@settings(max_examples=60)
@given(*(st.floats(-2, 2) for _ in range(3)), st.floats(1, 5), st.floats(1, 5), st.floats(0.2, 8), st.integers(1, 4))
def test_roi_align_reproduces_a_linear_ramp(
    slope_x: float, slope_y: float, level: float, left: float, top: float, side: float, sampling: int
) -> None:
    at = torch.arange(16, dtype=torch.float64) + 0.5
    plane = level + slope_x * at[None, :] + slope_y * at[:, None]
    box = torch.tensor([[left, top, left + side, top + side / 2]], dtype=torch.float64)
    found = roi_align(plane[None, None], box, torch.zeros(1).long(), 3, sampling=sampling)[0, 0]
    middle = (torch.arange(3, dtype=torch.float64) + 0.5) / 3
    expected = level + slope_x * (left + side * middle)[None, :] + slope_y * (top + side / 2 * middle)[:, None]
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@settings(max_examples=30)
@given(st.floats(0.1, 50), st.floats(0.5, 20), st.sampled_from([0, 1, 2, 3]))
def test_roi_align_is_zero_far_outside_the_image(off: float, side: float, where: int) -> None:
    features = torch.ones(1, 2, 6, 6)
    beyond = [(-2 - off - side, 1), (1, -2 - off - side), (8 + off, 1), (1, 8 + off)][where]
    box = torch.tensor([[*beyond, beyond[0] + side, beyond[1] + side]])
    assert not roi_align(features, box, torch.zeros(1).long(), 3).any()


def test_roi_align_has_correct_gradients() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.3, 0.7, 4.1, 3.8], [1.2, 0.4, 5.3, 4.6]], dtype=torch.float64, requires_grad=True)
    image = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(lambda f, b: roi_align(f, b, image, 2), (features, boxes))


def test_cutting_and_pasting_a_mask_restores_it() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[0, 0, 20:41, 10:50] = 1
    box = enlarge_boxes(torch.tensor([[10.0, 20.0, 50.0, 41.0]]), 1.3)
    back = paste_masks(roi_align(mask, box, torch.zeros(1).long(), 64)[:, 0], box, 64)
    assert torch.equal(back[0] > 0.5, mask[0, 0] > 0.5)
    assert not paste_masks(torch.ones(1, 4, 4), torch.tensor([[70.0, 0.0, 80.0, 9.0]]), 64).any()


BOXES = st.lists(st.tuples(*(st.integers(0, 20) for _ in range(2)), *(st.integers(1, 12) for _ in range(2))),
                 min_size=1, max_size=8)  # fmt: skip


@settings(max_examples=80)
@given(BOXES, st.randoms(use_true_random=False))
def test_suppression_keeps_the_best_of_overlapping_boxes(given_boxes: list[tuple[int, ...]], random: object) -> None:
    boxes = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in given_boxes], dtype=torch.float32)
    scores = torch.tensor([random.random() for _ in given_boxes])  # type: ignore[attr-defined]
    overlap = box_overlaps(boxes, boxes)
    kept = suppress(overlap, scores, 0.5).tolist()
    assert kept == sorted(kept, key=lambda k: -float(scores[k]))
    for k in range(len(boxes)):
        worse_than = [j for j in kept if j != k and overlap[j, k] > 0.5 and scores[j] >= scores[k]]
        assert (k in kept) != bool(worse_than)


def test_overlaps_of_known_boxes() -> None:
    one = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    other = torch.tensor([[2.0, 0.0, 6.0, 4.0], [8.0, 0.0, 12.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    torch.testing.assert_close(box_overlaps(one, other), torch.tensor([[8 / 24, 0.0, 1.0]]))
    giou = generalised_iou(one.expand(3, 4), other)
    torch.testing.assert_close(giou, torch.tensor([8 / 24, -16 / 48, 1.0]))
