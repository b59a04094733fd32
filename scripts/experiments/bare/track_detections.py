"""Scores of tracks detected in a bare video, whose ids are arbitrary, against the true ones.

All measures use amodal masks. The true tracks that are ever visible are matched one to one with the predicted ones so
that the sum of track IoUs (intersection over union summed over frames, as in YouTube-VIS) is largest. An object is
found if its match has a track IoU above `MIN_TRACK_IOU`.
"""

from __future__ import annotations

import itertools
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

MIN_TRACK_IOU = 0.5
"""Track IoU above which an object is found; also the IoU above which a mask matches an object in a frame."""


@dataclass(frozen=True)
class DetectionCounts:
    """Counts of one video.

    Attributes:
        track_ious: Track IoU of every predicted and every true track.
        found: Share of the true tracks that are found; None without true tracks.
        iou: Mean over the found tracks of their mean IoU over frames; None if none is found.
        occlusions: Number of full occlusions between two frames in which the object is visible.
        kept: Occlusions with the same predicted track on the object in the frames before and after.
        switched: Occlusions with two different tracks; in the remaining ones a track is missing.
        switches: How often the predicted track of an object changes (IDSW of CLEAR MOT).
        ordered: Pairs of found objects that overlap in some frame.
        right: Those of them that the prediction puts in the right order.
    """

    track_ious: IouTable
    found: float | None
    iou: float | None
    occlusions: int
    kept: int
    switched: int
    switches: int
    ordered: int
    right: int


@dataclass(frozen=True)
class DetectionScores:
    """Means and sums of `DetectionCounts` over videos.

    Attributes:
        track_ap: The keys of `average_precision`, over tracks.
        order: Share of the ordered pairs that are right; None without pairs.
    """

    track_ap: dict[str, float | None]
    found: float | None
    iou: float | None
    occlusions: int
    kept: int
    switched: int
    switches: int
    order: float | None


def count_detections(prediction: ClipTracks, truth: ClipTracks) -> DetectionCounts:
    """Count one video. Prediction and truth must have the same size and length."""
    prediction = _with_unrelated_ids(prediction, truth)
    counts = count_video("", prediction, truth)
    assert counts.track_ious is not None
    pairs = _match(counts.track_ious)
    owners = _owners(counts)
    occlusions = [
        (owners[track.id][start - 1], owners[track.id][stop])
        for track in counts.tracks
        for start, stop in hidden_spells(track)
        if stop < len(track.visible) and track.visible[stop]
    ]
    complete = [(before, after) for before, after in occlusions if before is not None and after is not None]
    known_owners = [[owner for owner in row if owner is not None] for row in owners.values()]
    is_right = [
        (pairs[front], pairs[back]) in (prediction.order[t] if prediction.order is not None else ())
        for t, true_pairs in enumerate(truth.order or ())
        for front, back in true_pairs
        if front in pairs and back in pairs
    ]
    objects = len(counts.track_ious.true_ids)
    return DetectionCounts(
        track_ious=counts.track_ious,
        found=len(pairs) / objects if objects else None,
        iou=mean(_mean_iou(counts, true, predicted) for true, predicted in pairs.items()),
        occlusions=len(occlusions),
        kept=sum(before == after for before, after in complete),
        switched=sum(before != after for before, after in complete),
        switches=sum(one != other for row in known_owners for one, other in itertools.pairwise(row)),
        ordered=len(is_right),
        right=sum(is_right),
    )


def score_detections(videos: Sequence[DetectionCounts]) -> DetectionScores:
    """Average and sum the counts of all videos."""
    ordered = sum(video.ordered for video in videos)
    return DetectionScores(
        track_ap=average_precision(video.track_ious for video in videos),
        found=mean(video.found for video in videos),
        iou=mean(video.iou for video in videos),
        occlusions=sum(video.occlusions for video in videos),
        kept=sum(video.kept for video in videos),
        switched=sum(video.switched for video in videos),
        switches=sum(video.switches for video in videos),
        order=sum(video.right for video in videos) / ordered if ordered else None,
    )


def _with_unrelated_ids(prediction: ClipTracks, truth: ClipTracks) -> ClipTracks:
    """Renumber predicted tracks above all true ids, since detected ids do not correspond to true ones."""
    first = 1 + max((track.id for track in truth.tracks), default=0)
    new_ids = {track.id: first + k for k, track in enumerate(prediction.tracks)}
    tracks = tuple(replace(track, id=new_ids[track.id]) for track in prediction.tracks)
    order = prediction.order and tuple(tuple((new_ids[a], new_ids[b]) for a, b in pairs) for pairs in prediction.order)
    return replace(prediction, tracks=tracks, order=order)


def _match(ious: IouTable) -> dict[int, int]:
    """Return the predicted id of each true id that is found."""
    return {
        ious.true_ids[g]: ious.predicted_ids[d]
        for d, g in zip(*linear_sum_assignment(-ious.iou), strict=True)
        if ious.iou[d, g] > MIN_TRACK_IOU
    }


def _owners(counts: VideoCounts) -> dict[int, list[int | None]]:
    """Return the predicted track that matches each true object, frame by frame."""
    frames = [_match(frame) for frame in counts.frame_ious]
    return {track.id: [frame.get(track.id) for frame in frames] for track in counts.tracks}


def _mean_iou(counts: VideoCounts, true: int, predicted: int) -> float:
    """Return the mean IoU over the frames with the true object; frames without a prediction count 0."""
    values = []
    for frame in counts.frame_ious:
        if true in frame.true_ids:
            is_there = predicted in frame.predicted_ids
            row = frame.predicted_ids.index(predicted) if is_there else 0
            values.append(float(frame.iou[row, frame.true_ids.index(true)]) if is_there else 0.0)
    return float(np.mean(values))
