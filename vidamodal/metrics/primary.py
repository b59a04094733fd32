"""The primary protocol: measures averaged over an object's frames, then its video's objects, then videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vidamodal.metrics import region, temporal
from vidamodal.metrics.averages import Interval, bootstrap_interval, mean
from vidamodal.metrics.counts import TrackCounts, VideoCounts

MEASURES: dict[str, Callable[[TrackCounts], float | None]] = {
    "full": region.full,
    "occ": region.occ,
    "hidden": region.hidden,
    "false_completion": region.false_completion,
    "ghosts": region.ghosts,
    "flicker": temporal.flicker,
    "track_iou": temporal.track_iou,
}
"""The measures of one track by name; None for a mean over no frames."""

LOWER_IS_BETTER = frozenset({"false_completion", "ghosts", "flicker"})


@dataclass(frozen=True)
class PrimaryScores:
    """The seven measures of the primary protocol as fractions, None for a mean over nothing.

    ``object_frames`` and ``videos`` are how many were scored.
    """

    full: float | None
    occ: float | None
    hidden: float | None
    false_completion: float | None
    ghosts: float | None
    flicker: float | None
    track_iou: float | None
    object_frames: int
    videos: int


def score_video(video: VideoCounts) -> PrimaryScores:
    """Return the primary protocol of one video: means over an object's frames, then over the objects."""
    means = {name: mean(measure(track) for track in video.tracks) for name, measure in MEASURES.items()}
    return PrimaryScores(**means, object_frames=sum(int(track.scored.sum()) for track in video.tracks), videos=1)


def mean_scores(videos: Sequence[PrimaryScores]) -> PrimaryScores:
    """Return the primary protocol of several videos: each measure's mean over the videos that have it."""
    means = {name: mean(getattr(video, name) for video in videos) for name in MEASURES}
    return PrimaryScores(**means, object_frames=sum(v.object_frames for v in videos), videos=len(videos))


@dataclass(frozen=True)
class Difference:
    """How much higher a measure is for one method than for another, over the videos that have it under both."""

    mean: float | None
    interval: Interval | None


def paired_differences(videos: Sequence[PrimaryScores], others: Sequence[PrimaryScores]) -> dict[str, Difference]:
    """Return ``videos`` minus ``others`` for each primary measure, with paired bootstrap intervals.

    Pairing by video cancels what makes a video hard for both methods, so the interval of the difference is narrower
    than the intervals of the two methods suggest.

    Args:
        videos: Scores of one method, one entry per video.
        others: Scores of another method on the same videos in the same order.
    """
    differences = {}
    for name in MEASURES:
        pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(videos, others, strict=True)]
        gaps = [one - other for one, other in pairs if one is not None and other is not None]
        differences[name] = Difference(mean(gaps), bootstrap_interval(gaps))
    return differences
