"""What several hypotheses of a track are worth: the best of them, how far they lie apart, whether each holds in time.

A hypothesis is a completion of the *whole* track, so the best is chosen once a track, never frame by frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.averages import mean
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import TrackCounts
from vidamodal.metrics.primary import MEASURES
from vidamodal.types import ClipTracks, InputError, Rle, Track

_LOW = ("false_completion", "flicker")
"""Measures that are the better the lower."""

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class HypothesisScores:
    """Of one video's tracks: means over the tracks; fractions, None for a mean over nothing.

    ``best[k]``: each primary measure, of that hypothesis among the first k which has the best of it, chosen by the
    truth once for the whole track. ``picked[k]``: of the one with the highest score of its own. ``each[h]``: of
    hypothesis h in every track. ``spread[k]``: the mean over pairs of the first k of 1 - IoU of their hidden parts.
    """

    best: Mapping[int, Values]
    picked: Mapping[int, Values]
    each: Sequence[Values]
    spread: Mapping[int, float | None]


def score_hypotheses(prediction: ClipTracks, truth: ClipTracks, counts: Sequence[int]) -> HypothesisScores:
    """Scores the first k hypotheses of every track for each k in ``counts``. InputError if a track has fewer."""
    drawn = max(counts)
    for track in prediction.tracks:
        if track.hypotheses and len(track.hypotheses) < drawn:
            raise InputError(f"track {track.id} has {len(track.hypotheses)} hypotheses; predict {drawn}")
    by_id = {track.id: track for track in prediction.tracks if track.hypotheses}
    videos = [count_video("", _only(prediction, h), truth, shapes=False) for h in range(drawn)]
    tracks = [each for each in zip(*(video.tracks for video in videos), strict=True) if each[0].id in by_id]
    values = [[_measured(counted) for counted in each] for each in tracks]  # [track][hypothesis]
    scores = [[hypothesis.score for hypothesis in by_id[each[0].id].hypotheses] for each in tracks]
    return HypothesisScores(
        best={k: _mean([best_of(each[:k]) for each in values]) for k in counts},
        picked={
            k: _mean([each[int(np.argmax(own[:k]))] for each, own in zip(values, scores, strict=True)]) for k in counts
        },
        each=[_mean([each[h] for each in values]) for h in range(drawn)],
        spread={k: mean(spread(by_id[each[0].id], k) for each in tracks) for k in counts},
    )


def best_of(hypotheses: Sequence[Values]) -> Values:
    """Each measure's best value over the hypotheses of one track; None where the track does not have it."""
    found: dict[str, float | None] = {}
    for name in MEASURES:
        present = [value for values in hypotheses if (value := values[name]) is not None]
        found[name] = (min if name in _LOW else max)(present) if present else None
    return found


def spread(track: Track, count: int) -> float | None:
    """How far the first ``count`` hypotheses lie apart where nothing of the object is visible.

    The mean over pairs of 1 - IoU of their masks outside the visible one, intersections and unions summed over the
    frames in which that is known; two that add nothing are equal. None for fewer than two hypotheses.
    """
    chosen = [hypothesis.amodal for hypothesis in track.hypotheses[:count]]
    if len(chosen) < 2:
        return None
    shared = np.zeros((len(chosen), len(chosen)))
    for t, visible in enumerate(track.visible):
        masks = [masks[t] for masks in chosen]
        if visible is None or any(mask is None for mask in masks):
            continue
        behind = _hidden_parts(masks, visible).astype(np.float32)
        shared += behind @ behind.T
    areas = np.diag(shared)
    unions = areas[:, None] + areas - shared
    pairs = list(combinations(range(len(chosen)), 2))
    return float(np.mean([1 - shared[pair] / unions[pair] if unions[pair] else 0.0 for pair in pairs]))


def _hidden_parts(masks: Sequence[Rle | None], visible: Rle) -> Bool[np.ndarray, "k pixels"]:
    seen = visible.decode().ravel()
    return np.stack([mask.decode().ravel() & ~seen for mask in masks if mask is not None])


def _only(prediction: ClipTracks, h: int) -> ClipTracks:
    """The prediction with hypothesis ``h`` of every track that has any."""
    tracks = tuple(replace(t, amodal=t.hypotheses[h].amodal) if t.hypotheses else t for t in prediction.tracks)
    return replace(prediction, tracks=tracks)


def _measured(track: TrackCounts) -> dict[str, float | None]:
    return {name: measure(track) for name, measure in MEASURES.items()}


def _mean(tracks: Sequence[Values]) -> dict[str, float | None]:
    return {name: mean(values[name] for values in tracks) for name in MEASURES}
