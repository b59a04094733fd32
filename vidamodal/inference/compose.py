"""From logits in windows to masks at the size of the image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit

from vidamodal.geometry import Pieces, Window, paste, pieces_above
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.runs import LabelRuns, Runs
from vidamodal.types import FrameOrder, Rle

NEGLIGIBLE = -6.9
"""Logit below which pixels are left out of the expected IoU: a probability of one in a thousand."""
SAMPLES = 96
"""Rows and columns of a window on which the expected IoU is estimated, at least; fewer if it has fewer."""


@dataclass(frozen=True)
class WindowProbability:
    """Probability of each pixel in the window of an object to belong to it."""

    rows: slice
    """Rows of the image."""
    columns: slice
    """Columns of the image."""
    values: Float[np.ndarray, "p q"]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a mask that is not empty."""

    box: tuple[int, int, int, int]
    """(top, left, bottom, right) in pixels."""
    area: int
    """Number of pixels."""


@dataclass(frozen=True, slots=True)
class EarlyFrame:
    """What a pass needs to know of a frame of the pass before."""

    number: int
    extents: dict[int, Extent]
    """Amodal masks of the objects that are visible or anchored, by their place in the scene; none that are empty."""
    front: Float[np.ndarray, "m m"]
    """As in `FramePrediction`."""


