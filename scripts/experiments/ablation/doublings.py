"""What a doubling of a model's size, and of its training, is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Point:
    """A trained model: its parameters, the object-frames that it saw, and its score."""

    parameters: int
    object_frames: int
    score: float


@dataclass(frozen=True)
class Doublings:
    """A fit that is linear in the logarithms of size and length."""

    size: float
    """Gain in score for each doubling of the parameters."""
    length: float
    """Gain in score for each doubling of the object-frames."""
    error: float
    """Root of the mean squared error of the points."""


def fit_doublings(points: Sequence[Point]) -> Doublings | None:
    """Fit scores by least squares; None if there are fewer than three points, or all have one size or one length."""
    if len(points) < 3:
        return None
    rows = np.array([[1.0, np.log2(point.parameters), np.log2(point.object_frames)] for point in points])
    scores = np.array([point.score for point in points])
    if np.linalg.matrix_rank(rows) < 3:
        return None
    weights = np.linalg.lstsq(rows, scores, rcond=None)[0]
    error = float(np.sqrt(np.mean((rows @ weights - scores) ** 2)))
    return Doublings(float(weights[1]), float(weights[2]), error)
