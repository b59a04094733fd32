"""Choice of the decision for partial scenes from the outcomes on validation data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from scripts.experiments.calibration.reliability import Reliability, fit_scaling
from scripts.experiments.partial.outcomes import CHOICES, ObjectFrame, Values
from vidamodal.occlusion.parts import CUTS, PartJudge
from vidamodal.occlusion.thresholds import PartialDecision

LIMIT = 100.0
"""Score that no part reaches."""

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
    """Mean scores for each of `CHOICES`, averaged as in the primary protocol: frames, objects, videos."""

    full: Values
    occ: Values
    false_completion: Values
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
            float(_mean(frames, lambda f: np.full(len(CHOICES), f.visible / f.truth))[0]),
            len(frames),
        )


def _mean(frames: Sequence[ObjectFrame], value: Callable[[ObjectFrame], Values]) -> Values:
    videos: dict[str, dict[int, list[Values]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        videos[frame.video][frame.track].append(value(frame))
    if not videos:
        return np.full(len(CHOICES), np.nan)
    means = [np.mean([np.mean(values, axis=0) for values in tracks.values()], axis=0) for tracks in videos.values()]
    return np.asarray(np.mean(means, axis=0))


def group(frames: Sequence[ObjectFrame], by: Callable[[ObjectFrame], str]) -> dict[str, list[ObjectFrame]]:
    """Return the object-frames of each stratum, in order of their names."""
    groups: dict[str, list[ObjectFrame]] = defaultdict(list)
    for frame in frames:
        groups[by(frame)].append(frame)
    return dict(sorted(groups.items()))


def worst_margin(frames: Sequence[ObjectFrame], least_frames: int = 100) -> Values:
    """Return the smallest lead in ``full`` over the visible masks in any stratum of enough object-frames."""
    worst = np.full(len(CHOICES), np.inf)
    for by in STRATA.values():
        for members in group(frames, by).values():
            if len(members) >= least_frames:
                curve = Curve.of(members)
                worst = np.minimum(worst, curve.full - curve.copied)
    return worst


def choose(frames: Sequence[ObjectFrame], loss: float = 0.0, least_frames: int = 100) -> int:
    """Return the place in `CHOICES` with the highest ``occ`` of those that do no harm in any stratum.

    If all do harm, the choice is the one whose worst stratum loses least.

    Args:
        frames: Object-frames of validation clips.
        loss: Largest loss of ``full`` against the visible masks in a stratum that counts as no harm.
        least_frames: Fewest object-frames of a stratum that counts.
    """
    margin = worst_margin(frames, least_frames)
    if margin.max() < -loss:
        return int(margin.argmax())
    return int(np.where(margin >= -loss, Curve.of(frames).occ, -1.0).argmax())


def decision_at(place: int, judge: PartJudge, pixels: Reliability) -> PartialDecision:
    """Return a choice as a decision whose probabilities are calibrated on some pixels."""
    scaling = fit_scaling(pixels, shifted=True)
    temperature, shift = round(scaling.temperature, 3), round(scaling.shift, 3)
    threshold = round(float(expit(CUTS[0] / temperature + shift)), 4)
    limited = float(np.clip(CHOICES[place], -LIMIT, LIMIT))
    return PartialDecision(temperature, shift, threshold, replace(judge, threshold=limited))
