"""Predictions against truth: finds the clips under two paths, matches them by key and id, and scores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.formats import Clip, find_dataset
from vidamodal.metrics.counts import VideoCounts, count_video, scored_tracks
from vidamodal.metrics.match import match_visible
from vidamodal.metrics.primary import MEASURES, Difference, Scores, bootstrap, differences, mean_scores, score_video
from vidamodal.metrics.protocols import ProtocolScores, score_protocols
from vidamodal.metrics.strata import StratumScores, score_strata
from vidamodal.metrics.temporal import TimeScores, score_time
from vidamodal.types import ClipTracks, InputError


@dataclass(frozen=True)
class Evaluation:
    """Everything that metrics.json holds; fractions, None for a mean over nothing.

    ``interval`` is the 95 % bootstrap interval of each primary measure over videos. ``videos`` are the primary scores
    of each video by key, ``baselines`` those of the predictors without a model. ``missing`` names what had no matching
    prediction and scored 0, ``ignored`` the predicted videos and tracks that the truth does not have.
    ``matched`` is how many predicted tracks were matched by what is visible, and of how many; None if ids were taken.
    ``counts``, the store that all of it is read off with an entry for every object-frame, is not in metrics.json.
    """

    primary: Scores
    interval: Mapping[str, tuple[float, float] | None]
    strata: Mapping[str, StratumScores]
    time: TimeScores
    protocols: Mapping[str, ProtocolScores]
    baselines: Mapping[str, Scores]
    videos: Mapping[str, Scores]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    counts: tuple[VideoCounts, ...]
    matched: tuple[int, int] | None = None

    def record(self) -> dict[str, Any]:
        """What metrics.json holds."""
        pair = ("full", "occ", "ceiling_full", "ceiling_occ")
        return {
            "primary": {**asdict(self.primary), "interval": dict(self.interval)},
            "protocols": {name: {key: getattr(p, key) for key in pair} for name, p in self.protocols.items()},
            **{name: dict(p.more) for name, p in self.protocols.items() if p.more},
            "hides": {name: p.hides for name, p in self.protocols.items()},
            "strata": {name: asdict(stratum) for name, stratum in self.strata.items()},
            "time": asdict(self.time),
            "baselines": {name: asdict(scores) for name, scores in self.baselines.items()},
            "videos": {key: asdict(scores) for key, scores in self.videos.items()},
            "missing": list(self.missing),
            "ignored": list(self.ignored),
            **({} if self.matched is None else {"matched": list(self.matched)}),
        }

    def to_json(self, others: Mapping[str, Evaluation] | None = None) -> str:
        """The text of metrics.json. ``others`` are further predictions of the same truth: each one's own record and
        ``difference``, by how much its primary measures lie above this one's."""
        record = self.record()
        if others:
            record["others"] = {
                name: {
                    **other.record(),
                    "difference": {measure: asdict(gap) for measure, gap in other.minus(self).items()},
                }
                for name, other in others.items()
            }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def minus(self, other: Evaluation) -> dict[str, Difference]:
        """How far this prediction's primary measures lie above another's of the same truth, paired by video."""
        return differences(list(self.videos.values()), list(other.videos.values()))

    def rows(self, name: str) -> dict[str, Scores]:
        """The primary scores of the prediction, called ``name``, and of the baselines, for ``format_table``."""
        return {name: self.primary, **self.baselines}


