"""From logits in windows to masks at the size of the image, and from the masks of frames to tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt16
from scipy.special import expit

from vidamodal.geometry import Window, paste
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.types import FrameOrder, Hypothesis, Rle, Track

Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class WindowProbability:
    """Probability of each pixel in the window of an object to belong to it."""

    rows: slice
    """Rows of the image."""
    columns: slice
    """Columns of the image."""
    values: Float[np.ndarray, "p q"]


@dataclass(frozen=True)
class ObjectPrediction:
    """Amodal masks of an object in one frame, one for each hypothesis."""

    masks: tuple[Rle, ...]
    confidence: tuple[float, ...]
    """Expected IoU of each mask."""
    probability: WindowProbability | None = None
    """Of the first hypothesis; None unless the predictor keeps probabilities."""
    present: float | None = None
    """Probability that any of the object is inside the image; None if the model does not predict it."""
    logits: WindowLogits | None = None
    """What the masks follow from; None unless the predictor keeps probabilities."""

    def with_mask(self, mask: Rle) -> ObjectPrediction:
        """Return the prediction with a certain mask in place of each hypothesis."""
        count = len(self.masks)
        return replace(self, masks=(mask,) * count, confidence=(1.0,) * count)


@dataclass(frozen=True)
class FramePrediction:
    """The predictions of a frame, and the order of its objects."""

    number: int
    objects: dict[int, ObjectPrediction]
    """By track id."""
    order: FrameOrder
    front: Float[np.ndarray, "m m"]
    """Signed confidence that track j of the clip (last axis) lies in front of track i."""


@dataclass(frozen=True)
class ObjectContext:
    """What the masks of an object in one frame depend on besides its logits."""

    window: Window
    visible: Mask | None
    """Its visible mask; None if unknown."""
    labels: UInt16[np.ndarray, "h w"]
    """The visible track at each pixel: see `vidamodal.inference.scene.LabelMap`."""
    weights: Float[np.ndarray, " labels"]
    """How far the object may extend under each label, in [0, 1]."""
    open: Mask | None = None
    """Unlabelled pixels under which it may extend; None for all of them."""

    @property
    def possible(self) -> bool:
        """True if an occluder without a mask is possible: see `PartialDecision`."""
        # Without any visible pixel, an occluder is certain, and nothing tells where it ends. Depth tells where it is.
        seen = self.visible is not None and bool(self.visible.any())
        return seen and self.open is None and bool(self.weights[0] > 0)

    def uncertain(self, rows: slice, columns: slice) -> Bool[np.ndarray, "p q"]:
        """Return the pixels of a rectangle that may show an occluder without a mask."""
        return np.asarray((self.labels[rows, columns] == 0) & self.possible)


@dataclass(frozen=True)
class WindowLogits:
    """Logits of k hypotheses of an object in its window, and what else decides its mask."""

    values: Float[np.ndarray, "k s s"]
    context: ObjectContext
    judged: Float[np.ndarray, "k s s"] | None = None
    """Logits of pixels that may show an occluder without a mask; None if they are the same."""


@dataclass(frozen=True)
class MaskRules:
    """How masks are decided from probabilities."""

    threshold: float
    """A pixel belongs to the mask above this probability."""
    partial: PartialDecision
    """How pixels are decided that may show an occluder without a mask."""
    presence: float
    """Below this probability of presence the object is gone, and its mask is empty."""
    all_sampled: bool
    """True if the model samples every hypothesis, also the first."""
    keep_probabilities: bool = False


def compose_object(
    logits: WindowLogits, rules: MaskRules, present: float | None = None
) -> tuple[ObjectPrediction, Mask]:
    """Return the masks of an object in one frame, with the decoded mask of the first hypothesis.

    Args:
        logits: Logits of each hypothesis, with the object's window, visible mask and possible occluders.
        rules: How masks are decided.
        present: Probability that any of the object is inside the image; None if unknown.
    """
    context = logits.context
    pasted = [_paste_probability(logits, h, rules.partial) for h in range(len(logits.values))]
    # A sampled hypothesis is overconfident about itself. The deterministic first one judges all; if there is none,
    # their mean does.
    judge = np.mean([p.values for p in pasted], axis=0) if rules.all_sampled else pasted[0].values
    masks, scores = zip(*(_decide_mask(p, judge, context, rules) for p in pasted), strict=True)
    kept = pasted[0] if rules.keep_probabilities else None
    cells = logits if rules.keep_probabilities else None
    if present is not None:
        # A mask is right only if the object is there, and an empty mask only if it is not.
        scores = tuple(score * (1 - present if present < rules.presence else present) for score in scores)
    return ObjectPrediction(tuple(Rle.encode(mask) for mask in masks), scores, kept, present, cells), masks[0]


def compose_track(track: Track, predictions: Mapping[int, ObjectPrediction], frames: int) -> Track:
    """Return a track with its amodal masks, confidences and, if there are several, hypotheses.

    The amodal masks are those of the hypothesis with the highest mean confidence. If the track has confidences already,
    it was detected; they multiply those of the prediction, which takes the visible mask for granted.

    Args:
        track: The track with its visible masks.
        predictions: Its predictions by frame number.
        frames: Number of frames of the clip.
    """
    track = replace(track, amodal_full=None, present=None)
    if not predictions:
        return replace(track, amodal=(None,) * frames, confidence=(None,) * frames, hypotheses=())
    trust = _detection_confidence(track, frames)
    count = len(next(iter(predictions.values())).masks)
    hypotheses = [
        Hypothesis(
            float(np.mean([p.confidence[h] * trust[t] for t, p in predictions.items()])),
            tuple(predictions[t].masks[h] if t in predictions else None for t in range(frames)),
        )
        for h in range(count)
    ]
    best = max(range(count), key=lambda h: hypotheses[h].score)
    confidence = (predictions[t].confidence[best] * trust[t] if t in predictions else None for t in range(frames))
    several = tuple(hypotheses) if count > 1 else ()
    present = tuple(predictions[t].present if t in predictions else None for t in range(frames))
    return replace(
        track,
        amodal=hypotheses[best].amodal,
        confidence=tuple(confidence),
        present=None if all(value is None for value in present) else present,
        hypotheses=several,
    )


def _detection_confidence(track: Track, frames: int) -> list[float]:
    """Confidence of a track's detection in each frame; their mean where it is unknown, 1 if none is known."""
    known = [value for value in track.confidence or () if value is not None]
    mean = float(np.mean(known)) if known else 1.0
    return [mean if value is None else value for value in track.confidence or (None,) * frames]


