"""Pairs of predicted and true clips under two paths, matched by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats import Clip, find_dataset


def clips_of(path: Path) -> Mapping[str, Clip]:
    """Return the clips under a path by key; a tracks.json takes precedence over other formats in the same folder."""
    return find_dataset(path, preferred=("tracks", "shards")).clips


def pair_clips(pred: Path, truth: Path) -> tuple[Mapping[str, Clip], Mapping[str, Clip]]:
    """Return the clips of a ground truth and of its prediction, both by the ground truth's keys; none is read yet.

    Two paths that stand for one video each are paired whatever their names.
    """
    truths, predictions = clips_of(truth), clips_of(pred)
    if _is_single_video(truth, truths) and _is_single_video(pred, predictions):
        predictions = dict(zip(truths, predictions.values(), strict=True))
    return truths, predictions


def _is_single_video(path: Path, clips: Mapping[str, Clip]) -> bool:
    """Return True for a tracks.json, a folder written by ``predict``, or a path in another format with one clip."""
    tracks_files = (str(path), str(path / "tracks.json"))
    return len(clips) == 1 and all(clip.source in (*tracks_files, f"{path}: {key}") for key, clip in clips.items())
