"""HOTA (Luiten et al., IJCV 2020) and IDF1 (Ristani et al., 2016) of amodal tracks, by the rules of TrackEval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from vidamodal.metrics.counts import IouTable, VideoCounts

ID = "hota"
HIDES = "that most of a mask is visible; ids are matched freely, so a wrong one costs little"

_ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Thresholds of the IoU over which HOTA is averaged."""
_EPSILON = np.finfo("float").eps
_IDENTITY_IOU = 0.5


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return ``hota``, ``deta``, ``assa``, ``loca``, ``idf1``, ``idr`` and ``idp``, pooled over all videos.

    Detections are the amodal masks with a pixel, fully occluded objects included. All but the last three are means
    over the IoU thresholds 0.05 to 0.95. None without a mask.
    """
    counts = [_count_video(video.frame_ious) for video in videos if video.frame_ious]
    counts = [count for count in counts if count.true_masks or count.predicted_masks]
    if not counts:
        return dict.fromkeys(("hota", "deta", "assa", "loca", "idf1", "idr", "idp"))
    matches = sum(count.matches for count in counts)
    true, predicted = (sum(getattr(c, name) for c in counts) for name in ("true_masks", "predicted_masks"))
    detection = matches / np.maximum(1, true + predicted - matches)
    association = sum(count.association for count in counts) / np.maximum(1, matches)
    location = np.maximum(1e-10, sum(count.location for count in counts)) / np.maximum(1e-10, matches)
    identical = sum(count.identical for count in counts)
    return {
        "hota": float(np.sqrt(detection * association).mean()),
        "deta": float(detection.mean()),
        "assa": float(association.mean()),
        "loca": float(location.mean()),
        "idf1": identical / max(1, (true + predicted) / 2),
        "idr": identical / max(1, true),
        "idp": identical / max(1, predicted),
    }


@dataclass(frozen=True)
class _Counts:
    """Sums of one video; arrays have one entry for each threshold."""

    matches: Int[np.ndarray, " alphas"]
    association: Float[np.ndarray, " alphas"]
    """Sum over all matches of the association score of their pair of tracks."""
    location: Float[np.ndarray, " alphas"]
    """Sum of the IoU of all matches."""
    identical: int
    """Matches at IoU 0.5 under the best one-to-one assignment of tracks."""
    true_masks: int
    predicted_masks: int


@dataclass(frozen=True)
class _Frame:
    """IoU of true with predicted masks, whose tracks are numbered from 0."""

    true: Int[np.ndarray, " m"]
    predicted: Int[np.ndarray, " n"]
    iou: Float[np.ndarray, "m n"]


def _count_video(tables: Sequence[IouTable]) -> _Counts:
    true_places, predicted_places = (
        {number: place for place, number in enumerate(sorted({k for table in tables for k in getattr(table, name)}))}
        for name in ("true_ids", "predicted_ids")
    )
    frames = [
        _Frame(
            np.array([true_places[k] for k in table.true_ids], dtype=int),
            np.array([predicted_places[k] for k in table.predicted_ids], dtype=int),
            table.iou.T,
        )
        for table in tables
    ]
    size = len(true_places), len(predicted_places)
    masks = np.zeros(size[0], dtype=int), np.zeros(size[1], dtype=int)
    for frame in frames:
        masks[0][frame.true] += 1
        masks[1][frame.predicted] += 1
    matches, location = _match(frames, _alignment(frames, masks))
    shared = matches / np.maximum(1, masks[0][:, None] + masks[1] - matches)
    return _Counts(
        matches=matches.sum(axis=(1, 2)),
        association=(matches * shared).sum(axis=(1, 2)),
        location=location,
        identical=_count_identical(frames, size),
        true_masks=int(masks[0].sum()),
        predicted_masks=int(masks[1].sum()),
    )


def _alignment(
    frames: Sequence[_Frame], masks: tuple[Int[np.ndarray, " i"], Int[np.ndarray, " j"]]
) -> Float[np.ndarray, "i j"]:
    """Return how well each pair of tracks fits over the whole video, before masks are matched."""
    potential = np.zeros((len(masks[0]), len(masks[1])))
    for frame in frames:
        total = frame.iou.sum(axis=0)[None] + frame.iou.sum(axis=1)[:, None] - frame.iou
        share = np.divide(frame.iou, total, out=np.zeros_like(frame.iou), where=total > _EPSILON)
        potential[np.ix_(frame.true, frame.predicted)] += share
    return np.asarray(potential / (masks[0][:, None] + masks[1] - potential))


def _match(
    frames: Sequence[_Frame], alignment: Float[np.ndarray, "i j"]
) -> tuple[Int[np.ndarray, "alphas i j"], Float[np.ndarray, " alphas"]]:
    """Match the masks of every frame; return the matches of each pair of tracks, and the sum of their IoU."""
    matches, location = np.zeros((len(_ALPHAS), *alignment.shape), dtype=int), np.zeros(len(_ALPHAS))
    for frame in frames:
        rows, columns = linear_sum_assignment(-alignment[np.ix_(frame.true, frame.predicted)] * frame.iou)
        iou = frame.iou[rows, columns]
        is_match = iou >= _ALPHAS[:, None] - _EPSILON
        matches[:, frame.true[rows], frame.predicted[columns]] += is_match
        location += (is_match * iou).sum(axis=1)
    return matches, location


def _count_identical(frames: Sequence[_Frame], size: tuple[int, int]) -> int:
    """Return how many masks of a one-to-one assignment of tracks overlap by at least half, at most."""
    potential = np.zeros(size, dtype=int)
    for frame in frames:
        potential[np.ix_(frame.true, frame.predicted)] += frame.iou >= _IDENTITY_IOU
    return int(potential[linear_sum_assignment(-potential)].sum())
