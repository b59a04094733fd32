"""Outlines and erosion against slower definitions and the values of davis2017-evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    NOTHING,
    WHOLE,
    count,
    seeds,
)
from vidamodal.metrics.shapes import boundary_f, boundary_tolerance, erode


@given(seeds)
@settings(max_examples=20)
def test_erosion_is_the_minimum_of_five_by_five_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < 0.9
    expected = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        expected[y, x] = mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all()
    assert (erode(mask) == expected).all()


def slow_outline(mask: np.ndarray) -> list[tuple[int, int]]:
    height, width = mask.shape
    points = []
    for y, x in np.ndindex(height, width):
        neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if y == height - 1 or x == width - 1:  # at the border only along it
            neighbours = [(y, x + 1)] if y == height - 1 else [(y + 1, x)]
        if any(i < height and j < width and mask[i, j] != mask[y, x] for i, j in neighbours):
            points.append((y, x))
    return points


def slow_boundary_f(predicted: np.ndarray, true: np.ndarray, reach: int) -> float:
    ours, theirs = (np.array(slow_outline(mask)).reshape(-1, 2) for mask in (predicted, true))
    if not len(ours) or not len(theirs):
        return float(len(ours) == len(theirs))
    near = ((ours[:, None] - theirs[None]) ** 2).sum(axis=2) <= reach**2
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@given(seeds)
@settings(max_examples=25)
def test_boundary_f_is_that_of_davis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.zeros((40, 120), dtype=bool)
    top, left = rng.integers(-5, 35), rng.integers(-5, 110)
    true[max(top, 0) : top + 15, max(left, 0) : left + 20] = True
    predicted = np.roll(true, rng.integers(-3, 4, size=2), axis=(0, 1)) & (
        rng.random(true.shape) < rng.choice([0.8, 1])
    )
    reach = boundary_tolerance(*true.shape)
    assert reach == 2
    expected = slow_boundary_f(predicted, true, reach)
    assert boundary_f(predicted, true, reach) == pytest.approx(expected, abs=1e-6)
    if true.any():
        track = count([([predicted], [true], [true])]).tracks[0]  # counted in a box around the object
        assert track.boundary_f[0] == pytest.approx(expected, abs=1e-6)


DISCS = [  # size, predicted and true (y, x, radius), F and J as davis2017-evaluation has them
    ((120, 160), (60, 70, 30), (63, 74, 33), 0.4271863117870722, 0.7861454440931303),
    ((256, 256), (10, 250, 60), (14, 244, 55), 1.0, 0.9621403331650682),
    ((480, 854), (240, 400, 150), (250, 420, 140), 0.2853055235300283, 0.8050445873789722),
    ((480, 854), (240, 853, 99), (243, 849, 101), 1.0, 0.9133774521389743),
]


@pytest.mark.parametrize(("size", "predicted", "true", "f", "j"), DISCS)
def test_f_and_j_are_the_values_of_the_davis_evaluation(
    size: tuple[int, int], predicted: tuple[int, int, int], true: tuple[int, int, int], f: float, j: float
) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    ours, theirs = ((y - row) ** 2 + (x - column) ** 2 < radius**2 for row, column, radius in (predicted, true))
    track = count([([ours], [theirs], [theirs])]).tracks[0]
    assert track.boundary_f[0] == pytest.approx(f, abs=1e-6)
    assert track.iou[0] == pytest.approx(j, abs=1e-6)


def test_boundary_f_of_nothing() -> None:
    assert boundary_f(NOTHING, NOTHING, 1) == 1
    assert boundary_f(NOTHING, WHOLE, 1) == boundary_f(WHOLE, NOTHING, 1) == 0
    assert boundary_tolerance(480, 854) == 8
