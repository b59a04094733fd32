"""The primary protocol: six measures, each a mean over an object's frames, its video's objects, then videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vidamodal.metrics import region, temporal
from vidamodal.metrics.counts import TrackCounts, VideoCounts, mean

MEASURES: dict[str, Callable[[TrackCounts], float | None]] = {
    "full": region.full,
    "occ": region.occ,
    "hidden": region.hidden,
    "false_completion": region.false_completion,
    "flicker": temporal.flicker,
    "track_iou": temporal.track_iou,
}

Interval = tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """The primary protocol: fractions (None for a mean over nothing), and how many object-frames and videos counted.

    ``full``, ``occ``, ``hidden`` and ``track_iou`` are the better the higher, the other two the better the lower.
    """

    full: float | None
    occ: float | None
    hidden: float | None
    false_completion: float | None
    flicker: float | None
    track_iou: float | None
    object_frames: int
    videos: int


def score_video(video: VideoCounts) -> Scores:
    """The primary protocol in one video: means over an object's frames, then over the objects."""
    means = {name: mean(measure(track) for track in video.tracks) for name, measure in MEASURES.items()}
    return Scores(**means, object_frames=sum(int(track.counted.sum()) for track in video.tracks), videos=1)


def mean_scores(videos: Sequence[Scores]) -> Scores:
    """The primary protocol over videos: each measure's mean over those videos that have it."""
    means = {name: mean(getattr(video, name) for video in videos) for name in MEASURES}
    return Scores(**means, object_frames=sum(v.object_frames for v in videos), videos=len(videos))


def bootstrap(values: Sequence[float | None], seed: int = 0, resamples: int = 2000) -> Interval | None:
    """The 95 % percentile interval of the mean when videos are drawn again; None for fewer than two values."""
    present = np.array([value for value in values if value is not None])
    if present.size < 2:
        return None
    draws = np.random.default_rng(seed).integers(present.size, size=(resamples, present.size))
    low, high = np.percentile(present[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """How much higher one method's measure is than another's, over the videos that have it under both."""

    mean: float | None
    interval: Interval | None


def differences(videos: Sequence[Scores], others: Sequence[Scores]) -> dict[str, Difference]:
    """Of each primary measure, ``videos`` minus ``others``: the mean over videos and its paired bootstrap interval.

    Both lists score the same videos in the same order. Drawing videos, not methods, again takes out what makes a video
    hard for either: the interval of the difference is narrower than those of the two methods suggest.
    """
    found = {}
    for name in MEASURES:
        pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(videos, others, strict=True)]
        gaps = [one - other for one, other in pairs if one is not None and other is not None]
        found[name] = Difference(mean(gaps), bootstrap(gaps))
    return found
