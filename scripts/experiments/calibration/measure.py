"""Measurement of pixels, confidences and scores of a model on clips, for the page on calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.calibration.reliability import Reliability
from vidamodal.formats import Clip
from vidamodal.inference.compose import FramePrediction
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.primary import PrimaryScores, score_video
from vidamodal.models.folder import Model
from vidamodal.types import ClipTracks, Rle, Track

REGIONS = {
    "occluded": "behind other objects, of partly visible objects",
    "hidden": "behind other objects, of fully occluded objects",
    "free": "not covered by any object",
}
"""Regions of an object's window outside its known visible mask."""


@dataclass
class Measurement:
    """Measurements over clips.

    Attributes:
        pixels: Reliability of the pixels by region, in bins of equal width.
        fitting: Reliability of all pixels behind other objects, in fine bins.
        confidences: Confidence of each scored object-frame.
        ious: Its true IoU.
        occluded: True if at least 5 % of the object is occluded.
        scores: Primary scores of each video.
    """

    pixels: dict[str, Reliability] = field(default_factory=lambda: {name: Reliability.even() for name in REGIONS})
    fitting: Reliability = field(default_factory=Reliability.fine)
    confidences: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    occluded: list[bool] = field(default_factory=list)
    scores: list[PrimaryScores] = field(default_factory=list)

    def split(self, occluded: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return confidences and IoUs of the occluded object-frames, or of the others."""
        chosen = np.array(self.occluded) == occluded
        return np.array(self.confidences)[chosen], np.array(self.ious)[chosen]


def measure(model: Model, clips: Sequence[Clip], device: str, constrain: bool, title: str) -> Measurement:
    """Predict and measure every clip; only the run lengths of one clip are held in memory."""
    predictor = Predictor(model, device, constrain=constrain, keep_probabilities=True)
    measurement = Measurement()
    for source in tqdm(clips, desc=title, unit="clip"):
        truth = source.tracks()
        frames = []
        for frame in predictor.stream(truth, frames=source.frames):
            _add_pixels(measurement, frame, truth)
            frames.append({n: replace(c, probability=None) for n, c in frame.objects.items()})
        tracks = []
        for track in truth.tracks:
            predicted = [objects.get(track.id) for objects in frames]
            amodal = tuple(c.masks[0] if c else None for c in predicted)
            confidence = tuple(c.confidence[0] if c else None for c in predicted)
            tracks.append(replace(track, amodal=amodal, confidence=confidence))
        counts = count_video(source.key, replace(truth, tracks=tuple(tracks)), truth, shapes=False)
        measurement.scores.append(score_video(counts))
        _add_confidences(measurement, tracks, counts)
    return measurement


def _add_confidences(measurement: Measurement, tracks: Sequence[Track], counts: VideoCounts) -> None:
    confidence = {track.id: track.confidence or () for track in tracks}
    for track in counts.tracks:
        for t in np.flatnonzero(track.scored):
            value = confidence[track.id][t]
            if value is not None:
                measurement.confidences.append(value)
                measurement.ious.append(float(track.iou[t]))
                measurement.occluded.append(bool(track.occluded[t]))


def _add_pixels(measurement: Measurement, frame: FramePrediction, truth: ClipTracks) -> None:
    """Add the pixels of every object's window in a frame."""
    covered = np.zeros((truth.video.height, truth.video.width), dtype=bool)
    for track in truth.tracks:
        covered |= decode_or_empty(track.visible[frame.number], covered)
    for track in truth.tracks:
        visible_rle, amodal_rle = track.visible[frame.number], track.amodal[frame.number] if track.amodal else None
        completed = frame.objects.get(track.id)
        if visible_rle is None or amodal_rle is None or completed is None or completed.probability is None:
            continue
        window = completed.probability
        crop = (window.rows, window.columns)
        visible, inside, amodal = (mask[crop] for mask in (visible_rle.decode(), covered, amodal_rle.decode()))
        others = inside & ~visible
        for name, pixels in (("occluded" if visible.any() else "hidden", others), ("free", ~inside)):
            measurement.pixels[name].add(window.values[pixels], amodal[pixels])
        measurement.fitting.add(window.values[others], amodal[others])


def decode_or_empty(mask: Rle | None, like: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Decode a mask; return an empty one if it is unknown."""
    return np.zeros_like(like) if mask is None else mask.decode()
