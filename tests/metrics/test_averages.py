"""Means, ratios and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from vidamodal.metrics.averages import area_ratio, bootstrap_interval, mean


def test_mean_skips_none_and_is_none_over_nothing() -> None:
    assert mean([]) is None and mean([None]) is None and mean([None, 0.5, 1.0]) == 0.75


def test_area_ratio_is_zero_for_an_empty_whole() -> None:
    assert area_ratio(np.array([1, 0]), np.array([2, 0])).tolist() == [0.5, 0]


def test_bootstrap_interval_is_seeded_surrounds_the_mean_and_needs_two_videos() -> None:
    drawn = np.random.default_rng(0).random(40)
    values = [None, *drawn.tolist()]
    interval, centre = bootstrap_interval(values), mean(values)
    assert interval is not None and interval == bootstrap_interval(values) != bootstrap_interval(values, seed=1)
    spread = 2 * 1.96 * float(np.std(drawn)) / 40**0.5
    assert centre is not None and interval[0] < centre < interval[1]
    assert interval[1] - interval[0] == pytest.approx(spread, rel=0.1)
    assert bootstrap_interval([0.3, 0.3]) == pytest.approx((0.3, 0.3))
    assert bootstrap_interval([0.3, None]) is None
