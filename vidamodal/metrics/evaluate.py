"""Predictions against truth: finds the clips under two paths, matches them by key and id, and scores them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from vidamodal.media.shards import NAME, ClipSource, find_clips
from vidamodal.metrics.baselines import BASELINES, predict_baseline
from vidamodal.metrics.counts import VideoCounts, count_video, scored_tracks
from vidamodal.metrics.protocols import (
    MEASURES,
    ProtocolScores,
    Scores,
    bootstrap,
    mean_scores,
    score_protocols,
    score_video,
)
from vidamodal.types import ClipTracks, InputError

_TITLES = {"false_completion": "false completion", "track_iou": "track IoU"}


@dataclass(frozen=True)
class Evaluation:
    """Everything that metrics.json holds; fractions, None for a mean over nothing.

    ``interval`` is the 95 % bootstrap interval of each primary measure over videos. ``videos`` are the primary scores
    of each video by key, ``baselines`` those of the predictors without a model. ``missing`` names what had no matching
    prediction and scored 0, ``ignored`` the predicted videos and tracks that the truth does not have.
    """

    primary: Scores
    interval: Mapping[str, tuple[float, float] | None]
    protocols: Mapping[str, ProtocolScores]
    baselines: Mapping[str, Scores]
    videos: Mapping[str, Scores]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]

    def to_json(self) -> str:
        """The text of metrics.json."""
        record = asdict(self)
        record["primary"]["interval"] = record.pop("interval")
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def rows(self, name: str) -> dict[str, Scores]:
        """The primary scores of the prediction, called ``name``, and of the baselines, for ``format_table``."""
        return {name: self.primary, **self.baselines}


def evaluate(pred: Path, truth: Path, allow_missing: bool = False, quiet: bool = True) -> Evaluation:
    """Scores the predictions under ``pred`` against the truth under ``truth``.

    Each is a tracks.json (or the folder that ``predict`` wrote it to), a folder of ``<key>/tracks.json`` or
    ``<key>.tracks.json``, or WebDataset shards (a .tar or a folder of them). Two single files match whatever their
    names. A video or scored track without a prediction of the same size and length is an InputError that names it, or
    scores 0 with ``allow_missing``. Memory holds one video at a time.
    """
    truths, predictions = find_clips(truth), find_clips(pred)
    if _is_single(truth, truths) and _is_single(pred, predictions):
        predictions = dict(zip(truths, predictions.values(), strict=True))
    videos: dict[str, Scores] = {}
    counts: list[VideoCounts] = []
    baselines: dict[str, list[Scores]] = {name: [] for name in BASELINES}
    missing: list[str] = []
    ignored = [f"video {key!r}" for key in predictions if key not in truths]
    for key, source in tqdm(truths.items(), desc="evaluate", unit="video", disable=quiet):
        true = _read_truth(source)
        predicted = predictions[key].read() if key in predictions else None
        lacking = _lacking(key, predicted, true)
        if lacking and not allow_missing:
            where = predictions.get(key, pred)
            raise InputError(f"{where}: {lacking[0]}; predict it, or let it score 0 with --allow-missing")
        missing += lacking
        ignored += _extra(key, predicted, true)
        counts.append(count_video(key, predicted if _same_shape(predicted, true) else None, true))
        videos[key] = score_video(counts[-1])
        for name, scores in baselines.items():
            scores.append(score_video(count_video(key, predict_baseline(name, true), true)))
    return Evaluation(
        primary=mean_scores(list(videos.values())),
        interval={name: bootstrap([getattr(scores, name) for scores in videos.values()]) for name in MEASURES},
        protocols=score_protocols(counts),
        baselines={name: mean_scores(scores) for name, scores in baselines.items()},
        videos=videos,
        missing=tuple(missing),
        ignored=tuple(ignored),
    )


def format_table(rows: Mapping[str, Scores]) -> str:
    """A plain-text table: a row for each method, the primary measures in per cent, "-" for a mean over nothing."""
    head = ["", *(_TITLES.get(name, name) for name in MEASURES)]
    lines = [head, *([name, *(_percent(getattr(scores, m)) for m in MEASURES)] for name, scores in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def format_protocols(protocols: Mapping[str, ProtocolScores]) -> str:
    """A line for each named protocol in per cent, and what a perfect prediction scores in it."""
    return "\n".join(
        f"{name}: full {_percent(scores.full)} (perfect: {_percent(scores.ceiling_full)}), "
        f"occ {_percent(scores.occ)} (perfect: {_percent(scores.ceiling_occ)})"
        for name, scores in protocols.items()
    )


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def _read_truth(source: ClipSource) -> ClipTracks:
    clip = source.read()
    if clip.tracks and all(track.amodal is None for track in clip.tracks):
        raise InputError(f"{source}: no track has amodal masks; give a truth that does")
    return clip


def _same_shape(predicted: ClipTracks | None, true: ClipTracks) -> bool:
    return predicted is not None and _shape(predicted) == _shape(true)


def _shape(clip: ClipTracks) -> str:
    return f"{clip.video.frames} frames of {clip.video.height} x {clip.video.width} pixels"


def _lacking(key: str, predicted: ClipTracks | None, true: ClipTracks) -> list[str]:
    """What of a video has no usable prediction, each in words that name it."""
    if predicted is None:
        return [f"no prediction for video {key!r}"]
    if not _same_shape(predicted, true):
        return [f"video {key!r} has {_shape(predicted)}, but its truth {_shape(true)}"]
    given = {track.id for track in predicted.tracks if track.amodal is not None}
    return [f"no amodal masks for track {t.id} of video {key!r}" for t in scored_tracks(true) if t.id not in given]


def _extra(key: str, predicted: ClipTracks | None, true: ClipTracks) -> list[str]:
    """The predicted tracks that the truth does not have."""
    known = {track.id for track in true.tracks}
    return [f"track {t.id} of video {key!r}" for t in predicted.tracks if t.id not in known] if predicted else []


def _is_single(path: Path, clips: Mapping[str, ClipSource]) -> bool:
    return list(clips.values()) in ([ClipSource(path)], [ClipSource(path / NAME)])
