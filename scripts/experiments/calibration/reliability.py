"""Whether probabilities mean what they say: of the pixels given p, a share of p belongs to the object.

Reliability diagrams and the expected calibration error (Guo et al., 2017, Eqs. 2 and 3; 15 bins of equal width), held
as sums over bins, so that a data set of any size streams through. Pixels far from anything are easy and many: the
error is read over the pixels of an object's window that other objects cover, where alone something can be hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit, logit

from vidamodal.types import InputError

BINS = 15
_FINEST = 12.0
"""Probabilities within one part in 160,000 of 0 or 1 are not told apart when a temperature is fitted."""


@dataclass
class Reliability:
    """Predicted probability against observed frequency, in the bins between ascending ``edges`` from 0 to 1.

    ``count``, ``predicted`` and ``observed`` are sums over a bin's pixels: their number, probabilities and outcomes.
    """

    edges: Float[np.ndarray, " bins_and_1"]
    count: Float[np.ndarray, " bins"] = field(init=False)
    predicted: Float[np.ndarray, " bins"] = field(init=False)
    observed: Float[np.ndarray, " bins"] = field(init=False)

    def __post_init__(self) -> None:
        if self.edges[0] != 0 or self.edges[-1] != 1 or (np.diff(self.edges) <= 0).any():
            raise InputError("bins of probability must ascend from 0 to 1")
        self.count, self.predicted, self.observed = np.zeros((3, len(self.edges) - 1))

    @staticmethod
    def even(bins: int = BINS) -> Reliability:
        """Bins of equal width."""
        return Reliability(np.linspace(0, 1, bins + 1))

    @staticmethod
    def fine(bins: int = 480) -> Reliability:
        """Bins of equal width in logits, fine enough to fit a temperature to their means."""
        return Reliability(np.r_[0, expit(np.linspace(-_FINEST, _FINEST, bins + 1))[1:-1], 1])

    def add(self, probability: Float[np.ndarray, " pixels"], truth: Bool[np.ndarray, " pixels"]) -> None:
        """More pixels, of any shape; ``probability`` in [0, 1], ``truth`` whether the pixel belongs to the object."""
        p = np.asarray(probability, dtype=np.float64).ravel()
        bins = np.clip(np.searchsorted(self.edges, p, side="right") - 1, 0, len(self.count) - 1)
        self.count += np.bincount(bins, minlength=len(self.count))
        self.predicted += np.bincount(bins, p, minlength=len(self.count))
        self.observed += np.bincount(bins, np.asarray(truth).ravel().astype(np.float64), minlength=len(self.count))

    @property
    def ece(self) -> float | None:
        """Mean distance of a bin's mean probability to its observed frequency, weighted by pixels; None without any."""
        total = self.count.sum()
        return float(np.abs(self.predicted - self.observed).sum() / total) if total else None

    @property
    def bias(self) -> float | None:
        """Mean probability minus observed frequency over all pixels: above 0, too much is promised; None without."""
        total = self.count.sum()
        return float((self.predicted - self.observed).sum() / total) if total else None

    @property
    def diagram(self) -> list[tuple[float, float]]:
        """(mean probability, observed frequency) of every bin that holds a pixel."""
        held = self.count > 0
        means = (self.predicted[held] / self.count[held], self.observed[held] / self.count[held])
        return list(zip(*(mean.tolist() for mean in means), strict=True))

    def between(self, low: float, high: float) -> Reliability:
        """Those bins that lie within [low, high]: without the certain pixels, which drown the rest."""
        kept = Reliability(self.edges)
        inside = (self.edges[:-1] >= low - 1e-9) & (self.edges[1:] <= high + 1e-9)
        for name in ("count", "predicted", "observed"):
            setattr(kept, name, np.where(inside, getattr(self, name), 0.0))
        return kept


@dataclass(frozen=True)
class Scaling:
    """expit(logit(p) / temperature + shift), with what it does to the mean log loss (nats a pixel)."""

    temperature: float
    shift: float
    before: float
    after: float


def fit_scaling(pixels: Reliability, shifted: bool = False) -> Scaling:
    """The temperature (Guo et al., 2017, section 4.2), and with ``shifted`` a bias, with the least log loss.

    ``pixels`` are best in `Reliability.fine` bins, each of which counts with its mean probability. InputError without
    pixels of both outcomes.
    """
    if not 0 < pixels.observed.sum() < pixels.count.sum():
        raise InputError("a temperature needs pixels that belong to objects and pixels that do not; give more clips")
    held = pixels.count > 0
    count, observed = pixels.count[held], pixels.observed[held]
    z = logit(np.clip(pixels.predicted[held] / count, expit(-_FINEST), expit(_FINEST)))

    def loss(parameters: Float[np.ndarray, " n"]) -> float:
        scaled = z * np.exp(-parameters[0]) + (parameters[1] if shifted else 0.0)
        outcomes = observed * np.logaddexp(0, -scaled) + (count - observed) * np.logaddexp(0, scaled)
        return float(outcomes.sum() / count.sum())

    start = np.zeros(2 if shifted else 1)
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-10}).x
    return Scaling(float(np.exp(best[0])), float(best[1]) if shifted else 0.0, loss(start), loss(best))
