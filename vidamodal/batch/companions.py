"""The masks and other inputs of each video of a batch: entries of a folder, or clips of a data set, by key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vidamodal.batch.video_set import BatchVideo, CompanionKind, Source, VideoSet, name_some
from vidamodal.convert import safe_keys
from vidamodal.formats import find_dataset, holds_dataset
from vidamodal.media.listing import list_folder
from vidamodal.types import InputError

OPTIONAL: frozenset[CompanionKind] = frozenset({"anchors"})
"""Inputs that some of the videos may be without."""

_TRACKS_SUFFIX = ".tracks.json"


def add_companions(videos: VideoSet, paths: Mapping[CompanionKind, str | os.PathLike[str] | None]) -> VideoSet:
    """Return the videos with their inputs.

    Each path is a folder with one entry for each video: ``<key>``, ``<key>.<suffix>`` or ``<key>.tracks.json``. Masks
    may also be a data set with a clip for each video.

    Args:
        videos: The videos.
        paths: The folders by kind; None for none.

    Raises:
        InputError: A path does not exist, an entry belongs to no video, or a video has no entry.
    """
    for kind, path in paths.items():
        if path is not None:
            videos = _add(videos, kind, Path(path).absolute())
    return videos


def _add(videos: VideoSet, kind: CompanionKind, path: Path) -> VideoSet:
    if not path.exists():
        raise InputError(f"{path}: no such folder. Pass {kind}= with one entry for each video.")
    keys = set(videos.keys)
    found = _entries(path, kind, keys)
    if strangers := [name for name in found if name not in keys]:
        raise InputError(
            f"{path}: entries without a video: {name_some(strangers)}. Name each like its video "
            f"({name_some(videos.keys)}), or remove it."
        )
    missing = [key for key in videos.keys if key not in found]
    if missing and kind not in OPTIONAL:
        raise InputError(f"{path}: no entry for the video {name_some(missing)}. Add it, or leave out the video.")

    def equipped(video: BatchVideo) -> BatchVideo:
        if video.key not in found:
            return video
        return replace(video, companions={**video.companions, kind: found[video.key]})

    source = f"{path.name}: {kind} of {len(found)} of {len(videos.videos)} videos"
    return replace(videos, videos=tuple(map(equipped, videos.videos)), notes=(*videos.notes, source))


def _entries(path: Path, kind: CompanionKind, keys: set[str]) -> dict[str, Source]:
    """The entries of a folder by name; for masks, the clips of a data set if no entry has the name of a video."""
    entries: dict[str, Source] = {}
    for entry in list_folder(path) if path.is_dir() else ():
        other = entries.setdefault(_entry_name(entry), Source(entry))
        if other.path != entry:
            raise InputError(f"{other.path} and {entry.name}: two entries of one name. Remove one of them.")
    if kind != "masks" or keys & entries.keys():
        return entries
    if path.is_file() or holds_dataset(path):
        clips = find_dataset(path).clips
        names = safe_keys(list(clips))
        return {names[key] if names[key] in keys else key: Source(path, key) for key in clips}
    return entries


def _entry_name(entry: Path) -> str:
    if entry.is_dir():
        return entry.name
    return entry.name.removesuffix(_TRACKS_SUFFIX) if entry.name.endswith(_TRACKS_SUFFIX) else entry.stem
