"""The fit of scores to the size and the length of training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.experiments.ablation.doublings import Point, fit_doublings

GAIN = st.floats(-5, 5)


@given(GAIN, GAIN, st.floats(0, 80))
def test_scores_on_a_plane_are_fitted_exactly(size: float, length: float, start: float) -> None:
    points = [
        Point(10**6 * 2**s, 10**5 * 2**t, start + size * s + length * t) for s in range(3) for t in range(3)
    ]  # fmt: skip
    fit = fit_doublings(points)
    assert fit is not None and fit.size == pytest.approx(size, abs=1e-6)
    assert fit.length == pytest.approx(length, abs=1e-6)
    assert fit.error == pytest.approx(0, abs=1e-6)


def test_the_error_is_what_the_plane_misses() -> None:
    points = [Point(2**s, 2**t, 1.0 if s == t else -1.0) for s in range(2) for t in range(2)]
    fit = fit_doublings(points)
    assert fit is not None and fit.error == pytest.approx(1)


def test_one_length_is_not_enough() -> None:
    assert fit_doublings([Point(2**s, 64, float(s)) for s in range(4)]) is None
    assert fit_doublings([Point(2, 4, 1.0), Point(4, 2, 2.0)]) is None
