"""The best of K sampled hypotheses: of each track as a whole, and of each frame by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import TrackCounts, VideoCounts

_Frames = Callable[[TrackCounts], Bool[np.ndarray, " t"]]
_Values = Callable[[TrackCounts], Float[np.ndarray, " t"]]

_MEASURES: dict[str, tuple[_Frames, _Values]] = {
    "full": (lambda track: track.scored & track.visible, lambda track: track.iou),
    "occ": (lambda track: track.scored & track.visible & track.occluded, lambda track: track.occluded_iou),
    "hidden": (lambda track: track.scored & ~track.visible, lambda track: track.iou),
}
"""Frames and values of the primary measures whose best is reported."""


@dataclass(frozen=True)
class HypothesisScores:
    """Primary measures of sampled hypotheses; fractions, None for a mean over nothing."""

    count: int
    """K, the largest number of hypotheses of a track."""
    first: Mapping[str, float | None]
    """The first hypothesis of every track."""
    best_track: Mapping[str, float | None]
    """The hypothesis with the best measure over the whole track: the ground truth chooses once for each track."""
    best_frame: Mapping[str, float | None]
    """The best hypothesis of every frame, as Diffusion-VAS reports it. The ground truth chooses anew in every frame, so
    this is flattering: no single track has these masks."""


def score_hypotheses(videos: Sequence[VideoCounts]) -> HypothesisScores | None:
    """Score the best of K hypotheses, averaged as the primary protocol; None without hypotheses."""
    count = max((len(samples) for video in videos for samples in video.hypotheses), default=0)
    if not count:
        return None
    return HypothesisScores(
        count,
        *(
            {name: _mean_over_videos(videos, name, reduce) for name in _MEASURES}
            for reduce in (_first, _best_of_track, _best_of_frames)
        ),
    )


def _mean_over_videos(
    videos: Sequence[VideoCounts], name: str, reduce: Callable[[Float[np.ndarray, "k t"]], float]
) -> float | None:
    frames, values = _MEASURES[name]

    def measure(samples: Sequence[TrackCounts]) -> float | None:
        chosen = np.array([values(sample)[frames(sample)] for sample in samples])
        return reduce(chosen) if chosen.size else None

    return mean(mean(map(measure, _samples(video))) for video in videos)


def _samples(video: VideoCounts) -> Sequence[Sequence[TrackCounts]]:
    """Return the hypotheses of each track; the prediction, which may be empty, stands for those of a track without."""
    sampled = video.hypotheses or ((),) * len(video.tracks)
    return [samples or (track,) for samples, track in zip(sampled, video.tracks, strict=True)]


def _first(values: Float[np.ndarray, "k t"]) -> float:
    return float(values[0].mean())


def _best_of_track(values: Float[np.ndarray, "k t"]) -> float:
    return float(values.mean(axis=1).max())


def _best_of_frames(values: Float[np.ndarray, "k t"]) -> float:
    return float(values.max(axis=0).mean())
