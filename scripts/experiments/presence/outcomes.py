"""Outcomes of every threshold of presence, from one prediction of each object-frame in which nothing is visible."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from vidamodal.formats import Clip
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import Model
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import ClipTracks, Track

THRESHOLDS = np.round(np.arange(0.02, 1.0, 0.02), 2)
"""Thresholds that are compared."""

LEAST = 1e-9
"""Threshold of the predictor, with which no object is gone."""


@dataclass(frozen=True)
class UnseenFrame:
    """An object in a frame of its known span in which nothing of it is visible."""

    set: str
    """Name of the data set."""
    present: float
    """Predicted probability of presence."""
    hidden: bool
    """True if enough of the object to count is inside the image, False if nothing is."""
    ghost: bool
    """True if the predicted mask is large enough to count as a ghost."""


def measure(model: Model, sets: Mapping[str, Sequence[Clip]], device: str) -> list[UnseenFrame]:
    """Predict clips and return their object-frames in which nothing is visible.

    Args:
        model: The model; its threshold is replaced by one below which nothing lies.
        sets: Clips with ground truth by name of the data set.
        device: Device of the predictor.
    """
    undecided = copy.deepcopy(model)
    undecided.config = replace(undecided.config, presence_threshold=LEAST)
    predictor = Predictor(undecided, device)
    out: list[UnseenFrame] = []
    for name, source in tqdm([(n, clip) for n, clips in sets.items() for clip in clips], desc="presence", unit="clip"):
        truth = source.tracks()
        prediction = predictor.predict(replace(truth, order=None))
        for track, predicted in zip(truth.tracks, prediction.tracks, strict=True):
            out += _unseen_frames(name, truth, track, predicted)
    return out


def _unseen_frames(name: str, clip: ClipTracks, track: Track, predicted: Track) -> list[UnseenFrame]:
    least = least_counted_area(clip.video.height)
    found = []
    for t, present in enumerate(predicted.present or ()):
        visible, amodal, mask = track.visible[t], (track.amodal or ())[t], (predicted.amodal or ())[t]
        if present is None or visible is None or amodal is None or mask is None or visible.area() > 0:
            continue
        if amodal.area() == 0 or amodal.area() >= least:
            found.append(UnseenFrame(name, present, amodal.area() > 0, mask.area() >= least))
    return found


@dataclass(frozen=True)
class Rates:
    """Errors for each of `THRESHOLDS`."""

    ghosts: Float[np.ndarray, " thresholds"]
    """Share of the frames without the object that get a mask."""
    lost: Float[np.ndarray, " thresholds"]
    """Share of the frames with a hidden object that get none because of the threshold."""
    gone_frames: int
    hidden_frames: int

    @staticmethod
    def of(frames: Sequence[UnseenFrame]) -> Rates:
        """Return the rates over some object-frames."""
        gone, hidden = [f for f in frames if not f.hidden], [f for f in frames if f.hidden]
        ghosts = [np.mean([f.ghost and f.present >= x for f in gone]) if gone else np.nan for x in THRESHOLDS]
        lost = [np.mean([f.present < x for f in hidden]) if hidden else np.nan for x in THRESHOLDS]
        return Rates(np.array(ghosts), np.array(lost), len(gone), len(hidden))


def choose_threshold(frames: Sequence[UnseenFrame]) -> float:
    """Return the threshold with the smallest sum of ghosts and lost objects; all data sets count alike."""
    groups: dict[str, list[UnseenFrame]] = defaultdict(list)
    for frame in frames:
        groups[frame.set].append(frame)
    rates = [Rates.of(members) for members in groups.values()]
    ghosts, lost = (np.nanmean([getattr(rate, name) for rate in rates], axis=0) for name in ("ghosts", "lost"))
    return float(THRESHOLDS[int(np.argmin(ghosts + lost))])
