"""Outcomes of every possible threshold in partial scenes, from one prediction of each object-frame."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, logit
from tqdm import tqdm

from vidamodal.formats import Clip
from vidamodal.inference.compose import FramePrediction, WindowProbability
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import Model
from vidamodal.occlusion.thresholds import PartialDecision, least_counted_area
from vidamodal.types import ClipTracks, Rle, Track

MAX_LOGIT = 12.0
CUTS = np.linspace(-MAX_LOGIT, MAX_LOGIT, 241)
"""Logits at which a pixel may be divided into object and background."""


@dataclass(frozen=True)
class ObjectFrame:
    """Pixels of one object in a frame of a partial scene in which it is visible.

    The pixels that the decision concerns are *free*: inside the window and outside all listed masks.
    """

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
    covered: int
    """Pixels of the prediction under other listed masks."""
    covered_right: int
    """Amodal ones among them."""
    free: Float[np.ndarray, " cuts"]
    """Free pixels with a logit above each of `CUTS`."""
    free_right: Float[np.ndarray, " cuts"]
    """Amodal ones among them."""

    @property
    def occluded(self) -> float:
        """Occluded share of the object."""
        return 1 - self.visible / self.truth

    @property
    def iou(self) -> Float[np.ndarray, " cuts"]:
        """IoU of the amodal mask for each of `CUTS`."""
        right = self.visible + self.covered_right + self.free_right
        return np.asarray(right / (self.truth + self.covered - self.covered_right + self.free - self.free_right))

    @property
    def occluded_iou(self) -> Float[np.ndarray, " cuts"]:
        """IoU of the occluded region for each of `CUTS`."""
        right, wrong = self.covered_right + self.free_right, self.covered - self.covered_right + self.free
        return np.asarray(right / np.maximum(self.truth - self.visible + wrong - self.free_right, 1))

    @property
    def added(self) -> Float[np.ndarray, " cuts"]:
        """Pixels added falsely over the amodal area, for each of `CUTS`."""
        wrong = self.covered - self.covered_right + self.free - self.free_right
        return np.asarray(wrong / self.truth)


def measure(
    model: Model, sets: Mapping[str, Sequence[Clip]], alone: bool, device: str, title: str
) -> list[ObjectFrame]:
    """Predict clips as partial scenes and return every object-frame that the primary protocol scores.

    Args:
        model: The model; its decision is replaced by one that changes no logit.
        sets: Clips with ground truth by name of the data set.
        alone: Pass the mask of each object alone, not all masks.
        device: Device of the predictor.
        title: Title of the progress bar.
    """
    undecided = copy.deepcopy(model)
    undecided.config = replace(undecided.config, partial=PartialDecision())
    predictor = Predictor(undecided, device, keep_probabilities=True)
    out: list[ObjectFrame] = []
    for name, source in tqdm([(n, clip) for n, clips in sets.items() for clip in clips], desc=title, unit="clip"):
        truth = source.tracks()
        partial = replace(truth, exhaustive=False, order=None)
        inputs = [replace(partial, tracks=(track,)) for track in truth.tracks] if alone else [partial]
        for clip in inputs:
            for frame in predictor.stream(clip, frames=source.frames):
                out += _object_frames(f"{name}/{source.key}", name, clip, frame)
    return out


def _object_frames(video: str, name: str, clip: ClipTracks, frame: FramePrediction) -> list[ObjectFrame]:
    t, shape = frame.number, (clip.video.height, clip.video.width)
    listed = np.zeros(shape, dtype=bool)
    for track in clip.tracks:
        listed |= _decode(track.visible[t], shape)
    found = []
    for track in clip.tracks:
        prediction = frame.objects.get(track.id)
        if prediction is not None and prediction.probability is not None:
            measured = _object_frame(video, name, track, t, prediction.probability, listed)
            found += [] if measured is None else [measured]
    return found


def _object_frame(
    video: str, name: str, track: Track, t: int, window: WindowProbability, listed: Bool[np.ndarray, "h w"]
) -> ObjectFrame | None:
    visible, amodal = _decode(track.visible[t], listed.shape), _decode((track.amodal or ())[t], listed.shape)
    area = np.count_nonzero(amodal)
    if not visible.any() or area < least_counted_area(listed.shape[0]):
        return None
    crop = (window.rows, window.columns)
    others, free = listed[crop] & ~visible[crop], ~listed[crop]
    chosen = others & (window.values > 0.5)
    logits = logit(np.clip(window.values[free], expit(-MAX_LOGIT), expit(MAX_LOGIT)))
    right = amodal[crop][free]
    return ObjectFrame(
        video=video,
        track=track.id,
        label=track.label or "?",
        set=name,
        size=float(area / amodal.size),
        truth=int(area),
        visible=int(np.count_nonzero(visible)),
        covered=int(np.count_nonzero(chosen)),
        covered_right=int(np.count_nonzero(chosen & amodal[crop])),
        free=_count_above(logits),
        free_right=_count_above(logits[right]),
    )


def _count_above(logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, " cuts"]:
    bins = np.bincount(np.searchsorted(CUTS, logits, side="left"), minlength=len(CUTS) + 1)
    return np.asarray(bins[::-1].cumsum()[::-1][1:].astype(np.float64))


def _decode(mask: Rle | None, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    return np.zeros(shape, dtype=bool) if mask is None else mask.decode()
