"""Scores of a clip without and with anchors, over the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import FrameSource
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import TrackCounts, VideoCounts
from vidamodal.metrics.primary import PrimaryScores, score_video
from vidamodal.types import ClipTracks

COUNTS = (1, 3)
"""Numbers of anchors of each track."""
DISTANCES = {"1": (1, 1), "2 to 3": (2, 3), "4 to 7": (4, 7), "8 to 15": (8, 15), "16 and more": (16, 10**9)}
"""Least and greatest distance from the anchor in frames."""


@dataclass(frozen=True)
class Example:
    """A clip to complete."""

    key: str
    inputs: ClipTracks
    truth: ClipTracks
    frames: FrameSource


@dataclass(frozen=True)
class Gain:
    """What anchors add to the frames without one."""

    before: PrimaryScores
    after: PrimaryScores
    by_distance: Mapping[str, Sequence[float]]
    """By the distance from the first anchor, what they add to the IoU of the hidden part of each object-frame."""


def measure_example(predictor: Predictor, example: Example) -> dict[int, Gain]:
    """Complete a clip without anchors, and then with each number of them."""
    truth = example.truth
    plain = predictor.predict(example.inputs, frames=example.frames)
    listed = {track.id for track in example.inputs.tracks}
    worst = {
        track.id: worst_frames(track) for track in _counts(example, plain, truth).tracks if track.id in listed
    }  # nothing can be corrected that is not listed
    gains = {}
    for count in COUNTS:
        chosen = {key: frames[:count] for key, frames in worst.items()}
        given = select_frames(truth, chosen, keep=True)
        found = predictor.predict(example.inputs, frames=example.frames, anchors=given)
        rest = select_frames(truth, chosen, keep=False)
        before, after = _counts(example, plain, rest), _counts(example, found, rest)
        gains[count] = Gain(score_video(before), score_video(after), gains_by_distance(before, after, chosen))
    return gains


def _counts(example: Example, prediction: ClipTracks, truth: ClipTracks) -> VideoCounts:
    known = {track.id for track in truth.tracks}
    scored = replace(prediction, tracks=tuple(track for track in prediction.tracks if track.id in known))
    return count_video(example.key, scored, truth, shapes=False)


def worst_frames(track: TrackCounts) -> list[int]:
    """Return the frames with the lowest IoU of a track, worst first, at least an eighth of the clip apart."""
    apart, chosen = max(len(track.iou) // 8, 1), list[int]()
    for frame in np.argsort(np.where(track.scored, track.iou, np.inf), kind="stable").tolist():
        if track.scored[frame] and all(abs(frame - other) >= apart for other in chosen):
            chosen.append(frame)
    return chosen[: max(COUNTS)]


def select_frames(truth: ClipTracks, frames: Mapping[int, Sequence[int]], keep: bool) -> ClipTracks:
    """Return the ground truth with the amodal masks of some frames of each track alone, or of all others."""
    tracks = tuple(
        replace(
            track,
            amodal=tuple(
                mask if (t in frames.get(track.id, ())) == keep else None for t, mask in enumerate(track.amodal or ())
            ),
            amodal_full=None,
        )
        for track in truth.tracks
    )
    return replace(truth, tracks=tracks)


def gains_by_distance(
    before: VideoCounts, after: VideoCounts, anchors: Mapping[int, Sequence[int]]
) -> dict[str, list[float]]:
    """Return what anchors add to the IoU of the hidden part of each occluded object-frame, by distance."""
    gains: dict[str, list[float]] = {name: [] for name in DISTANCES}
    for old, new in zip(before.tracks, after.tracks, strict=True):
        if not anchors.get(old.id):
            continue
        distance = np.abs(np.arange(len(old.iou)) - anchors[old.id][0])
        gained = new.occluded_iou - old.occluded_iou
        for name, (least, greatest) in DISTANCES.items():
            chosen = old.scored & old.occluded & (distance >= least) & (distance <= greatest)
            gains[name] += gained[chosen].tolist()
    return gains
