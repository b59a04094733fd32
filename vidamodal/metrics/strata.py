"""The primary protocol's IoUs, apart for object-frames that are easy and hard in different ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.counts import TrackCounts, VideoCounts, mean
from vidamodal.metrics.primary import Interval, bootstrap
from vidamodal.metrics.region import occluded
from vidamodal.metrics.temporal import hidden_spells

AFTER = 3
"""Frames after a hidden spell that count as reappearing."""


@dataclass(frozen=True)
class StratumScores:
    """``full``: IoU of P and A; ``occ``: IoU outside V where at least 5 % is hidden; each with its 95 % interval over
    videos. Means over an object's frames, its video's objects, then videos; None for a mean over nothing."""

    full: float | None
    occ: float | None
    full_interval: Interval | None
    occ_interval: Interval | None
    object_frames: int


def _hidden_between(least: float, most: float, track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Frames of a visible object of which at least ``least`` and less than ``most`` is hidden."""
    share = track.hidden_share
    return track.seen & (share >= least) & (share < most)


def _reappearing(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """The first frames in which an object is seen again."""
    frames = np.zeros_like(track.known)
    for _, stop in hidden_spells(track):
        frames[stop : stop + AFTER] = True
    return frames & track.seen


STRATA: dict[str, Callable[[TrackCounts], Bool[np.ndarray, " t"]]] = {
    "unoccluded (< 5 %)": partial(_hidden_between, 0, 0.05),
    "5-30 % hidden": partial(_hidden_between, 0.05, 0.3),
    "30-50 % hidden": partial(_hidden_between, 0.3, 0.5),
    "50-70 % hidden": partial(_hidden_between, 0.5, 0.7),
    "70-100 % hidden": partial(_hidden_between, 0.7, 1),
    "fully hidden": lambda track: ~track.seen,
    f"first {AFTER} frames seen again": _reappearing,
    "leaving the frame": lambda track: track.leaving,
}
"""Which frames of a track are in a stratum; only counted ones are scored. The last two cut across the others."""


def score_strata(videos: Sequence[VideoCounts]) -> dict[str, StratumScores]:
    """Every stratum over all videos."""
    return {name: _score(videos, frames) for name, frames in STRATA.items()}


def _score(videos: Sequence[VideoCounts], stratum: Callable[[TrackCounts], Bool[np.ndarray, " t"]]) -> StratumScores:
    full, occ, count = [], [], 0
    for video in videos:
        chosen = [(track, stratum(track) & track.counted) for track in video.tracks]
        full.append(mean(mean(track.iou[frames]) for track, frames in chosen))
        occ.append(mean(mean(track.iou_outside_visible[frames & occluded(track)]) for track, frames in chosen))
        count += sum(int(frames.sum()) for _, frames in chosen)
    return StratumScores(mean(full), mean(occ), bootstrap(full), bootstrap(occ), count)