def evaluate(
    pred: Path,
    truth: Path,
    allow_missing: bool = False,
    quiet: bool = True,
    baselines: bool = True,
    match: bool = False,
) -> Evaluation:
    """Scores the predictions under ``pred`` against the truth under ``truth``.

    Each is a tracks.json (or the folder that ``predict`` wrote it to), a folder of ``<key>/tracks.json`` or
    ``<key>.tracks.json``, WebDataset shards (a .tar or a folder of them), or in any other layout that is read; masks of
    which it does not say whether they are visible or amodal are taken for amodal. Two single files match whatever their
    names. A video or scored track without a prediction of the same size and length is an InputError that names it, or
    scores 0 with ``allow_missing``. ``baselines`` False leaves those out. ``match``: predicted tracks get the ids of
    the true ones that their visible masks lie on. Memory holds one video's masks at a time.
    """
    truths, predictions = find_pairs(pred, truth)
    counts: list[VideoCounts] = []
    rivals: dict[str, list[Scores]] = {name: [] for name in load_baselines()} if baselines else {}
    missing: list[str] = []
    found = total = 0
    ignored = [f"video {key!r}" for key in predictions if key not in truths]
    for key, source in tqdm(truths.items(), desc="evaluate", unit="video", disable=quiet):
        true = _read_truth(source)
        predicted = predictions[key].tracks_as("amodal") if key in predictions else None
        own: dict[int, int] = {}
        if match and predicted is not None and _same_shape(predicted, true):
            predicted, renamed = _matched(predicted, true, predictions[key].source)
            own = {new: old for old, new in renamed.items()}
            found, total = found + len(own.keys() & {track.id for track in true.tracks}), total + len(own)
        lacking = _lacking(key, predicted, true)
        if lacking and not allow_missing:
            where = predictions[key].source if key in predictions else pred
            raise InputError(f"{where}: {lacking[0]}; predict it, or let it score 0 with --allow-missing")
        missing += lacking
        ignored += _extra(key, predicted, true, own)
        counts.append(count_video(key, predicted if _same_shape(predicted, true) else None, true))
        for name, scores in rivals.items():
            scores.append(score_video(count_video(key, predict_baseline(name, true), true, shapes=False)))
    result = score_counts(counts, {name: mean_scores(scores) for name, scores in rivals.items()}, missing, ignored)
    return replace(result, matched=(found, total)) if match else result


def find_pairs(pred: Path, truth: Path) -> tuple[Mapping[str, Clip], Mapping[str, Clip]]:
    """The clips of a truth and of its prediction by the truth's keys, as ``evaluate`` pairs them; read when asked."""
    truths, predictions = _find(truth), _find(pred)
    if _is_single(truth, truths) and _is_single(pred, predictions):
        predictions = dict(zip(truths, predictions.values(), strict=True))
    return truths, predictions


def score_counts(
    counts: Sequence[VideoCounts],
    baselines: Mapping[str, Scores] | None = None,
    missing: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> Evaluation:
    """Reads every measure and protocol off the counts of all videos."""
    videos = {video.key: score_video(video) for video in counts}
    return Evaluation(
        primary=mean_scores(list(videos.values())),
        interval={name: bootstrap([getattr(scores, name) for scores in videos.values()]) for name in MEASURES},
        strata=score_strata(counts),
        time=score_time(counts),
        protocols=score_protocols(counts),
        baselines=baselines or {},
        videos=videos,
        missing=tuple(missing),
        ignored=tuple(ignored),
        counts=tuple(counts),
    )


def _find(path: Path) -> Mapping[str, Clip]:
    """The clips under a path by key; a tracks.json wins over other formats in the same folder."""
    return find_dataset(path, preferred=("tracks", "shards")).clips


def _matched(predicted: ClipTracks, true: ClipTracks, name: str) -> tuple[ClipTracks, dict[int, int]]:
    if predicted.tracks and not any(track.ever_visible for track in predicted.tracks):
        raise InputError(f"{name}: no visible masks to match tracks by; give them, or ids of the truth")
    return match_visible(predicted, true)


def _read_truth(source: Clip) -> ClipTracks:
    clip = source.tracks_as("amodal")
    if clip.tracks and all(track.amodal is None for track in clip.tracks):
        raise InputError(f"{source.source}: no track has amodal masks; give a truth that does")
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


def _extra(key: str, predicted: ClipTracks | None, true: ClipTracks, own: Mapping[int, int]) -> list[str]:
    """The predicted tracks that the truth does not have, by the ids that they came with."""
    known = {track.id for track in true.tracks}
    others = [track.id for track in predicted.tracks if track.id not in known] if predicted else []
    return [f"track {own.get(number, number)} of video {key!r}" for number in others]


def _is_single(path: Path, clips: Mapping[str, Clip]) -> bool:
    """Whether a path stands for one video: a tracks.json, a folder of ``predict``, or another format's only clip."""
    own = (str(path), str(path / "tracks.json"))
    return len(clips) == 1 and all(clip.source in (*own, f"{path}: {key}") for key, clip in clips.items())