@dataclass(frozen=True)
class ObjectContext:
    """What the masks of an object in one frame depend on besides its logits."""

    window: Window
    visible: Runs | None
    """Its visible mask; None if unknown."""
    labels: LabelRuns
    """The visible track at each pixel: see `vidamodal.inference.scene.FrameMasks`."""
    weights: Float[np.ndarray, " labels"]
    """How far the object may extend under each label, in [0, 1]."""
    open: Runs | None = None
    """Unlabelled pixels under which it may extend; None for all of them."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.labels.height, self.labels.width

    @property
    def possible(self) -> bool:
        """True if an occluder without a mask is possible: see `PartialDecision`."""
        # Without any visible pixel, an occluder is certain, and nothing tells where it ends. Depth tells where it is.
        seen = self.visible is not None and self.visible.area > 0
        return seen and self.open is None and bool(self.weights[0] > 0)

    def uncertain(self, rows: slice, columns: slice) -> Bool[np.ndarray, "p q"]:
        """Return the pixels of a rectangle that may show an occluder without a mask."""
        return np.asarray((self.labels.at(rows, columns) == 0) & self.possible)


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


def compose_object(logits: WindowLogits, rules: MaskRules, present: float | None = None) -> ObjectPrediction:
    """Return the masks of an object in one frame.

    The confidence of a mask is estimated on `SAMPLES` rows and columns of the window, or on all if it has fewer.

    Args:
        logits: Logits of each hypothesis, with the object's window, visible mask and possible occluders.
        rules: How masks are decided.
        present: Probability that any of the object is inside the image; None if unknown.
    """
    context = logits.context
    window, step = context.window, 1
    if not rules.keep_probabilities:
        window = _likely_part(logits.values.max(axis=0), window, NEGLIGIBLE, context.size) or window
        step = max(1, int(max(window.side) / SAMPLES))
    sampled = [_sample(logits, h, window, rules.partial, step) for h in range(len(logits.values))]
    # A sampled hypothesis is overconfident about itself. The deterministic first one judges all; if there is none,
    # their mean does.
    judge = np.mean([s.values for s in sampled], axis=0) if rules.all_sampled else sampled[0].values
    masks = [_decide(logits, h, rules) for h in range(len(logits.values))]
    scores = [s.expected_iou(mask, judge, rules) for s, mask in zip(sampled, masks, strict=True)]
    kept = sampled[0].in_window() if rules.keep_probabilities else None
    cells = logits if rules.keep_probabilities else None
    if present is not None:
        # A mask is right only if the object is there, and an empty mask only if it is not.
        scores = [score * (1 - present if present < rules.presence else present) for score in scores]
    return ObjectPrediction(tuple(mask.encode() for mask in masks), tuple(scores), kept, present, cells)


def measure_extent(logits: WindowLogits, threshold: float) -> Extent | None:
    """Return the extent of the mask of the first hypothesis, None if it is empty.

    Args:
        logits: Logits of the object, of which nothing is judged.
        threshold: A pixel belongs to the mask above this probability.
    """
    mask = _decide(logits, 0, MaskRules(threshold, PartialDecision(threshold=threshold), 0.0, False))
    box = mask.box
    return None if box is None else Extent(box, mask.area)


@dataclass(frozen=True)
class _Sample:
    """Probabilities of undecided pixels in every so many rows and columns of a window, column by column."""

    context: ObjectContext
    rows: slice
    columns: slice
    places: Int[np.ndarray, " k"]
    """The undecided pixels among all of these rows and columns."""
    uncertain: Bool[np.ndarray, " k"] | bool
    """True for pixels that may show an occluder without a mask."""
    values: Float[np.ndarray, " k"]

    def expected_iou(self, mask: Runs, judge: Float[np.ndarray, " k"], rules: MaskRules) -> float:
        """Return the expected IoU of a mask under the probabilities ``judge`` of the same pixels."""
        chosen = self.values > np.where(self.uncertain, rules.partial.threshold, rules.threshold)
        visible = 0 if self.context.visible is None else self.context.visible.area
        each = self.rows.step * self.columns.step
        # E[intersection] / E[union]; one pixel is added to both, so that an empty mask of an absent object scores 1.
        intersection = visible + min(each * float(judge[chosen].sum()), mask.area - visible)
        union = mask.area + each * float(judge[~chosen].sum())
        return float((intersection + 1) / (union + 1))

    def in_window(self) -> WindowProbability:
        """Return the probability of every pixel of the window: 1 on the visible mask, 0 where the object cannot be."""
        values = np.zeros((self.columns.stop - self.columns.start, self.rows.stop - self.rows.start))
        values.ravel()[self.places] = self.values
        if self.context.visible is not None:
            values[self.context.visible.at(self.rows, self.columns).T] = 1
        return WindowProbability(self.rows, self.columns, values.T)


def _sample(logits: WindowLogits, hypothesis: int, window: Window, partial: PartialDecision, step: int) -> _Sample:
    """Sample (a part of) the window: probabilities weighted by what may occlude the object."""
    context = logits.context
    rows, columns, values = paste(logits.values[hypothesis], window, *context.size, step)
    labels = context.labels.at(rows, columns).T.ravel()
    if context.visible is None:  # then nothing can be ruled out
        places = np.arange(len(labels))
    else:
        free = (context.weights > 0)[labels]
        if context.open is not None:
            free &= (labels > 0) | context.open.at(rows, columns).T.ravel()
        free &= ~context.visible.at(rows, columns).T.ravel()
        places = np.flatnonzero(free)
    labels = labels[places]
    chosen = values.T.ravel()[places]
    uncertain = (labels == 0) if context.possible else False
    if context.possible:
        judged = chosen
        if logits.judged is not None:
            judged = paste(logits.judged[hypothesis], window, *context.size, step)[2].T.ravel()[places]
        chosen = np.where(uncertain, judged / partial.temperature + partial.shift, chosen)
    probability = expit(chosen)
    if context.visible is not None:  # if it is unknown, nothing can be ruled out either
        probability = probability * context.weights[labels]
    return _Sample(context, rows, columns, places, uncertain, probability)


def _decide(logits: WindowLogits, hypothesis: int, rules: MaskRules) -> Runs:
    """Return the mask of a hypothesis."""
    context, values = logits.context, logits.values[hypothesis]
    if context.visible is None:
        return _above(values, float(logit(rules.threshold)), context)
    labels, limits = context.labels, _limits(context.weights, rules.threshold)
    open_labels = np.append(False, limits[1:] < values.max())  # nothing exceeds an infinite limit
    mask = context.visible
    if open_labels.any():
        chosen = np.flatnonzero(open_labels[labels.piece_labels])
        each = limits[labels.piece_labels[chosen]]
        mask |= _above(values, each, context, labels.pieces.some(chosen))
    limit, unlabelled = float(limits[0]), values
    if context.possible:
        uncertain = float(_limits(context.weights, rules.partial.threshold)[0])
        limit = (uncertain - rules.partial.shift) * rules.partial.temperature
        unlabelled = values if logits.judged is None else logits.judged[hypothesis]
    if float(unlabelled.max()) > limit:
        added = _above(unlabelled, limit, context) - labels.labelled
        mask |= added if context.open is None else added & context.open
    return mask


def _above(
    values: Float[np.ndarray, "s s"],
    limits: float | Float[np.ndarray, " k"],
    context: ObjectContext,
    pieces: Pieces | None = None,
) -> Runs:
    """Return the pixels of a window, or of some pieces, above a logit."""
    lowest = np.min(limits, initial=np.inf)
    part = _likely_part(values, context.window, float(lowest), context.size)
    if part is None:
        return Runs.nothing(*context.size)
    return Runs.of_pieces(pieces_above(values, limits, part, *context.size, pieces), *context.size)


def _limits(weights: Float[np.ndarray, " labels"], threshold: float) -> Float[np.ndarray, " labels"]:
    """Return the logit under each label above which a pixel belongs to the mask."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.minimum(threshold / weights, 1)
    limits = np.asarray(logit(shares), dtype=np.float64)
    return np.where(weights > 0, limits, np.inf)


def _likely_part(
    values: Float[np.ndarray, "s s"], window: Window, limit: float, size: tuple[int, int]
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
