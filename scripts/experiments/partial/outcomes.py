"""Outcomes of several decisions in partial scenes, from one prediction of each object-frame."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from scipy.special import expit
from tqdm import tqdm

from scripts.experiments.calibration.reliability import Reliability
from vidamodal.formats import Clip
from vidamodal.inference.compose import MaskRules, ObjectPrediction, compose_object
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import Model
from vidamodal.occlusion.thresholds import PartialDecision, least_counted_area
from vidamodal.types import Track

CUTS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
"""Logits at which pixels may be divided into object and background."""

REACHES = (0.0, 0.15, 0.2, 0.3)
"""Least distances from the visible mask that completed parts may have to reach."""

CHOICES = tuple((cut, reach) for reach in REACHES for cut in CUTS)
"""Decisions that are compared."""

Values = Float[np.ndarray, " choices"]


@dataclass(frozen=True)
class ObjectFrame:
    """One object in a frame of a partial scene in which it is visible, with the outcome of each of `CHOICES`."""

    video: str
    track: int
    label: str
    set: str
    """Name of the data set."""
    size: float
    """Amodal area over the area of the image."""
    truth: int
    """Amodal pixels."""
    visible: int
    """Pixels of the visible mask, all of which belong to the prediction."""
    right: Values
    """Predicted pixels outside the visible mask that are amodal."""
    wrong: Values
    """Predicted pixels outside the visible mask that are not."""

    @property
    def occluded(self) -> float:
        """Occluded share of the object."""
        return 1 - self.visible / self.truth

    @property
    def iou(self) -> Values:
        """IoU of the amodal mask."""
        return np.asarray((self.visible + self.right) / (self.truth + self.wrong))

    @property
    def occluded_iou(self) -> Values:
        """IoU of the occluded region."""
        return np.asarray(self.right / np.maximum(self.truth - self.visible + self.wrong, 1))

    @property
    def added(self) -> Values:
        """Pixels added falsely over the amodal area."""
        return np.asarray(self.wrong / self.truth)


@dataclass
class Outcomes:
    """Outcomes of all object-frames, and the reliability of the pixels that may show an occluder without a mask."""

    frames: list[ObjectFrame] = field(default_factory=list)
    pixels: Reliability = field(default_factory=Reliability.fine)


def measure(model: Model, sets: Mapping[str, Sequence[Clip]], alone: bool, device: str, title: str) -> Outcomes:
    """Predict clips as partial scenes and try every decision on each object-frame that the primary protocol scores.

    Args:
        model: The model; its own decision is replaced.
        sets: Clips with ground truth by name of the data set.
        alone: Pass the mask of each object alone, not all masks.
        device: Device of the predictor.
        title: Title of the progress bar.
    """
    undecided = copy.deepcopy(model)
    undecided.config = replace(undecided.config, partial=PartialDecision())
    predictor = Predictor(undecided, device, keep_probabilities=True)
    out = Outcomes()
    for name, source in tqdm([(n, clip) for n, clips in sets.items() for clip in clips], desc=title, unit="clip"):
        truth = source.tracks()
        partial = replace(truth, exhaustive=False, order=None)
        inputs = [replace(partial, tracks=(track,)) for track in truth.tracks] if alone else [partial]
        for clip in inputs:
            tracks = {track.id: track for track in clip.tracks}
            for frame in predictor.stream(clip, frames=source.frames):
                for number, prediction in frame.objects.items():
                    _add(out, f"{name}/{source.key}", name, tracks[number], frame.number, prediction, predictor.rules)
    return out


def _add(
    out: Outcomes, video: str, name: str, track: Track, t: int, prediction: ObjectPrediction, rules: MaskRules
) -> None:
    logits, window, truth = prediction.logits, prediction.probability, (track.amodal or ())[t]
    if logits is None or window is None or truth is None or logits.context.visible is None:
        return
    visible, amodal = logits.context.visible, truth.decode()
    area = np.count_nonzero(amodal)
    if not visible.any() or area < least_counted_area(len(amodal)):
        return
    unknown = logits.context.uncertain(window.rows, window.columns) & ~visible[window.rows, window.columns]
    out.pixels.add(window.values[unknown], amodal[window.rows, window.columns][unknown])
    counts = []
    for cut, reach in CHOICES:
        decision = PartialDecision(threshold=float(expit(cut)), reach=reach)
        _, mask = compose_object(logits.values[None], logits.context, replace(rules, partial=decision))
        added = mask & ~visible
        counts.append((np.count_nonzero(added & amodal), np.count_nonzero(added & ~amodal)))
    right, wrong = np.array(counts, dtype=np.float64).T
    seen = int(np.count_nonzero(visible))
    size = float(area / amodal.size)
    out.frames.append(ObjectFrame(video, track.id, track.label or "?", name, size, int(area), seen, right, wrong))
