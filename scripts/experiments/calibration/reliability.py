"""Reliability of probabilities: of the pixels with predicted probability p, a share of p should belong to the object.

Implements reliability diagrams and the expected calibration error (Guo et al., 2017, Eqs. 2 and 3; 15 bins of equal
width) as sums over bins, so that data sets of any size can be streamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit, logit

from vidamodal.errors import InputError

BINS = 15
_MAX_LOGIT = 12.0
"""Logits are clipped to this when a temperature is fitted: probabilities within 6e-6 of 0 or 1 count alike."""


@dataclass
class Reliability:
    """Sums over the pixels of each probability bin.

    Attributes:
        edges: Ascending edges of the bins, from 0 to 1.
        count: Number of pixels in each bin.
        predicted: Sum of their predicted probabilities.
        observed: Number of them that belong to the object.
    """

    edges: Float[np.ndarray, " bins_and_1"]
    count: Float[np.ndarray, " bins"] = field(init=False)
    predicted: Float[np.ndarray, " bins"] = field(init=False)
    observed: Float[np.ndarray, " bins"] = field(init=False)

    def __post_init__(self) -> None:
        if self.edges[0] != 0 or self.edges[-1] != 1 or (np.diff(self.edges) <= 0).any():
            raise InputError("the bin edges must increase from 0 to 1")
        self.count, self.predicted, self.observed = np.zeros((3, len(self.edges) - 1))

    @staticmethod
    def even(bins: int = BINS) -> Reliability:
        """Return empty bins of equal width."""
        return Reliability(np.linspace(0, 1, bins + 1))

    @staticmethod
    def fine(bins: int = 480) -> Reliability:
        """Return empty bins of equal width in logits, fine enough to fit a temperature to their means."""
        return Reliability(np.r_[0, expit(np.linspace(-_MAX_LOGIT, _MAX_LOGIT, bins + 1))[1:-1], 1])

    def add(self, probability: Float[np.ndarray, " pixels"], truth: Bool[np.ndarray, " pixels"]) -> None:
        """Add pixels with their probabilities in [0, 1] and whether they belong to the object; any shape."""
        p = np.asarray(probability, dtype=np.float64).ravel()
        bins = np.clip(np.searchsorted(self.edges, p, side="right") - 1, 0, len(self.count) - 1)
        self.count += np.bincount(bins, minlength=len(self.count))
        self.predicted += np.bincount(bins, p, minlength=len(self.count))
        self.observed += np.bincount(bins, np.asarray(truth).ravel().astype(np.float64), minlength=len(self.count))

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean distance of probability and frequency, weighted by pixels; None if empty."""
        total = self.count.sum()
        return float(np.abs(self.predicted - self.observed).sum() / total) if total else None

    @property
    def bias(self) -> float | None:
        """Mean probability minus observed frequency over all pixels, above 0 if overconfident; None if empty."""
        total = self.count.sum()
        return float((self.predicted - self.observed).sum() / total) if total else None

    @property
    def diagram(self) -> list[tuple[float, float]]:
        """Mean probability and observed frequency of each bin with pixels."""
        filled = self.count > 0
        means = (self.predicted[filled] / self.count[filled], self.observed[filled] / self.count[filled])
        return list(zip(*(mean.tolist() for mean in means), strict=True))

    def between(self, low: float, high: float) -> Reliability:
        """Return the bins within [low, high], for example without the certain pixels, which outnumber the others."""
        kept = Reliability(self.edges)
        inside = (self.edges[:-1] >= low - 1e-9) & (self.edges[1:] <= high + 1e-9)
        for name in ("count", "predicted", "observed"):
            setattr(kept, name, np.where(inside, getattr(self, name), 0.0))
        return kept


@dataclass(frozen=True)
class Scaling:
    """The map p -> expit(logit(p) / temperature + shift), with the mean log loss in nats per pixel before and after."""

    temperature: float
    shift: float
    before: float
    after: float


def fit_scaling(pixels: Reliability, shifted: bool = False) -> Scaling:
    """Fit the temperature with the smallest log loss (Guo et al., 2017, section 4.2).

    Args:
        pixels: Pixels in `Reliability.fine` bins, each of which counts with its mean probability.
        shifted: Fit a shift of the logits, too.

    Raises:
        InputError: There are no pixels, or all have the same outcome.
    """
    if not 0 < pixels.observed.sum() < pixels.count.sum():
        raise InputError("fitting a temperature needs pixels inside and outside objects. Use more clips.")
    filled = pixels.count > 0
    count, observed = pixels.count[filled], pixels.observed[filled]
    z = logit(np.clip(pixels.predicted[filled] / count, expit(-_MAX_LOGIT), expit(_MAX_LOGIT)))

    def loss(parameters: Float[np.ndarray, " n"]) -> float:
        scaled = z * np.exp(-parameters[0]) + (parameters[1] if shifted else 0.0)
        outcomes = observed * np.logaddexp(0, -scaled) + (count - observed) * np.logaddexp(0, scaled)
        return float(outcomes.sum() / count.sum())

    start = np.zeros(2 if shifted else 1)
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-10}).x
    return Scaling(float(np.exp(best[0])), float(best[1]) if shifted else 0.0, loss(start), loss(best))
