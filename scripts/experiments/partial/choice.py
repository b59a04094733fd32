"""Choice of the decision for partial scenes from the outcomes on validation data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from scripts.experiments.calibration.reliability import Reliability, fit_scaling
from scripts.experiments.partial.outcomes import CUTS, ObjectFrame
from vidamodal.occlusion.thresholds import PartialDecision

OCCLUDED_FROM = 0.05
"""Occluded share from which an object-frame counts in occ, as in the primary protocol."""

STRATA: dict[str, Callable[[ObjectFrame], str]] = {
    "data set": lambda frame: frame.set,
    "object": lambda frame: frame.label,
    "size": lambda frame: "under 2 %" if frame.size < 0.02 else "2 to 10 %" if frame.size < 0.1 else "10 % and more",
}
"""Groups in which the completed masks must not be worse than the visible ones."""


@dataclass(frozen=True)
class Curve:
    """Mean scores for each of `CUTS`, averaged as in the primary protocol: frames, objects, videos."""

    full: Float[np.ndarray, " cuts"]
    occ: Float[np.ndarray, " cuts"]
    false_completion: Float[np.ndarray, " cuts"]
    copied: float
    """``full`` of the visible masks."""
    frames: int
    """Number of object-frames."""

    @staticmethod
    def of(frames: Sequence[ObjectFrame]) -> Curve:
        """Return the curve of some object-frames."""
        occluded = [f for f in frames if f.occluded >= OCCLUDED_FROM]
        whole = [f for f in frames if f.visible == f.truth]
        return Curve(
            _mean(frames, lambda f: f.iou),
            _mean(occluded, lambda f: f.occluded_iou),
            _mean(whole, lambda f: f.added),
            float(_mean(frames, lambda f: np.full(len(CUTS), f.visible / f.truth))[0]),
            len(frames),
        )


def _mean(
    frames: Sequence[ObjectFrame], value: Callable[[ObjectFrame], Float[np.ndarray, " cuts"]]
) -> Float[np.ndarray, " cuts"]:
    videos: dict[str, dict[int, list[Float[np.ndarray, " cuts"]]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        videos[frame.video][frame.track].append(value(frame))
    if not videos:
        return np.full(len(CUTS), np.nan)
    means = [np.mean([np.mean(values, axis=0) for values in tracks.values()], axis=0) for tracks in videos.values()]
    return np.asarray(np.mean(means, axis=0))


def group(frames: Sequence[ObjectFrame], by: Callable[[ObjectFrame], str]) -> dict[str, list[ObjectFrame]]:
    """Return the object-frames of each stratum, in order of their names."""
    groups: dict[str, list[ObjectFrame]] = defaultdict(list)
    for frame in frames:
        groups[by(frame)].append(frame)
    return dict(sorted(groups.items()))


def choose_cut(frames: Sequence[ObjectFrame], least_false: float, least_frames: int = 100) -> int:
    """Return the place in `CUTS` at which ``occ`` is highest without harm.

    No harm means that in every stratum of at least ``least_frames`` object-frames ``full`` is at least that of the
    visible masks, and that at most a share of ``least_false`` is added to whole objects.
    """
    harmless = Curve.of(frames).false_completion <= least_false
    for by in STRATA.values():
        for members in group(frames, by).values():
            if len(members) >= least_frames:
                curve = Curve.of(members)
                harmless &= curve.full >= curve.copied
    occ = np.where(harmless, Curve.of(frames).occ, -1.0)
    return int(occ.argmax()) if harmless.any() else len(CUTS) - 1


def decision_at(cut: int, frames: Sequence[ObjectFrame]) -> PartialDecision:
    """Return the decision that divides pixels at a logit and whose probabilities are calibrated on these frames."""
    pixels = Reliability(np.r_[0, expit(CUTS), 1])
    above = np.stack([[np.r_[f.free[0], f.free], np.r_[f.free_right[0], f.free_right]] for f in frames]).sum(axis=0)
    # Pixels below the lowest cut are certain and do not enter the fit.
    inside = -np.diff(np.concatenate([above, np.zeros((2, 1))], axis=1), axis=1)
    pixels.count, pixels.observed = inside
    middles = np.r_[CUTS[0], (CUTS[1:] + CUTS[:-1]) / 2, CUTS[-1]]
    pixels.predicted = pixels.count * expit(middles)
    scaling = fit_scaling(pixels, shifted=True)
    temperature, shift = round(scaling.temperature, 3), round(scaling.shift, 3)
    return PartialDecision(temperature, shift, round(float(expit(CUTS[cut] / temperature + shift)), 4))
