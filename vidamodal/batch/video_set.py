"""The videos of a batch: a list file, a folder of videos, a folder of folders of frames, or a data set.

A folder that directly holds images is not a batch but one video, whose frames they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

from vidamodal.convert import safe_keys
from vidamodal.formats import Clip, Dataset, VideoContext, find_dataset, holds_dataset, visible_masks
from vidamodal.media.images import is_image
from vidamodal.media.listing import list_folder, list_folders
from vidamodal.media.video import VideoReader, open_video
from vidamodal.types import ClipTracks, Frame, InputError

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".webm", ".wmv",
})  # fmt: skip
"""Suffixes of the files that are taken for videos in a folder of videos, in lower case."""

_DATASET_SUFFIXES = frozenset({".json", ".jsonl", ".tar"})
"""Suffixes of single files that are data sets and not videos."""

_LISTED = 5
"""Names that a message lists."""

CompanionKind = Literal["masks", "points", "boxes", "order", "depth", "anchors"]
"""Inputs that belong to one video."""


@dataclass(frozen=True)
class Source:
    """A file or folder, or one clip of a data set. It can be opened in any process that sees the same files."""

    path: Path
    clip: str | None = None
    """Key of the clip in the data set at ``path``; None if the path is the video or its masks."""

    @property
    def name(self) -> str:
        """The name of the source in messages."""
        return self.path.name if self.clip is None else f"{self.path.name}: {self.clip}"

    def open_clip(self) -> tuple[Dataset, Clip]:
        """Return the data set of a clip, and the clip."""
        assert self.clip is not None
        dataset = _open_dataset(self.path)
        return dataset, dataset.clips[self.clip]


@dataclass(frozen=True)
class BatchVideo:
    """One video of a batch."""

    key: str
    """Name of the folder of its result."""
    source: Source
    companions: Mapping[CompanionKind, Source] = field(default_factory=dict)
    """Its masks and other inputs."""

    @property
    def paths(self) -> list[Path]:
        """All files and folders that the result depends on."""
        return [self.source.path, *(source.path for source in self.companions.values())]

    def open(self) -> VideoReader | Path:
        """Return the video as `vidamodal.predict` reads it.

        Raises:
            InputError: The clip of a data set cannot be read.
        """
        if self.source.clip is None:
            return self.source.path
        _, clip = self.source.open_clip()
        return _clip_reader(clip)

    def masks(self) -> Path | ClipTracks | None:
        """Return the visible masks as `vidamodal.predict` reads them; None if there are none.

        Raises:
            InputError: The masks of a clip cannot be read.
        """
        source = self.companions.get("masks")
        if source is None or source.clip is None:
            return None if source is None else source.path
        dataset, clip = source.open_clip()
        if source != self.source and clip.tracks_of is not None:  # the masks do not state the length of their video
            video = self.open()
            reader = open_video(video) if isinstance(video, Path) else video
            clip = clip.in_video(VideoContext(reader.info, reader.stems))
        return visible_masks(Dataset(dataset.format, {clip.key: clip}))


@dataclass(frozen=True)
class VideoSet:
    """The videos of a batch, and how they were found."""

    path: Path
    videos: tuple[BatchVideo, ...]
    notes: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """The keys of the videos, in order."""
        return [video.key for video in self.videos]


def find_videos(path: str | os.PathLike[str], own_masks: bool = True) -> VideoSet | None:
    """Return the videos at a path, or None if it is a single video.

    In this order: a ``.txt`` file lists a video in each line, relative to its folder; a ``.tar``, ``.json`` or
    ``.jsonl`` file is a data set, and any other file a single video; a folder with images is a single video; a folder
    in the layout of a data set is one, unless its masks are not used and it holds video files; in a folder with video
    files each is a video, and sub-folders are not read; otherwise each sub-folder with images is a video.

    Args:
        path: The file or folder.
        own_masks: Use the masks in a data set.

    Raises:
        InputError: There is no video, or two videos have the same key.
    """
    path = Path(path).absolute()
    if path.is_file():
        if path.suffix.lower() == ".txt":
            return _read_list(path)
        return _read_dataset(path, own_masks) if path.suffix.lower() in _DATASET_SUFFIXES else None
    if not path.is_dir():
        return None
    entries = list_folder(path)
    if any(map(is_image, entries)):
        return None
    files = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()]
    if (own_masks or not files) and holds_dataset(path):
        return _read_dataset(path, own_masks)
    if files:
        folders = list_folders(path)
        more = "; its sub-folders are not read" if folders else ""
        return _video_set(path, files, f"{path.name}: {_count(files)}, one for each video file{more}")
    folders = [entry for entry in list_folders(path) if any(map(is_image, entry.iterdir()))]
    return (
        _video_set(path, folders, f"{path.name}: {_count(folders)}, one for each folder of frames") if folders else None
    )


def note_on_single(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return a note if a folder of frames also holds video files, which are not read."""
    path = Path(path)
    if not path.is_dir():
        return ()
    count = sum(entry.suffix.lower() in VIDEO_SUFFIXES for entry in list_folder(path))
    if not count:
        return ()
    return (
        f"{path.absolute().name}: a folder of frames, because it holds images; {count} video "
        f"file{'s' * (count != 1)} in it not read. List their paths in a .txt file to predict them",
    )


