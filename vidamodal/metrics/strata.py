"""The primary protocol's IoUs for subsets of the object-frames, such as those occluded by 30 to 50 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.averages import Interval, bootstrap_interval, mean
from vidamodal.metrics.counts import TrackCounts, VideoCounts
from vidamodal.metrics.temporal import hidden_spells

REAPPEARING_FRAMES = 3
"""Number of frames after a hidden spell that count as reappearing."""


@dataclass(frozen=True)
class StratumScores:
    """``full`` and ``occ`` of the primary protocol over the frames of one stratum, with 95 % intervals over videos.

    Each is averaged over an object's frames, then its video's objects, then videos; None for a mean over nothing.
    """

    full: float | None
    occ: float | None
    full_interval: Interval | None
    occ_interval: Interval | None
    object_frames: int


def _occluded_between(least: float, most: float, track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Frames in which the occluded share of a visible object is at least ``least`` and below ``most``."""
    share = track.occluded_share
    return track.visible & (share >= least) & (share < most)


def _reappearing(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """First frames in which an object is visible again after a hidden spell."""
    frames = np.zeros_like(track.known)
    for _, stop in hidden_spells(track):
        frames[stop : stop + REAPPEARING_FRAMES] = True
    return np.asarray(frames & track.visible)


STRATA: dict[str, Callable[[TrackCounts], Bool[np.ndarray, " t"]]] = {
    "unoccluded (< 5 %)": partial(_occluded_between, 0, 0.05),
    "5-30 % hidden": partial(_occluded_between, 0.05, 0.3),
    "30-50 % hidden": partial(_occluded_between, 0.3, 0.5),
    "50-70 % hidden": partial(_occluded_between, 0.5, 0.7),
    "70-100 % hidden": partial(_occluded_between, 0.7, 1),
    "fully hidden": lambda track: ~track.visible,
    f"first {REAPPEARING_FRAMES} frames seen again": _reappearing,
    "leaving the frame": lambda track: track.leaving,
}
"""Frames of a track that belong to each stratum; only scored ones count. The last two overlap with the others."""


def score_strata(videos: Sequence[VideoCounts]) -> dict[str, StratumScores]:
    """Score every stratum over all videos."""
    return {name: _score(videos, frames) for name, frames in STRATA.items()}


def _score(videos: Sequence[VideoCounts], stratum: Callable[[TrackCounts], Bool[np.ndarray, " t"]]) -> StratumScores:
    full, occ, count = [], [], 0
    for video in videos:
        chosen = [(track, stratum(track) & track.scored) for track in video.tracks]
        full.append(mean(mean(track.iou[frames]) for track, frames in chosen))
        occ.append(mean(mean(track.occluded_iou[frames & track.occluded]) for track, frames in chosen))
        count += sum(int(frames.sum()) for _, frames in chosen)
    return StratumScores(mean(full), mean(occ), bootstrap_interval(full), bootstrap_interval(occ), count)
