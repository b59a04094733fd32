"""Measures of the temporal consistency of tracks; None stands for a mean over nothing.

None of them is meaningful alone: a prediction that never moves, one with a constant error and a copied visible mask
each score well in some of them, as `scripts/experiments/results` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import IouTable, TrackCounts, VideoCounts

DRIFT_AFTER = {"1": (1, 1), "2-3": (2, 3), "4-7": (4, 7), "8-15": (8, 15), "16+": (16, None)}
"""First and last number of frames for which an object has been hidden, by the key of ``TemporalScores.drift``."""


def flicker(track: TrackCounts) -> float | None:
    """Return the mean of |E_t xor E_t-1| / |A_t| over neighbouring scored frames, with the error mask E = P xor A.

    It is 0 for a prediction that changes exactly as the ground truth does, but also for a constant error.
    """
    frames = track.scored.copy()
    frames[1:] &= track.scored[:-1]
    frames[:1] = False
    return mean(track.error_change[frames] / track.pixels(a=1)[frames])


def track_iou(track: TrackCounts) -> float | None:
    """Return the intersection over union of the whole track, with all its scored frames as one volume."""
    scored = track.scored
    if not scored.any():
        return None
    union = track.pixels(a=1) + track.pixels(p=1, a=0)
    return float(track.pixels(p=1, a=1)[scored].sum() / union[scored].sum())


def mean_boundary_f(track: TrackCounts) -> float | None:
    """Return the mean of DAVIS' boundary F over the scored frames."""
    return mean(track.boundary_f[track.scored])


@dataclass(frozen=True)
class TemporalScores:
    """Temporal measures beside the primary protocol's; fractions, None for a mean over nothing.

    A *hidden spell* is a run of scored frames with nothing visible, after a frame in which the object was visible.
    """

    boundary_f: float | None
    """DAVIS' boundary F, a mean over an object's frames, its video's objects, then videos."""
    track_ap: dict[str, float | None]
    """Result of `average_precision` for whole tracks by the rule of YouTube-VIS: intersections and unions are summed
    over frames."""
    spells: int
    """Number of hidden spells."""
    lost: float | None
    """Share of the frames of hidden spells in which the predicted mask is empty; ``drift`` leaves these out."""
    drift: dict[str, float | None]
    """Mean distance of the centroids of P and A during hidden spells, over the square root of A's area, by the number
    of frames for which the object has been hidden."""
    identity_hidden: float | None
    """Share of spells that end with P having a higher IoU with its object than with any other one."""
    identity_after: float | None
    """The same share in the first frame in which the object is visible again."""


def score_temporal(videos: Sequence[VideoCounts]) -> TemporalScores:
    """Compute all temporal measures; those of hidden spells weight all frames, or all spells, equally."""
    drifts: list[tuple[int, float]] = []  # number of frames hidden so far, drift (NaN without a mask)
    kept: dict[str, list[float]] = {"hidden": [], "after": []}
    spells = 0
    for video in videos:
        for track in video.tracks:
            for start, stop in hidden_spells(track):
                spells += 1
                drifts += [(k, float(d)) for k, d in enumerate(track.drift[start:stop], start=1)]
                for name, t in (("hidden", stop - 1), ("after", stop)):
                    if t < len(track.known) and track.present[t] and (name == "hidden" or track.visible[t]):
                        kept[name].append(_keeps_identity(video.frame_ious[t], track.id))
    return TemporalScores(
        boundary_f=mean_over_videos(videos, mean_boundary_f),
        track_ap=average_precision(video.track_ious for video in videos if video.track_ious is not None),
        spells=spells,
        lost=mean(float(np.isnan(d)) for _, d in drifts),
        drift={
            name: mean(d for k, d in drifts if first <= k <= (last or k) and not np.isnan(d))
            for name, (first, last) in DRIFT_AFTER.items()
        },
        identity_hidden=mean(kept["hidden"]),
        identity_after=mean(kept["after"]),
    )


def mean_over_videos(videos: Sequence[VideoCounts], measure: Callable[[TrackCounts], float | None]) -> float | None:
    """Return the mean of a track's measure over a video's tracks, then over videos."""
    return mean(mean(measure(track) for track in video.tracks) for video in videos)


def hidden_spells(track: TrackCounts) -> Iterator[tuple[int, int]]:
    """Yield the first frame and the one past the last frame of each hidden spell (see `TemporalScores`)."""
    hidden = track.scored & ~track.visible
    starts = np.flatnonzero(hidden & ~np.r_[False, hidden[:-1]])
    stops = np.flatnonzero(hidden & ~np.r_[hidden[1:], False]) + 1
    for start, stop in zip(starts, stops, strict=True):
        if track.visible[:start].any():
            yield int(start), int(stop)


def _keeps_identity(frame: IouTable, track_id: int) -> float:
    """Return 1 if the predicted mask has a higher IoU with its own object than with every other one, else 0."""
    if track_id not in frame.predicted_ids:
        return 0.0
    row = frame.iou[frame.predicted_ids.index(track_id)]
    column = frame.true_ids.index(track_id)
    return float(row[column] > np.delete(row, column).max(initial=0))
