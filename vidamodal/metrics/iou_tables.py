"""IoU of all predicted with all true masks: in every frame, and of whole tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from vidamodal.metrics.averages import area_ratio
from vidamodal.metrics.counts import IouTable
from vidamodal.occlusion.layers import layers_from_order
from vidamodal.occlusion.order import order_from_visible
from vidamodal.rle import overlaps
from vidamodal.types import ClipTracks, Rle, Track


def count_ious(
    scored: Sequence[Track], prediction: ClipTracks | None, truth: ClipTracks
) -> tuple[tuple[IouTable, ...], IouTable]:
    """Return the IoU tables of all frames and that of whole tracks.

    An object with nothing visible in a frame is ignored there: it may be detected but need not be. Predictions are no
    false positives where the ground truth is unknown: a predicted track is skipped if the true track with its id is
    not scored, and in the frames in which that track has no mask.

    Args:
        scored: Scored tracks of the ground truth.
        prediction: Predicted tracks, or None.
        truth: Ground truth.
    """
    counter = _IouCounter(scored, prediction, truth)
    frames = tuple(counter.count_frame(t) for t in range(truth.video.frames))
    return frames, counter.track_table()


class _IouCounter:
    """IoU of one frame after the other, with sums over the frames for whole tracks."""

    def __init__(self, scored: Sequence[Track], prediction: ClipTracks | None, truth: ClipTracks) -> None:
        unscored = {track.id for track in truth.tracks} - {track.id for track in scored}
        self.truth, self.prediction = truth, prediction or truth
        self.scored = scored
        self.candidates = [
            track
            for track in (prediction.tracks if prediction else ())
            if track.amodal is not None and track.id not in unscored
        ]
        self.shared = np.zeros((len(self.candidates), len(scored)))
        self.total = np.zeros_like(self.shared)
        """Sum of both areas over the frames in which the true track is known."""
        self.scores: list[list[float]] = [[] for _ in self.candidates]

    def count_frame(self, t: int) -> IouTable:
        known = [k for k, track in enumerate(self.scored) if _is_known(track, t)]
        unknown_ids = {track.id for track in self.scored if not _is_known(track, t)}
        rows = [k for k, track in enumerate(self.candidates) if track.id not in unknown_ids] if known else []
        predicted, true = _masks(self.candidates, rows, t), _masks(self.scored, known, t)
        iou, shared, areas, true_areas = overlaps(list(predicted.values()), list(true.values()))
        self.shared[np.ix_(list(predicted), list(true))] += shared
        for k, area in zip(predicted, areas, strict=True):
            self.total[k, known] += area
        for k, area in zip(true, true_areas, strict=True):
            self.total[:, k] += area
        scores = [_confidence(self.candidates[k], t) for k in predicted]
        for k, score in zip(predicted, scores, strict=True):
            self.scores[k].append(score)
        return IouTable(
            tuple(self.candidates[k].id for k in predicted),
            tuple(self.scored[k].id for k in true),
            iou,
            np.array(scores),
            np.array([not _is_visible(self.scored[k], t) for k in true], dtype=bool),
            _layers(self.prediction, self.candidates, predicted, t),
            _layers(self.truth, self.scored, true, t),
        )

    def track_table(self) -> IouTable:
        """Return the IoU of whole tracks over all frames counted so far; the score is a track's mean confidence."""
        rows = [k for k, scores in enumerate(self.scores) if scores]
        columns = [
            k for k, track in enumerate(self.scored) if any(m is not None and m.area() for m in track.amodal or ())
        ]
        return IouTable(
            tuple(self.candidates[k].id for k in rows),
            tuple(self.scored[k].id for k in columns),
            area_ratio(self.shared, self.total - self.shared)[np.ix_(rows, columns)],
            np.array([np.mean(self.scores[k]) for k in rows]),
            np.zeros(len(columns), dtype=bool),
            np.ones(len(rows), dtype=np.int64),
            np.ones(len(columns), dtype=np.int64),
        )


def _masks(tracks: Sequence[Track], chosen: Sequence[int], t: int) -> dict[int, Rle]:
    """Return the amodal masks of the chosen tracks in frame t that are not empty, by index of the track."""
    return {k: mask for k in chosen if (mask := (tracks[k].amodal or ())[t]) is not None and mask.area()}


def _layers(clip: ClipTracks, tracks: Sequence[Track], masks: Mapping[int, Rle], t: int) -> Int[np.ndarray, " n"]:
    """Return the occlusion layers in one frame, by the clip's own order or else by the masks."""
    ids = [tracks[k].id for k in masks]
    if clip.order is not None:
        return layers_from_order(ids, clip.order[t])
    visible = {tracks[k].id: v for k in masks if (v := tracks[k].visible[t]) is not None and v.area()}
    return layers_from_order(ids, order_from_visible({tracks[k].id: mask for k, mask in masks.items()}, visible))


def _confidence(track: Track, t: int) -> float:
    score = track.confidence[t] if track.confidence is not None else None
    return 1.0 if score is None else score


def _is_known(track: Track, t: int) -> bool:
    return track.amodal is not None and track.amodal[t] is not None and track.visible[t] is not None


def _is_visible(track: Track, t: int) -> bool:
    visible = track.visible[t]
    return visible is not None and visible.area() > 0