def _paste_probability(logits: WindowLogits, hypothesis: int, partial: PartialDecision) -> WindowProbability:
    """Probabilities at the size of the image; 1 on the visible mask, and weighted by what may occlude elsewhere."""
    context = logits.context
    size = context.labels.shape
    rows, columns, values = paste(logits.values[hypothesis], context.window, *size)
    uncertain = context.uncertain(rows, columns)
    judged = values
    if logits.judged is not None and uncertain.any():
        _, _, judged = paste(logits.judged[hypothesis], context.window, *size)
    probability = expit(np.where(uncertain, judged / partial.temperature + partial.shift, values))
    if context.visible is not None:  # if it is unknown, nothing can be ruled out either
        labels = context.labels[rows, columns]
        weights = context.weights[labels]
        if context.open is not None:
            weights = np.where((labels > 0) | context.open[rows, columns], weights, 0)
        probability = np.where(context.visible[rows, columns], 1.0, probability * weights)
    return WindowProbability(rows, columns, probability)


def _decide_mask(
    window: WindowProbability, judge: Float[np.ndarray, "p q"], context: ObjectContext, rules: MaskRules
) -> tuple[Mask, float]:
    """The mask of a window, and its expected IoU under the probabilities ``judge`` of the same pixels."""
    uncertain = context.uncertain(window.rows, window.columns)
    chosen = window.values > np.where(uncertain, rules.partial.threshold, rules.threshold)
    mask = np.zeros(context.labels.shape, dtype=bool) if context.visible is None else context.visible.copy()
    mask[window.rows, window.columns] |= chosen
    # E[intersection] / E[union]; one pixel is added to both, so that an empty mask of an absent object scores 1.
    outside = np.count_nonzero(mask) - np.count_nonzero(chosen)
    intersection = judge[chosen].sum() + outside
    union = np.count_nonzero(mask) + judge[~chosen].sum()
    return mask, float((intersection + 1) / (union + 1))
