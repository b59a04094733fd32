"""Exact disparity made as rough as that of monocular depth models."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.data.rough_depth import degrade_depth

seeds = st.integers(0, 2**32 - 1)


def _box_before_wall() -> tuple[np.ndarray, np.ndarray]:
    """Disparity of a box that moves before a wall and a floor, and its mask."""
    rows = np.arange(48, dtype=np.float32)[:, None]
    disparity = np.maximum(0.1, (rows - 20) / 40).repeat(64, axis=1)[None].repeat(12, axis=0)
    masks = np.zeros((1, 12, 48, 64), dtype=bool)
    for t in range(12):
        masks[0, t, 12:36, 10 + t : 30 + t] = True
    disparity[masks[0]] = 0.6
    return disparity, masks


@settings(max_examples=30)
@given(seeds, st.floats(0.05, 1))
def test_a_degraded_disparity_keeps_its_size_and_near_its_range(seed: int, strength: float) -> None:
    disparity, masks = _box_before_wall()
    before = disparity.copy()
    rough = degrade_depth(disparity, masks, np.random.default_rng(seed), strength)
    assert rough.shape == disparity.shape and rough.dtype == np.float32
    assert np.array_equal(disparity, before)
    unknown = np.isnan(rough)
    assert np.array_equal(unknown.all(axis=(1, 2)), unknown.any(axis=(1, 2)))
    assert unknown.mean() <= 7 / 12
    again = degrade_depth(disparity, masks, np.random.default_rng(seed), strength)
    assert np.array_equal(rough, again, equal_nan=True)


def test_strength_scales_the_damage() -> None:
    disparity, masks = _box_before_wall()

    def damage(strength: float) -> float:
        rough = [degrade_depth(disparity, masks, np.random.default_rng(seed), strength) for seed in range(40)]
        return float(np.nanmean(np.abs(np.stack(rough) - disparity)))

    nothing, little, much = (damage(strength) for strength in (0.0, 0.2, 1.0))
    assert nothing == 0 < 2 * little < much < 0.2


def test_the_box_mostly_stays_in_front_of_the_wall() -> None:
    disparity, masks = _box_before_wall()
    inside, wall = masks[0] & (np.arange(48)[:, None] < 20), ~masks[0] & (np.arange(48)[:, None] < 10)
    margins = []
    for seed in range(100):
        rough = degrade_depth(disparity, masks, np.random.default_rng(seed))
        margins.append(np.nanmean(rough[inside]) - np.nanmean(rough[wall]))
    assert np.mean(np.array(margins) > 0) > 0.9
    assert min(margins) < 0.45 < 0.55 < max(margins)  # exactly, it is 0.5


def test_a_constant_disparity_has_no_range_to_degrade() -> None:
    disparity, masks = np.full((4, 16, 16), 0.25), np.ones((1, 4, 16, 16), dtype=bool)
    assert np.array_equal(degrade_depth(disparity, masks, np.random.default_rng(0)), disparity)
