"""Tracks that were found in a bare video, whose ids are their own, against the true ones. None is a mean over nothing.

All measures are of amodal masks. A true track is one that is ever visible; it is matched one to one with predicted
tracks so that the sum of track IoU (intersection over union summed over the frames, as YouTube-VIS has it) is the
greatest, and found where that is above `FOUND`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import IouTable, VideoCounts
from vidamodal.metrics.temporal import hidden_spells
from vidamodal.types import ClipTracks

FOUND = 0.5
"""Track IoU above which an object is found, and IoU above which a mask is one of an object in a frame."""


@dataclass(frozen=True)
class FoundCounts:
    """One video in numbers.

    ``share`` of the true tracks are found; ``iou`` is the mean over these of the mean IoU over the frames in which the
    object is there. A spell is a run of frames in which an object shows nothing, seen before and after: ``kept`` of
    ``spells`` have the same predicted track on the object in the last frame before and the first frame after,
    ``switched`` have two different ones, the others lack one. ``switches`` counts, with spells or without, how often
    an object's predicted track is another than its last one (IDSW of CLEAR MOT). ``ordered`` pairs of found objects
    lie over each other in some frame, ``right`` of which the prediction puts in the same order.
    """

    whole: IouTable
    share: float | None
    iou: float | None
    spells: int
    kept: int
    switched: int
    switches: int
    ordered: int
    right: int


@dataclass(frozen=True)
class FoundScores:
    """Means over videos, and sums: see `FoundCounts`. ``track_ap`` holds the keys of `average_precision`; ``order`` is
    the share of all ordered pairs that are right."""

    track_ap: dict[str, float | None]
    share: float | None
    iou: float | None
    spells: int
    kept: int
    switched: int
    switches: int
    order: float | None


def count_found(prediction: ClipTracks, truth: ClipTracks) -> FoundCounts:
    """Counts a video. Both must have the same size and length."""
    first = 1 + max((track.id for track in truth.tracks), default=0)  # no predicted id says anything of a true one
    tracks = tuple(replace(track, id=first + k) for k, track in enumerate(prediction.tracks))
    names = {track.id: first + k for k, track in enumerate(prediction.tracks)}
    order = prediction.order and tuple(tuple((names[a], names[b]) for a, b in pairs) for pairs in prediction.order)
    prediction = replace(prediction, tracks=tracks, order=order)
    counts = count_video("", prediction, truth)
    assert counts.track_ious is not None
    pairs = _matched(counts.track_ious)
    owners = _owners(counts)
    spells = [
        (owners[track.id][start - 1], owners[track.id][stop])
        for track in counts.tracks
        for start, stop in hidden_spells(track)
        if stop < len(track.visible) and track.visible[stop]
    ]
    both = [(before, after) for before, after in spells if before is not None and after is not None]
    seen = [[owner for owner in row if owner is not None] for row in owners.values()]
    ordered = [
        (pairs[front], pairs[back]) in (prediction.order[t] if prediction.order is not None else ())
        for t, told in enumerate(truth.order or ())
        for front, back in told
        if front in pairs and back in pairs
    ]
    objects = len(counts.track_ious.true_ids)
    return FoundCounts(
        whole=counts.track_ious,
        share=len(pairs) / objects if objects else None,
        iou=mean(_mean_iou(counts, true, predicted) for true, predicted in pairs.items()),
        spells=len(spells),
        kept=sum(before == after for before, after in both),
        switched=sum(before != after for before, after in both),
        switches=sum(one != other for row in seen for one, other in zip(row, row[1:], strict=False)),
        ordered=len(ordered),
        right=sum(ordered),
    )


def score_found(videos: Sequence[FoundCounts]) -> FoundScores:
    """Scores of all videos."""
    ordered = sum(video.ordered for video in videos)
    return FoundScores(
        track_ap=average_precision(video.whole for video in videos),
        share=mean(video.share for video in videos),
        iou=mean(video.iou for video in videos),
        spells=sum(video.spells for video in videos),
        kept=sum(video.kept for video in videos),
        switched=sum(video.switched for video in videos),
        switches=sum(video.switches for video in videos),
        order=sum(video.right for video in videos) / ordered if ordered else None,
    )


def _matched(found: IouTable) -> dict[int, int]:
    """The predicted id of each true one that is found."""
    return {
        found.true_ids[g]: found.predicted_ids[d]
        for d, g in zip(*linear_sum_assignment(-found.iou), strict=True)
        if found.iou[d, g] > FOUND
    }


def _owners(counts: VideoCounts) -> dict[int, list[int | None]]:
    """The predicted track whose mask is on each true object, frame by frame."""
    frames = [_matched(frame) for frame in counts.frame_ious]
    return {track.id: [frame.get(track.id) for frame in frames] for track in counts.tracks}


def _mean_iou(counts: VideoCounts, true: int, predicted: int) -> float:
    values = []
    for frame in counts.frame_ious:
        if true in frame.true_ids:
            there = predicted in frame.predicted_ids
            row = frame.predicted_ids.index(predicted) if there else 0
            values.append(float(frame.iou[row, frame.true_ids.index(true)]) if there else 0.0)
    return float(np.mean(values))
