"""Evaluation of predictions against ground truth: reads the clips under two paths and computes every measure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidamodal.baselines import copy_visible, load_baselines, predict_baseline
from vidamodal.formats import Clip
from vidamodal.metrics.averages import Interval, bootstrap_interval
from vidamodal.metrics.boxes import BoxEvaluation, boxed_tracks, score_boxes
from vidamodal.metrics.clip_pairs import pair_clips, read_prediction
from vidamodal.metrics.counting import count_video, scored_tracks
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.hypotheses import HypothesisScores, score_hypotheses
from vidamodal.metrics.primary import MEASURES, Difference, PrimaryScores, mean_scores, paired_differences, score_video
from vidamodal.metrics.protocols import ProtocolScores, score_protocols
from vidamodal.metrics.strata import StratumScores, score_strata
from vidamodal.metrics.temporal import TemporalScores, score_temporal
from vidamodal.metrics.track_matching import match_by_visible_masks
from vidamodal.types import ClipTracks, InputError


@dataclass(frozen=True)
class Evaluation:
    """Everything that metrics.json holds; fractions, None for a mean over nothing."""

    primary: PrimaryScores
    interval: Mapping[str, Interval | None]
    """95 % bootstrap interval over videos of each primary measure."""
    strata: Mapping[str, StratumScores]
    time: TemporalScores
    protocols: Mapping[str, ProtocolScores]
    baselines: Mapping[str, PrimaryScores]
    """Primary scores of the predictors without a model."""
    videos: Mapping[str, PrimaryScores]
    """Primary scores of each video by key."""
    copied: Mapping[str, PrimaryScores]
    """Primary scores of the copied visible masks for each video; empty without baselines."""
    scenes: Mapping[str, PrimaryScores]
    """Primary scores of the videos predicted as exhaustive and of those predicted as partial scenes."""
    boxes: BoxEvaluation | None
    """Scores against amodal boxes; None if the ground truth has none."""
    hypotheses: HypothesisScores | None
    """Best of the sampled hypotheses; None without any."""
    missing: tuple[str, ...]
    """Videos and tracks that had no matching prediction and scored 0."""
    ignored: tuple[str, ...]
    """Predicted videos and tracks that the ground truth does not have."""
    counts: tuple[VideoCounts, ...]
    """The prediction store that all scores are computed from; not part of metrics.json."""
    matched: tuple[int, int] | None = None
    """How many predicted tracks were matched by their visible masks, and of how many; None if ids were used."""
    notes: tuple[str, ...] = ()
    """How the masks of both sides were understood, one line each; see `ClipTracks.notes`."""

    def record(self) -> dict[str, Any]:
        """Return the content of metrics.json."""
        pair = ("full", "occ", "ceiling_full", "ceiling_occ")
        return {
            "primary": {**asdict(self.primary), "interval": dict(self.interval)},
            "protocols": {name: {key: getattr(p, key) for key in pair} for name, p in self.protocols.items()},
            **{name: dict(p.more) for name, p in self.protocols.items() if p.more},
            "hides": {name: p.hides for name, p in self.protocols.items()},
            "strata": {name: asdict(stratum) for name, stratum in self.strata.items()},
            "time": asdict(self.time),
            "baselines": {name: asdict(scores) for name, scores in self.baselines.items()},
            "gain": {measure: asdict(gap) for measure, gap in self.gain().items()},
            "scenes": {name: asdict(scores) for name, scores in self.scenes.items()},
            **({} if self.boxes is None else {"boxes": asdict(self.boxes)}),
            **({} if self.hypotheses is None else {"hypotheses": asdict(self.hypotheses)}),
            "videos": {key: asdict(scores) for key, scores in self.videos.items()},
            "missing": list(self.missing),
            "ignored": list(self.ignored),
            **({} if self.matched is None else {"matched": list(self.matched)}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def to_json(self, others: Mapping[str, Evaluation] | None = None) -> str:
        """Return the text of metrics.json.

        Args:
            others: Evaluations of further predictions of the same ground truth by name. Each is added with its own
                record and with ``difference``, how much its primary measures exceed this one's.
        """
        record = self.record()
        if others:
            record["others"] = {
                name: {
                    **other.record(),
                    "difference": {measure: asdict(gap) for measure, gap in other.difference_from(self).items()},
                }
                for name, other in others.items()
            }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def difference_from(self, other: Evaluation) -> dict[str, Difference]:
        """Return how much the primary measures exceed those of another prediction of the same ground truth."""
        return paired_differences(list(self.videos.values()), list(other.videos.values()))

    def gain(self) -> dict[str, Difference]:
        """Return how much the primary measures exceed those of the copied visible masks; empty without baselines."""
        if not self.copied:
            return {}
        return paired_differences(list(self.videos.values()), list(self.copied.values()))

    def primary_rows(self, name: str) -> dict[str, PrimaryScores]:
        """Return the primary scores of the prediction, under ``name``, and of the baselines, for `format_table`."""
        return {name: self.primary, **self.baselines}


def evaluate(
    pred: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    allow_missing: bool = False,
    quiet: bool = True,
    baselines: bool = True,
    match: bool = False,
) -> Evaluation:
    """Score predictions against ground truth.

    Both are a tracks.json (or the folder that ``predict`` wrote it to), a folder of ``<key>/tracks.json`` or
    ``<key>.tracks.json``, WebDataset shards (a .tar or a folder of them), or a data set in any other format that can be
    read. Masks of a format with one mask per object are treated as amodal. Videos are matched by key, except that two
    single files match whatever their names. One video's masks are in memory at a time.

    Args:
        pred: Predictions.
        truth: Ground truth.
        allow_missing: True to score a video or track without a usable prediction 0.
        quiet: True for no progress bar.
        baselines: True to score the predictors without a model too.
        match: True to match tracks by their visible masks; False to match them by id.

    Returns:
        All scores.

    Raises:
        InputError: If a path holds no clips or a damaged one; if the ground truth has no amodal or no visible masks;
            or, without ``allow_missing``, if a video or scored track has no prediction of the same size and length.
            Masks that do not state the length of their video, such as PNGs, count for the frames that they have.
    """
    truths, predictions = pair_clips(Path(pred), Path(truth))
    baseline_scores: dict[str, list[PrimaryScores]] = {name: [] for name in load_baselines()} if baselines else {}
    pairing = _Pairing(match, ignored=[f"video {key!r}" for key in predictions if key not in truths])
    counts: list[VideoCounts] = []
    for key, clip in tqdm(truths.items(), desc="evaluate", unit="video", disable=quiet):
        true = _read_truth(clip)
        pairing.notes.update(dict.fromkeys(true.notes))
        predicted, missing = pairing.read(key, predictions.get(key), true)
        if missing and not allow_missing:
            where = predictions[key].source if key in predictions else pred
            raise InputError(f"{where}: {missing[0]}. Predict it, or allow missing predictions, which score 0.")
        counts.append(count_video(key, predicted, true))
        for name, scores in baseline_scores.items():
            scores.append(score_video(count_video(key, predict_baseline(name, true), true, shapes=False)))
    result = score_counts(counts, {name: mean_scores(scores) for name, scores in baseline_scores.items()})
    return replace(
        result,
        copied=dict(zip(result.videos, baseline_scores.get(copy_visible.ID, ()), strict=False)),
        missing=tuple(pairing.missing),
        ignored=tuple(pairing.ignored),
        matched=(pairing.matched, pairing.candidates) if match else None,
        notes=tuple(pairing.notes),
    )


def score_counts(counts: Sequence[VideoCounts], baselines: Mapping[str, PrimaryScores] | None = None) -> Evaluation:
    """Compute every measure and protocol from the counts of all videos."""
    videos = {video.key: score_video(video) for video in counts}
    return Evaluation(
        primary=mean_scores(list(videos.values())),
        interval={name: bootstrap_interval([getattr(scores, name) for scores in videos.values()]) for name in MEASURES},
        strata=score_strata(counts),
        time=score_temporal(counts),
        protocols=score_protocols(counts),
        baselines=baselines or {},
        videos=videos,
        copied={},
        scenes=_score_scenes(counts, videos),
        boxes=score_boxes(counts),
        hypotheses=score_hypotheses(counts),
        missing=(),
        ignored=(),
        counts=tuple(counts),
    )


def _score_scenes(counts: Sequence[VideoCounts], videos: Mapping[str, PrimaryScores]) -> dict[str, PrimaryScores]:
    """Return the mean scores of exhaustive and of partial scenes, if there are any."""
    kinds = {"exhaustive": True, "partial": False}
    chosen = {name: [videos[v.key] for v in counts if v.exhaustive == kind] for name, kind in kinds.items()}
    return {name: mean_scores(scores) for name, scores in chosen.items() if scores}


@dataclass
class _Pairing:
    """Reads predictions and collects which parts of them, and of the ground truth, have no counterpart."""

    match: bool
    ignored: list[str]
    missing: list[str] = field(default_factory=list)
    matched: int = 0
    candidates: int = 0
    notes: dict[str, None] = field(default_factory=dict)
    """An ordered set."""

    def read(self, key: str, clip: Clip | None, true: ClipTracks) -> tuple[ClipTracks | None, list[str]]:
        """Return the prediction of one video, or None without a usable one, and what is missing from it."""
        predicted, after_end = (None, range(0)) if clip is None else read_prediction(clip, true.video)
        self.notes.update(dict.fromkeys(predicted.notes if predicted else ()))
        old_ids: dict[int, int] = {}
        same_shape = predicted is not None and _shape(predicted) == _shape(true)
        if self.match and clip is not None and predicted is not None and same_shape:
            predicted, new_ids = _match(predicted, true, clip.source)
            old_ids = {new: old for old, new in new_ids.items()}
            self.matched += len(old_ids.keys() & {track.id for track in true.tracks})
            self.candidates += len(old_ids)
        missing = _missing(key, predicted, true, after_end)
        self.missing += missing
        true_ids = {track.id for track in true.tracks}
        unknown = [track.id for track in predicted.tracks if track.id not in true_ids] if predicted else []
        self.ignored += [f"track {old_ids.get(number, number)} of video {key!r}" for number in unknown]
        return predicted if same_shape else None, missing


def _match(predicted: ClipTracks, true: ClipTracks, name: str) -> tuple[ClipTracks, dict[int, int]]:
    if predicted.tracks and not any(track.ever_visible for track in predicted.tracks):
        raise InputError(
            f"{name}: no visible masks to match tracks by. Add visible masks, or use the ids of the ground truth."
        )
    return match_by_visible_masks(predicted, true)


def _read_truth(clip: Clip) -> ClipTracks:
    true = clip.tracks_as("amodal")
    if true.tracks and all(track.amodal is None and track.boxes is None for track in true.tracks):
        raise InputError(
            f"{clip.source}: no track has amodal masks or boxes. Pass a ground truth with amodal masks or boxes."
        )
    if true.tracks and all(track.span is None and track.boxes is None for track in true.tracks):
        raise InputError(
            f"{clip.source}: no visible masks, so no measure can be computed. Pass a tracks.json or COCO file with "
            "amodal and visible masks."
        )
    return true


def _shape(clip: ClipTracks) -> str:
    return f"{clip.video.frames} frames of {clip.video.height} x {clip.video.width} pixels"


def _missing(key: str, predicted: ClipTracks | None, true: ClipTracks, after_end: range) -> list[str]:
    """Describe the parts of a video that have no usable prediction."""
    if predicted is None:
        return [f"no prediction for video {key!r}"]
    ours, theirs = predicted.video, true.video
    if ours.frames != theirs.frames and (ours.height, ours.width) == (theirs.height, theirs.width):
        first, last = sorted((ours.frames, theirs.frames))
        lacking = "the prediction" if ours.frames < theirs.frames else "the ground truth"
        return [
            f"the prediction of video {key!r} has {ours.frames} frames, but its ground truth has {theirs.frames}: "
            f"{lacking} lacks the frames {first} to {last - 1}"
        ]
    if _shape(predicted) != _shape(true):
        return [f"video {key!r} has {_shape(predicted)}, but its ground truth has {_shape(true)}"]
    if any(track.amodal and track.amodal[t] is not None for track in scored_tracks(true) for t in after_end):
        return [f"no masks for the frames {after_end[0]} to {after_end[-1]} of video {key!r}"]
    amodal_ids = {track.id for track in predicted.tracks if track.amodal is not None}
    scored = {track.id for track in (*scored_tracks(true), *boxed_tracks(true))}
    return [f"no amodal masks for track {number} of video {key!r}" for number in sorted(scored - amodal_ids)]
