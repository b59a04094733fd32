"""How well tracks hold through time. None stands for a mean over nothing.

None of these may be read alone: what a mask that never moves, an error that never changes and a copied visible mask
score under each is measured by `vidamodal.metrics.probes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vidamodal.metrics.counts import TrackCounts, VideoCounts, mean
from vidamodal.metrics.detection import Matches, average_precision

DRIFT_AFTER = {"1": (1, 1), "2-3": (2, 3), "4-7": (4, 7), "8-15": (8, 15), "16+": (16, None)}
"""For how many frames, first to last, an object has been hidden."""


def flicker(track: TrackCounts) -> float | None:
    """Error that comes and goes: mean of |E_t xor E_t-1| / |A_t| over neighbouring counted frames, E = P xor A.

    0 for a prediction that changes exactly as the truth does, but also for a constant error: read it beside IoU.
    """
    counted = track.counted
    frames = counted.copy()
    frames[1:] &= counted[:-1]
    frames[:1] = False
    return mean(track.change[frames] / track.pixels(a=1)[frames])


def track_iou(track: TrackCounts) -> float | None:
    """Intersection over union of the whole track: its counted frames as one volume."""
    counted = track.counted
    if not counted.any():
        return None
    union = track.pixels(a=1) + track.pixels(p=1, a=0)
    return float(track.pixels(p=1, a=1)[counted].sum() / union[counted].sum())


def boundary(track: TrackCounts) -> float | None:
    """DAVIS' boundary F over the counted frames: outlines within 0.008 image diagonals of each other match."""
    return mean(track.boundary[track.counted])


@dataclass(frozen=True)
class TimeScores:
    """What the primary protocol does not say of time; fractions, None for a mean over nothing.

    ``boundary_f`` is a mean over an object's frames, its video's objects, then videos. ``track_ap`` holds the keys of
    ``average_precision`` for whole tracks, by the rule of YouTube-VIS: intersections and unions are summed over frames.

    A hidden spell is a run of counted frames with nothing visible, after a frame in which the object was seen.
    ``drift`` is the mean distance between the centres of the predicted and the true mask in such frames, over the
    square root of the true area, by how long the object has been hidden; ``lost`` is the share of these frames
    without any predicted mask, which ``drift`` leaves out. ``identity_hidden`` is the share of spells in whose last
    frame the predicted mask has a higher IoU with its own object than with any other, and ``identity_after`` the same
    for the first frame in which the object is seen again.
    """

    boundary_f: float | None
    track_ap: dict[str, float | None]
    spells: int
    lost: float | None
    drift: dict[str, float | None]
    identity_hidden: float | None
    identity_after: float | None


def score_time(videos: Sequence[VideoCounts]) -> TimeScores:
    """All measures of time over all videos; those of spells weigh frames, or spells, alike."""
    drifts: list[tuple[int, float]] = []  # frames hidden so far, drift: NaN without a mask
    kept: dict[str, list[float]] = {"hidden": [], "after": []}
    spells = 0
    for video in videos:
        for track in video.tracks:
            for start, stop in hidden_spells(track):
                spells += 1
                drifts += [(k, float(d)) for k, d in enumerate(track.drift[start:stop], start=1)]
                for name, t in (("hidden", stop - 1), ("after", stop)):
                    if t < len(track.known) and track.present[t] and (name == "hidden" or track.seen[t]):
                        kept[name].append(_fits_own(video.frames[t], track.id))
    return TimeScores(
        boundary_f=mean_over(videos, boundary),
        track_ap=average_precision(video.whole for video in videos if video.whole is not None),
        spells=spells,
        lost=mean(float(np.isnan(d)) for _, d in drifts),
        drift={
            name: mean(d for k, d in drifts if first <= k <= (last or k) and not np.isnan(d))
            for name, (first, last) in DRIFT_AFTER.items()
        },
        identity_hidden=mean(kept["hidden"]),
        identity_after=mean(kept["after"]),
    )


def mean_over(videos: Sequence[VideoCounts], measure: Callable[[TrackCounts], float | None]) -> float | None:
    """Mean of an object's measure over a video's objects, then over videos."""
    return mean(mean(measure(track) for track in video.tracks) for video in videos)


def hidden_spells(track: TrackCounts) -> Iterator[tuple[int, int]]:
    """First and one past the last frame of each hidden spell."""
    hidden = track.counted & ~track.seen
    starts = np.flatnonzero(hidden & ~np.r_[False, hidden[:-1]])
    stops = np.flatnonzero(hidden & ~np.r_[hidden[1:], False]) + 1
    for start, stop in zip(starts, stops, strict=True):
        if track.seen[:start].any():
            yield int(start), int(stop)


def _fits_own(frame: Matches, number: int) -> float:
    """1 if a predicted mask's IoU with its own object is above that with every other, else 0."""
    if number not in frame.predicted_ids:
        return 0.0
    row = frame.iou[frame.predicted_ids.index(number)]
    own = frame.true_ids.index(number)
    return float(row[own] > np.delete(row, own).max(initial=0))
