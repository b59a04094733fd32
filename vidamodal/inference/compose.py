"""From logits in windows to masks at the size of the image, and from the masks of frames to tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16
from scipy.special import expit, logit

from vidamodal.geometry import Window, paste
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.rle import Patch
from vidamodal.types import FrameOrder, Hypothesis, Rle, Track

NEGLIGIBLE = -6.9
"""Logit below which pixels are left out of the expected IoU: a probability of one in a thousand."""


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
class Extent:
    """The size of a mask that is not empty."""

    box: tuple[int, int, int, int]
    """(top, left, bottom, right) in pixels."""
    area: int
    """Number of pixels."""


@dataclass(frozen=True)
class FirstPassFrame:
    """What the second of two passes needs to know of a frame of the first."""

    number: int
    extents: dict[int, Extent]
    """Amodal masks of the objects that are visible or anchored, by their place in the scene; none that are empty."""
    front: Float[np.ndarray, "m m"]
    """As in `FramePrediction`."""


@dataclass(frozen=True)
class ObjectContext:
    """What the masks of an object in one frame depend on besides its logits."""

    window: Window
    visible: Patch | None
    """Its visible mask; None if unknown."""
    labels: UInt16[np.ndarray, "h w"]
    """The visible track at each pixel: see `vidamodal.inference.scene.LabelMap`."""
    weights: Float[np.ndarray, " labels"]
    """How far the object may extend under each label, in [0, 1]."""
    open: Patch | None = None
    """Unlabelled pixels under which it may extend; None for all of them."""

    @property
    def possible(self) -> bool:
        """True if an occluder without a mask is possible: see `PartialDecision`."""
        # Without any visible pixel, an occluder is certain, and nothing tells where it ends. Depth tells where it is.
        seen = self.visible is not None and self.visible.area > 0
        return seen and self.open is None and bool(self.weights[0] > 0)

    def uncertain(self, rows: slice, columns: slice) -> Bool[np.ndarray, "p q"]:
        """Return the pixels of a rectangle that may show an occluder without a mask."""
        return np.asarray((self.labels[rows, columns] == 0) & self.possible)

    def undecided(self, rows: slice, columns: slice) -> Bool[np.ndarray, "p q"]:
        """Return the pixels of a rectangle that show something else, under which the object may extend."""
        labels = self.labels[rows, columns]
        if self.visible is None:  # then nothing can be ruled out
            return np.ones(labels.shape, dtype=bool, order="F")
        free = (self.weights > 0)[labels]
        if self.open is not None:
            free &= (labels > 0) | self.open.within(rows, columns)
        free &= ~self.visible.within(rows, columns)
        return np.asarray(free)


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
) -> tuple[ObjectPrediction, Patch]:
    """Return the masks of an object in one frame, with the decoded mask of the first hypothesis.

    Args:
        logits: Logits of each hypothesis, with the object's window, visible mask and possible occluders.
        rules: How masks are decided.
        present: Probability that any of the object is inside the image; None if unknown.
    """
    height, width = logits.context.labels.shape
    window = logits.context.window
    if not rules.keep_probabilities:
        window = _likely_part(logits.values.max(axis=0), window, NEGLIGIBLE, (height, width)) or window
    pasted = [_paste_probability(logits, h, window, rules.partial) for h in range(len(logits.values))]
    # A sampled hypothesis is overconfident about itself. The deterministic first one judges all; if there is none,
    # their mean does.
    judge = np.mean([p.values for p in pasted], axis=0) if rules.all_sampled else pasted[0].values
    masks, scores = zip(*(p.decide(judge, rules) for p in pasted), strict=True)
    kept = pasted[0].in_window() if rules.keep_probabilities else None
    cells = logits if rules.keep_probabilities else None
    if present is not None:
        # A mask is right only if the object is there, and an empty mask only if it is not.
        scores = tuple(score * (1 - present if present < rules.presence else present) for score in scores)
    runs = tuple(mask.encode(height, width) for mask in masks)
    return ObjectPrediction(runs, scores, kept, present, cells), masks[0]


def measure_extent(logits: WindowLogits, threshold: float) -> Extent | None:
    """Return the extent of the mask of the first hypothesis, None if it is empty; cheaper than the mask.

    Args:
        logits: Logits of the object, of which nothing is judged.
        threshold: A pixel belongs to the mask above this probability.
    """
    context = logits.context
    visible = context.visible or Patch(0, 0, np.zeros((0, 0), dtype=bool))
    limits = _logit_limits(context, threshold)
    likely = _likely_part(logits.values[0], context.window, float(limits.min()), context.labels.shape)
    if likely is None:
        return None if visible.box is None else Extent(visible.box, visible.area)
    rows, columns, values = paste(logits.values[0], likely, *context.labels.shape)
    chosen = (values > limits[context.labels[rows, columns]]) & context.undecided(rows, columns)
    added = Patch(rows.start, columns.start, chosen)
    boxes = [box for box in (visible.box, added.box) if box is not None]
    if not boxes:
        return None
    low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
    return Extent((int(low[0]), int(low[1]), int(high[2]), int(high[3])), visible.area + added.area)


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


@dataclass(frozen=True)
class _Probability:
    """Probabilities of the undecided pixels of a window, column by column."""

    context: ObjectContext
    rows: slice
    columns: slice
    places: Int[np.ndarray, " k"]
    """The undecided pixels among those of the window."""
    uncertain: Bool[np.ndarray, " k"] | bool
    """True for pixels that may show an occluder without a mask."""
    values: Float[np.ndarray, " k"]

    def decide(self, judge: Float[np.ndarray, " k"], rules: MaskRules) -> tuple[Patch, float]:
        """Return the mask, and its expected IoU under the probabilities ``judge`` of the same pixels."""
        chosen = self.values > np.where(self.uncertain, rules.partial.threshold, rules.threshold)
        mask = self._with_visible(self.places[chosen])
        # E[intersection] / E[union]; one pixel is added to both, so that an empty mask of an absent object scores 1.
        intersection = judge[chosen].sum() + mask.area - np.count_nonzero(chosen)
        union = mask.area + judge[~chosen].sum()
        return mask, float((intersection + 1) / (union + 1))

    def in_window(self) -> WindowProbability:
        """Return the probability of every pixel of the window: 1 on the visible mask, 0 where the object cannot be."""
        values = np.zeros(self._size)
        values.ravel()[self.places] = self.values
        if self.context.visible is not None:
            values[self.context.visible.within(self.rows, self.columns).T] = 1
        return WindowProbability(self.rows, self.columns, values.T)

    @property
    def _size(self) -> tuple[int, int]:
        return self.columns.stop - self.columns.start, self.rows.stop - self.rows.start

    def _with_visible(self, places: Int[np.ndarray, " c"]) -> Patch:
        """Return some pixels of the window and the visible mask."""
        visible = self.context.visible
        if visible is not None and not len(places):
            return visible
        columns, rows = np.divmod(places, self._size[1])
        top, left = int(rows.min(initial=0)), int(columns.min(initial=0))
        added = np.zeros((int(columns.max(initial=-1)) + 1 - left, int(rows.max(initial=-1)) + 1 - top), dtype=bool)
        added[columns - left, rows - top] = True
        patch = Patch(self.rows.start + top, self.columns.start + left, added.T)
        return patch if visible is None else patch.union(visible)


def _paste_probability(logits: WindowLogits, hypothesis: int, window: Window, partial: PartialDecision) -> _Probability:
    """Probabilities at the size of the image in (a part of) the window, weighted by what may occlude the object."""
    context = logits.context
    size = context.labels.shape
    rows, columns, values = paste(logits.values[hypothesis], window, *size)
    places = np.flatnonzero(context.undecided(rows, columns).T)
    labels = context.labels[rows, columns].T.ravel()[places]
    chosen = values.T.ravel()[places]
    uncertain = (labels == 0) if context.possible else False
    if context.possible:
        judged = chosen
        if logits.judged is not None:
            judged = paste(logits.judged[hypothesis], window, *size)[2].T.ravel()[places]
        chosen = np.where(uncertain, judged / partial.temperature + partial.shift, chosen)
    probability = expit(chosen)
    if context.visible is not None:  # if it is unknown, nothing can be ruled out either
        probability = probability * context.weights[labels]
    return _Probability(context, rows, columns, places, uncertain, probability)


def _logit_limits(context: ObjectContext, threshold: float) -> Float[np.ndarray, " labels"]:
    """Return the logit under each label above which a pixel belongs to the mask."""
    if context.visible is None:
        return np.full(len(context.weights), logit(threshold), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.minimum(threshold / context.weights, 1)
    return np.asarray(logit(shares), dtype=np.float32)


def _likely_part(
    values: Float[np.ndarray, "s s"], window: Window, limit: float, size: tuple[int, ...]
) -> Window | None:
    """Return the window, restricted to the cells between which a logit above a limit is interpolated."""
    rows, columns = (np.flatnonzero((values > limit).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    shown = window.shown or (0, 0, *size)
    edges = []
    for cells, center, side, low, high in (
        (rows, window.center[1], window.side[1], shown[0], shown[2]),
        (columns, window.center[0], window.side[0], shown[1], shown[3]),
    ):
        pitch, start = side / len(values), center - side / 2
        first, last = start + (cells[0] - 1) * pitch, start + (cells[-1] + 2) * pitch
        edges.append((int(np.clip(np.floor(first), low, high)), int(np.clip(np.ceil(last), low, high))))
    (top, bottom), (left, right) = edges
    return replace(window, shown=(top, left, bottom, right))
