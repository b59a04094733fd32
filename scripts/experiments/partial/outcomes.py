"""Outcomes of several decisions in partial scenes, from one prediction of each object-frame."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit
from tqdm import tqdm

from scripts.experiments.calibration.reliability import Reliability
from vidamodal.formats import Clip
from vidamodal.geometry import Cropper
from vidamodal.inference.compose import MaskRules, ObjectContext, WindowLogits, compose_object
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.unlisted import HOLE_LOGIT
from vidamodal.models.folder import Model
from vidamodal.occlusion.evidence import WindowMasks, gather_evidence
from vidamodal.occlusion.parts import CUTS, PartJudge, Parts, TrackWindows, find_parts, lower_rejected
from vidamodal.occlusion.thresholds import PartialDecision, least_counted_area
from vidamodal.types import ClipTracks, Track

CHOICES = (-math.inf, -3.0, -2.0, -1.5, -1.25, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, math.inf)
"""Scores above which a part may be kept; minus infinity keeps all, infinity copies the visible mask."""

MODES = {"the object's mask alone": True, "all masks": False}
"""What is passed, and whether it is the mask of each object alone."""

Mask = Bool[np.ndarray, "h w"]
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
    """Outcomes of all object-frames; by choice, the reliability of the completed pixels outside all listed masks."""

    frames: list[ObjectFrame] = field(default_factory=list)
    pixels: list[Reliability] = field(default_factory=lambda: [Reliability.fine() for _ in CHOICES])


@dataclass(frozen=True)
class PredictedTrack:
    """A track of a clip with the logits of its frames in a partial scene, from the first to the last one."""

    video: str
    set: str
    track: Track
    numbers: list[int]
    """Frame numbers."""
    contexts: list[ObjectContext]
    logits: Float[np.ndarray, "t s s"]

    @cached_property
    def windows(self) -> TrackWindows:
        """What the windows show."""
        visible, others, inside = zip(*(_cut(context, self.logits.shape[1]) for context in self.contexts), strict=True)
        return TrackWindows(np.stack(visible), np.stack(others), np.stack(inside))

    @cached_property
    def parts(self) -> Parts:
        """The completed parts."""
        return find_parts(self.logits, self.windows)

    def counted(self) -> Iterator[tuple[int, ObjectContext, Mask]]:
        """Yield place, context and true mask of the frames in which the object is visible and large enough."""
        for place, (number, context) in enumerate(zip(self.numbers, self.contexts, strict=True)):
            truth = (self.track.amodal or ())[number]
            if truth is None or context.visible is None or not context.visible.area:
                continue
            mask = truth.decode()
            if np.count_nonzero(mask) >= least_counted_area(len(mask)):
                yield place, context, mask


def _cut(context: ObjectContext, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cropper = Cropper.at(context.window, cells, *context.size)
    nothing, visible = np.zeros_like(cropper.inside), context.visible
    own = nothing if visible is None else cropper.cut(visible.pieces)
    masks = WindowMasks(own, cropper.cut(context.labels.pieces), cropper.inside, nothing)
    return masks.own, gather_evidence(masks, False, None).others, masks.inside


def predict_tracks(
    model: Model, sets: Mapping[str, Sequence[Clip]], alone: bool, device: str, title: str
) -> Iterator[PredictedTrack]:
    """Predict clips as partial scenes and yield the tracks with what their masks follow from.

    Args:
        model: The model; its own decision is not used.
        sets: Clips with ground truth by name of the data set.
        alone: Pass the mask of each object alone, not all masks.
        device: Device of the predictor.
        title: Title of the progress bar.
    """
    undecided = copy.deepcopy(model)
    undecided.config = replace(undecided.config, partial=PartialDecision())
    predictor = Predictor(undecided, device, keep_probabilities=True)
    for name, source in tqdm([(n, clip) for n, clips in sets.items() for clip in clips], desc=title, unit="clip"):
        truth = source.tracks()
        partial = replace(truth, exhaustive=False, order=None)
        for clip in [replace(partial, tracks=(track,)) for track in truth.tracks] if alone else [partial]:
            yield from _predicted(predictor, clip, source, name)


def _predicted(predictor: Predictor, clip: ClipTracks, source: Clip, name: str) -> Iterator[PredictedTrack]:
    found: dict[int, list[tuple[int, WindowLogits]]] = {track.id: [] for track in clip.tracks}
    for frame in predictor.stream(clip, frames=source.frames):
        for number, prediction in frame.objects.items():
            if prediction.logits is not None:
                found[number].append((frame.number, prediction.logits))
    for track in clip.tracks:
        if found[track.id]:
            numbers, logits = zip(*found[track.id], strict=True)
            values = np.stack([each.values[0] for each in logits])
            video = f"{name}/{source.key}"
            yield PredictedTrack(video, name, track, list(numbers), [each.context for each in logits], values)


def measure(
    model: Model, judge: PartJudge, sets: Mapping[str, Sequence[Clip]], alone: bool, device: str, title: str
) -> Outcomes:
    """Predict clips as partial scenes and try every decision on each object-frame that the primary protocol scores.

    Args:
        model: The model; its own decision is not used.
        judge: The judge of parts; its threshold is not used.
        sets: Clips with ground truth by name of the data set.
        alone: Pass the mask of each object alone, not all masks.
        device: Device of the predictor.
        title: Title of the progress bar.
    """
    out = Outcomes()
    rules = MaskRules(0.5, PartialDecision(threshold=float(expit(CUTS[0]))), 0.0, False, keep_probabilities=True)
    for track in predict_tracks(model, sets, alone, device, title):
        scores = judge.score(track.parts.features)
        judged = np.stack([_decide(track, scores, choice) for choice in CHOICES])
        for place, context, truth in track.counted():
            _add(out, track, place, context, truth, judged[:, place], rules)
    return out


def _decide(track: PredictedTrack, scores: Float[np.ndarray, " n"], choice: float) -> Float[np.ndarray, "t s s"]:
    """Logits with the parts that score above a choice."""
    if choice == -math.inf:
        return track.logits
    kept = track.parts.cells(track.parts.choose(scores > choice))
    return lower_rejected(track.logits, kept, track.windows, float(HOLE_LOGIT))


def _add(
    out: Outcomes,
    track: PredictedTrack,
    place: int,
    context: ObjectContext,
    truth: Mask,
    judged: Float[np.ndarray, "choices s s"],
    rules: MaskRules,
) -> None:
    visible = np.zeros_like(truth) if context.visible is None else context.visible.decode()
    area, counts = int(np.count_nonzero(truth)), []
    values = track.logits[place][None]
    for reliability, logits in zip(out.pixels, judged, strict=True):
        prediction = compose_object(WindowLogits(values, context, logits[None]), rules)
        added = prediction.masks[0].decode() & ~visible
        counts.append((np.count_nonzero(added & truth), np.count_nonzero(added & ~truth)))
        if (window := prediction.probability) is not None:
            open_ = context.uncertain(window.rows, window.columns) & added[window.rows, window.columns]
            reliability.add(window.values[open_], truth[window.rows, window.columns][open_])
    right, wrong = np.array(counts, dtype=np.float64).T
    seen, size, label = int(np.count_nonzero(visible)), float(area / truth.size), track.track.label or "?"
    out.frames.append(ObjectFrame(track.video, track.track.id, label, track.set, size, area, seen, right, wrong))
