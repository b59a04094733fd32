"""Means that skip undefined values, ratios of areas, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None, or None if there are none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def area_ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole`` of areas in pixels, with 0 where ``whole`` is 0."""
    return np.asarray(part / np.maximum(whole, 1))


def bootstrap_interval(values: Sequence[float | None], seed: int = 0, resamples: int = 2000) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of the mean.

    Args:
        values: One value per video; None is left out.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.

    Returns:
        The interval, or None for fewer than two values.
    """
    present = np.array([value for value in values if value is not None])
    if present.size < 2:
        return None
    choices = np.random.default_rng(seed).integers(present.size, size=(resamples, present.size))
    low, high = np.percentile(present[choices].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
