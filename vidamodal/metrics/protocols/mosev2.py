"""J&F with MOSEv2's disappearance and reappearance parts (Ding et al., 2025): tools/score.py of MOSE-api."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import TrackCounts, VideoCounts

ID = "mosev2"
HIDES = "the first and the last frame; that most of a mask is visible; empty frames count as 1"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return means over all objects, each over all its frames but the video's first and last one.

    ``j`` is (|P and A| + 1) / (|P or A| + 1), ``f`` the boundary F with a tolerance that adapts to the object (F-dot),
    and ``f_davis`` DAVIS' own; ``jf`` and ``jf_davis`` are their means with ``j``. ``jf_disappear`` is the mean of j
    and f over each run of frames in which A is empty, except one that starts the video, and ``jf_reappear`` over each
    run of frames after such a run. The original scores visible masks; here P and A are amodal, so an object disappears
    when it leaves the image.
    """
    parts = [_score_track(track) for video in videos for track in video.tracks]
    return {
        name: mean(part[name] for part in parts)
        for name in ("jf", "j", "f", "jf_disappear", "jf_reappear", "f_davis", "jf_davis")
    }


def _score_track(track: TrackCounts) -> dict[str, float | None]:
    inner = track.known.copy()
    inner[:1] = inner[-1:] = False
    union = track.pixels() - track.pixels(p=0, a=0)
    j = ((track.pixels(p=1, a=1) + 1) / (union + 1))[inner]
    f, f_davis = (_with_empty(track, values)[inner] for values in (track.adaptive_f, track.boundary_f))
    disappear, reappear = _runs(~track.present[inner])
    return {
        "j": mean(j),
        "f": mean(f),
        "f_davis": mean(f_davis),
        "jf": mean((j + f) / 2),
        "jf_davis": mean((j + f_davis) / 2),
        "jf_disappear": _mean_of_runs(j, f, disappear),
        "jf_reappear": _mean_of_runs(j, f, reappear),
    }


def _with_empty(track: TrackCounts, values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return F with 1 for an empty prediction of an absent object and 0 for another one, as DAVIS defines it."""
    outlined = (track.pixels(p=1) > 0) & (track.pixels(p=0) > 0)  # a mask that fills the image has no outline
    return np.where(track.present, values, np.where(outlined, 0.0, 1.0))


def _runs(empty: Bool[np.ndarray, " t"]) -> tuple[list[slice], list[slice]]:
    """Return the runs of frames without the object, and the runs with it that follow one of them."""
    changes = np.flatnonzero(np.diff(empty)) + 1
    starts, stops = [0, *changes.tolist()], [*changes.tolist(), len(empty)]
    runs = [(slice(start, stop), bool(empty[start])) for start, stop in zip(starts, stops, strict=True) if stop > start]
    later = runs[1:]
    return [run for run, is_empty in later if is_empty], [run for run, is_empty in later if not is_empty]


def _mean_of_runs(j: Float[np.ndarray, " t"], f: Float[np.ndarray, " t"], runs: Sequence[slice]) -> float | None:
    return mean(float((j[run].mean() + f[run].mean()) / 2) for run in runs)