def name_some(names: Sequence[str]) -> str:
    """Return names in one line; of many, the first five and the number of the others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _read_list(path: Path) -> VideoSet:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except ValueError:
        raise InputError(f"{path}: not text in UTF-8. Pass a file with the path of a video in each line.") from None
    videos = [(path.parent / line).absolute() for line in lines if line and not line.startswith("#")]
    if not videos or not all(_plain(video).name for video in videos):
        raise InputError(f"{path}: lists no video. Write the path of a video in each line.")
    return _video_set(path, videos, f"{path.name}: {_count(videos)}, one for each line")


def _read_dataset(path: Path, own_masks: bool) -> VideoSet:
    dataset = _open_dataset(path)
    names = safe_keys(list(dataset.clips))
    videos = tuple(
        BatchVideo(names[key], source, {"masks": source} if own_masks else {})
        for key in dataset.clips
        for source in [Source(path, key)]
    )
    notes = [f"{path.name}: {_count(videos)} of a data set, read as {dataset.format}"]
    notes += [f"{path.name}: the result of clip {key!r} is {name}" for key, name in names.items() if key != name]
    return VideoSet(path, videos, tuple(notes))


def _video_set(path: Path, videos: Sequence[Path], note: str) -> VideoSet:
    keys = _keys(videos)
    lengthened = [key for key, video in zip(keys, videos, strict=True) if key != _key(video, 1)]
    notes = [note]
    if lengthened:
        notes.append(
            f"{path.name}: videos with the same file name are named after their folders, too: {name_some(lengthened)}"
        )
    return VideoSet(
        path, tuple(BatchVideo(key, Source(video)) for key, video in zip(keys, videos, strict=True)), (*notes,)
    )


def _keys(videos: Sequence[Path]) -> list[str]:
    """Return the names of videos without suffix, with as many of their folders in front as tell them apart."""
    for depth in range(1, max(len(video.parts) for video in videos)):
        keys = [_key(video, depth) for video in videos]
        if len({key.lower() for key in keys}) == len(keys):
            return keys
    names = [_key(video, 1).lower() for video in videos]
    first = next(k for k, name in enumerate(names) if name in names[:k])
    one, other = videos[names.index(names[first])], videos[first]
    raise InputError(f"{one} and {other}: two videos with the same name. Rename one of them, or list it once.")


def _key(video: Path, depth: int) -> str:
    """Return the name of a video without suffix, with so many parts of its path."""
    *folders, name = _plain(video).parts[1:][-depth:]
    return "-".join([*folders, name if video.is_dir() else Path(name).stem])


def _plain(path: Path) -> Path:
    """Return an absolute path without "..", for names."""
    return Path(os.path.normpath(path))


def _clip_reader(clip: Clip) -> VideoReader:
    """The frames of a clip; they cannot be read if the data set has only masks."""
    info = clip.tracks().video

    def read(start: int, stop: int) -> islice[Frame]:
        frames = clip.frames()
        if frames is None:
            raise InputError(f"{clip.source}: the data set has masks, but no images. Write tracks, png or masks alone.")
        return islice(frames, start, stop)

    return VideoReader(info, None, read)


@lru_cache(maxsize=4)
def _open_dataset(path: Path) -> Dataset:
    return find_dataset(path)


def _count(videos: Sequence[object]) -> str:
    return f"{len(videos)} video{'s' * (len(videos) != 1)}"
