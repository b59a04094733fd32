"""Scores of several hypotheses per track: the best of them, their spread, and each one over time.

A hypothesis completes a whole track, so the best one is chosen once per track, never frame by frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from vidamodal.errors import InputError
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import TrackCounts
from vidamodal.metrics.primary import LOWER_IS_BETTER, MEASURES
from vidamodal.types import ClipTracks, Rle, Track

Values = Mapping[str, float | None]
"""The primary measures by name, None for a mean over nothing."""


@dataclass(frozen=True)
class HypothesisScores:
    """Means over the tracks of one video.

    Attributes:
        best: For each k and measure, the best value among the first k hypotheses, chosen with the ground truth.
        picked: For each k, the values of the hypothesis with the highest predicted score among the first k.
        each: The values of every hypothesis.
        spread: For each k, the mean over pairs of the first k hypotheses of 1 - IoU of their occluded regions.
    """

    best: Mapping[int, Values]
    picked: Mapping[int, Values]
    each: Sequence[Values]
    spread: Mapping[int, float | None]


def score_hypotheses(prediction: ClipTracks, truth: ClipTracks, numbers: Sequence[int]) -> HypothesisScores:
    """Score the first k hypotheses of every track for each k in ``numbers``.

    Raises:
        InputError: A track has fewer hypotheses.
    """
    count = max(numbers)
    for track in prediction.tracks:
        if track.hypotheses and len(track.hypotheses) < count:
            raise InputError(f"track {track.id} has {len(track.hypotheses)} hypotheses. Predict {count}.")
    by_id = {track.id: track for track in prediction.tracks if track.hypotheses}
    videos = [count_video("", _only(prediction, h), truth, shapes=False) for h in range(count)]
    tracks = [each for each in zip(*(video.tracks for video in videos), strict=True) if each[0].id in by_id]
    values = [[_measure(counts) for counts in each] for each in tracks]  # [track][hypothesis]
    scores = [[hypothesis.score for hypothesis in by_id[each[0].id].hypotheses] for each in tracks]
    return HypothesisScores(
        best={k: _mean([best_of(each[:k]) for each in values]) for k in numbers},
        picked={
            k: _mean([each[int(np.argmax(predicted[:k]))] for each, predicted in zip(values, scores, strict=True)])
            for k in numbers
        },
        each=[_mean([each[h] for each in values]) for h in range(count)],
        spread={k: mean(spread(by_id[each[0].id], k) for each in tracks) for k in numbers},
    )


def best_of(hypotheses: Sequence[Values]) -> Values:
    """Return the best value of each measure over the hypotheses of one track; None where it is undefined."""
    best: dict[str, float | None] = {}
    for name in MEASURES:
        known = [value for values in hypotheses if (value := values[name]) is not None]
        best[name] = (min if name in LOWER_IS_BETTER else max)(known) if known else None
    return best


def spread(track: Track, count: int) -> float | None:
    """Return how much the first ``count`` hypotheses differ outside the visible mask.

    The mean over pairs of 1 - IoU; intersections and unions are summed over the frames with a known visible mask, and
    two empty masks are equal. None for fewer than two hypotheses.
    """
    chosen = [hypothesis.amodal for hypothesis in track.hypotheses[:count]]
    if len(chosen) < 2:
        return None
    shared = np.zeros((len(chosen), len(chosen)))
    for t, visible in enumerate(track.visible):
        masks = [masks[t] for masks in chosen]
        if visible is None or any(mask is None for mask in masks):
            continue
        occluded = _occluded_regions(masks, visible).astype(np.float32)
        shared += occluded @ occluded.T
    areas = np.diag(shared)
    unions = areas[:, None] + areas - shared
    pairs = list(combinations(range(len(chosen)), 2))
    return float(np.mean([1 - shared[pair] / unions[pair] if unions[pair] else 0.0 for pair in pairs]))


def _occluded_regions(masks: Sequence[Rle | None], visible: Rle) -> Bool[np.ndarray, "k pixels"]:
    inside = visible.decode().ravel()
    return np.stack([mask.decode().ravel() & ~inside for mask in masks if mask is not None])


def _only(prediction: ClipTracks, h: int) -> ClipTracks:
    """Return the prediction with hypothesis ``h`` in place of the amodal masks of every track that has any."""
    tracks = tuple(replace(t, amodal=t.hypotheses[h].amodal) if t.hypotheses else t for t in prediction.tracks)
    return replace(prediction, tracks=tracks)


def _measure(track: TrackCounts) -> dict[str, float | None]:
    return {name: measure(track) for name, measure in MEASURES.items()}


def _mean(tracks: Sequence[Values]) -> dict[str, float | None]:
    return {name: mean(values[name] for values in tracks) for name in MEASURES}
