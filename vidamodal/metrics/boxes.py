"""Amodal boxes: predicted masks against a ground truth of boxes, and ghosts of objects that are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from vidamodal.metrics.averages import Interval, bootstrap_interval
from vidamodal.metrics.counts import BoxCounts, VideoCounts
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.types import Box, ClipTracks, Track, VideoInfo

UNKNOWN_OCCLUSION = 3
_LEVELS = {"not occluded": 0, "partly occluded": 1, "largely occluded": 2, "occlusion unknown": UNKNOWN_OCCLUSION}
_THRESHOLDS = {"ap25": 0.25, "ap50": 0.5, "ap75": 0.75}

_Choose = Callable[[BoxCounts], Bool[np.ndarray, " t"]]
"""The frames of a track that belong to a group."""


@dataclass(frozen=True)
class BoxScores:
    """Scores of one group of boxes, pooled over all object-frames; fractions, None without a box.

    ``ap25``, ``ap50`` and ``ap75`` are the shares of boxes with a greater IoU. Diffusion-VAS and TABE print them under
    these names; as tracks are matched by id, they are recalls.
    """

    iou: float | None
    ap25: float | None
    ap50: float | None
    ap75: float | None
    copied_iou: float | None
    """IoU of the boxes of the visible masks."""
    gain_interval: Interval | None
    """95 % paired bootstrap interval over videos of the mean IoU minus that of the visible masks."""
    object_frames: int


@dataclass(frozen=True)
class BoxEvaluation:
    """Scores against amodal boxes."""

    groups: Mapping[str, BoxScores]
    """By occlusion level and truncation; "all" is everything."""
    ghosts: int
    """Predicted masks of at least 64 pixels, at a height of 256, before the first or after the last box of a track."""
    copied_ghosts: int
    """The same for the visible masks."""
    gone: int
    """Predicted object-frames before the first or after the last box of a track."""


def with_copied_masks(prediction: ClipTracks) -> ClipTracks:
    """Return a prediction with its visible masks in place of the amodal ones, where it has any."""
    return replace(prediction, tracks=tuple(replace(t, amodal=t.visible, boxes=None) for t in prediction.tracks))


def count_boxes(prediction: ClipTracks | None, truth: ClipTracks) -> tuple[BoxCounts, ...]:
    """Compare the predicted tracks with the amodal boxes of a ground truth.

    Tracks are matched by id. The predicted box of a frame is that of the amodal mask, or the one in ``boxes`` if there
    is no mask. A missing box has the IoU 0.

    Args:
        prediction: Predicted tracks; None for no prediction at all.
        truth: Ground truth; tracks without boxes are left out.
    """
    predicted = {track.id: track for track in prediction.tracks} if prediction else {}
    return tuple(_count_track(predicted.get(track.id), track, truth.video) for track in boxed_tracks(truth))


def boxed_tracks(truth: ClipTracks) -> tuple[Track, ...]:
    """Return the tracks of a ground truth that have an amodal box in some frame."""
    return tuple(track for track in truth.tracks if any(box is not None for box in track.boxes or ()))


def _count_track(prediction: Track | None, truth: Track, video: VideoInfo) -> BoxCounts:
    boxes = truth.boxes or ()
    annotated = [t for t, box in enumerate(boxes) if box is not None]
    iou = np.full(video.frames, np.nan)
    truncated, gone, ghosts = np.zeros((3, video.frames), dtype=bool)
    for t, box in enumerate(boxes):
        if box is not None:
            inside = _cut(box, video)
            iou[t] = _iou(_predicted_box(prediction, t, video), inside)
            truncated[t] = bool(truth.truncated and truth.truncated[t]) or inside != box
        elif not annotated[0] < t < annotated[-1] and prediction is not None and prediction.amodal is not None:
            mask = prediction.amodal[t]
            gone[t] = mask is not None
            ghosts[t] = mask is not None and mask.area() >= least_counted_area(video.height)
    levels = truth.occlusion or (None,) * video.frames
    occlusion = np.array([UNKNOWN_OCCLUSION if level is None else level for level in levels])
    return BoxCounts(truth.id, iou, occlusion, truncated, gone, ghosts)


def _predicted_box(track: Track | None, t: int, video: VideoInfo) -> Box | None:
    if track is None:
        return None
    mask = track.amodal[t] if track.amodal is not None else None
    if mask is not None:
        box = mask.box()
        return None if box is None else (box[1], box[0], box[3], box[2])
    own = track.boxes[t] if track.boxes is not None else None
    return None if own is None else _cut(own, video)


def _cut(box: Box, video: VideoInfo) -> Box:
    """Cut a box to the image; one beyond it becomes empty."""
    x0, x1 = (float(np.clip(x, 0, video.width)) for x in box[::2])
    y0, y1 = (float(np.clip(y, 0, video.height)) for y in box[1::2])
    return x0, y0, x1, y1


def _iou(predicted: Box | None, true: Box) -> float:
    if predicted is None:
        return 0.0
    width = min(predicted[2], true[2]) - max(predicted[0], true[0])
    height = min(predicted[3], true[3]) - max(predicted[1], true[1])
    shared = max(width, 0) * max(height, 0)
    union = _area(predicted) + _area(true) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def score_boxes(videos: Sequence[VideoCounts]) -> BoxEvaluation | None:
    """Score all boxes by occlusion level and truncation; None if the ground truth has no boxes."""
    if not any(video.boxes for video in videos):
        return None
    groups = {"all": _score_group(videos, lambda track: np.ones_like(track.truncated))}
    groups |= {name: _score_group(videos, partial(_has_level, level)) for name, level in _LEVELS.items()}
    groups["truncated"] = _score_group(videos, lambda track: track.truncated)
    return BoxEvaluation(
        {name: group for name, group in groups.items() if group.object_frames},
        ghosts=sum(int(track.ghosts.sum()) for video in videos for track in video.boxes),
        copied_ghosts=sum(int(track.ghosts.sum()) for video in videos for track in video.copied_boxes),
        gone=sum(int(track.gone.sum()) for video in videos for track in video.boxes),
    )


def _has_level(level: int, track: BoxCounts) -> Bool[np.ndarray, " t"]:
    return np.asarray(track.occlusion == level)


def _score_group(videos: Sequence[VideoCounts], chosen: _Choose) -> BoxScores:
    ious = [_chosen_ious(video.boxes, chosen) for video in videos]
    copied = [_chosen_ious(video.copied_boxes, chosen) for video in videos]
    pooled = np.concatenate(ious)
    return BoxScores(
        iou=_mean(pooled),
        **{name: _mean(pooled > threshold) for name, threshold in _THRESHOLDS.items()},
        copied_iou=_mean(np.concatenate(copied)),
        gain_interval=bootstrap_interval(
            [float(ours.mean() - theirs.mean()) for ours, theirs in zip(ious, copied, strict=True) if ours.size]
        ),
        object_frames=int(pooled.size),
    )


def _chosen_ious(tracks: Sequence[BoxCounts], chosen: _Choose) -> Float[np.ndarray, " n"]:
    return np.concatenate([np.empty(0), *(track.iou[~np.isnan(track.iou) & chosen(track)] for track in tracks)])


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
