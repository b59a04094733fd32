"""Pairs of predicted and true clips under two paths, matched by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats import Clip, VideoContext, find_dataset
from vidamodal.types import ClipTracks, VideoInfo


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


def read_prediction(clip: Clip, video: VideoInfo) -> tuple[ClipTracks, range]:
    """Return a prediction, and the frames after its end for which it has no masks.

    Masks that do not state how long their video is are read as those of the true video. If they end before it does,
    they are unknown from there on.

    Raises:
        InputError: The masks cannot be read, or lie beyond the end of the video.
    """
    predicted = clip.tracks_as("amodal")
    ours = predicted.video
    if clip.tracks_of is None or (ours.height, ours.width) != (video.height, video.width):
        return predicted, range(0)
    if ours.frames != video.frames:
        predicted = clip.in_video(VideoContext(video)).tracks_as("amodal")
    known = [t for track in predicted.tracks for t, mask in enumerate(track.amodal or ()) if mask is not None]
    return predicted, range(max(known, default=-1) + 1, video.frames)


def _is_single_video(path: Path, clips: Mapping[str, Clip]) -> bool:
    """Return True for a tracks.json, a folder written by ``predict``, or a path in another format with one clip."""
    tracks_files = (str(path), str(path / "tracks.json"))
    return len(clips) == 1 and all(clip.source in (*tracks_files, f"{path}: {key}") for key, clip in clips.items())
