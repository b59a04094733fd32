"""The registry of formats: every module of this package, at any depth, that declares an ``ID``."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

import vidamodal.formats
from vidamodal.formats.base import Clip, Dataset, Fit, Format, VideoContext, WritableFormat
from vidamodal.formats.json_layouts import reason_unreadable
from vidamodal.types import ClipTracks, InputError, Track, VideoInfo

PLAIN_MASKS = ("davis", "sav")
"""Formats of folders of images. As the masks of a given video they win over annotation files in the same folder, if
the images are sure to be masks."""


def all_formats() -> dict[str, Format]:
    """Return the formats that can be read, by id."""
    found = [cast(Format, module) for module in _modules(vidamodal.formats) if hasattr(module, "ID")]
    formats = {form.ID: form for form in sorted(found, key=lambda form: form.ID)}
    if len(formats) < len(found):
        raise ValueError(f"two formats with the same ID among {sorted(form.ID for form in found)}")
    return formats


def writable_formats() -> dict[str, WritableFormat]:
    """Return the formats that can be written, by id."""
    return {name: cast(WritableFormat, form) for name, form in all_formats().items() if hasattr(form, "write")}


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        yield module
        if info.ispkg:
            yield from _modules(module)


def find_dataset(
    path: str | os.PathLike[str],
    format_id: str | None = None,
    video: VideoContext | None = None,
    preferred: Sequence[str] = (),
) -> Dataset:
    """Return the data set at a path, in the format that it looks like.

    Args:
        path: A file or folder.
        format_id: The id of the format to read; by default all formats are tried.
        preferred: Ids of formats that are read wherever the path holds them, whatever else it holds.
        video: The video of the masks, if the path holds those of one video. Frames without masks are unknown (None).

    Raises:
        InputError: The path has no known format, or several; the content is damaged; or the masks do not fit the video.
    """
    path = Path(path)
    form = _match(path, format_id, preferred)
    clips = form.read(path, video)
    clips = {key: replace(clip, source=clip.source or f"{path}: {key}") for key, clip in clips.items()}
    if video is None and len(clips) == 1:
        clips = {key: _readable_in_videos(path, form, clip) for key, clip in clips.items()}
    if video is not None:
        if len(clips) > 1:
            raise InputError(f"{path}: holds the masks of {len(clips)} clips; pass those of this video alone")
        clips = {key: replace(clip, tracks=partial(_fit, path, clip, video.info)) for key, clip in clips.items()}
    return Dataset(form.NAME, clips)


def holds_dataset(path: str | os.PathLike[str]) -> bool:
    """Return whether an existing path certainly holds a data set or masks, by the structure of a format."""
    return any(form.recognise(Path(path)) >= Fit.CERTAIN for form in all_formats().values())


def _match(path: Path, format_id: str | None, preferred: Sequence[str]) -> Format:
    """The format of a path."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; pass a data set or masks in a known format")
    formats = all_formats()
    candidates = list(formats.values()) if format_id is None else [formats[format_id]]
    fits = [(fit, form) for form in candidates if (fit := form.recognise(path)) != Fit.NONE]
    if not fits and (reason := reason_unreadable(path)) is not None:
        raise InputError(f"{path}: {reason}")
    if not fits and format_id is not None:
        raise InputError(f"{path}: not in the format {format_id}; pass {formats[format_id].SIGN}")
    if not fits:
        raise InputError(
            f"{path}: in no known format; docs/mask-formats.md describes what is read: {', '.join(formats)}"
        )
    best = max(fit for fit, _ in fits)
    if best < Fit.EXACT:
        chosen = [(fit, form) for fit, form in fits if form.ID in preferred]
        if best == Fit.POSSIBLE or any(fit == Fit.CERTAIN for fit, _ in chosen):
            fits = chosen or fits
        best = max(fit for fit, _ in fits)
    matches = [form for fit, form in fits if fit == best]
    if len(matches) > 1:
        names = " and ".join(form.NAME for form in matches)
        raise InputError(f"{path}: holds several formats ({names}); pass the path of one of them")
    return matches[0]


def find_masks(path: str | os.PathLike[str], video: VideoContext) -> Dataset:
    """Return the data set of one clip that holds the masks of a video, from any format.

    Args:
        path: A file or folder with the masks of one clip.
        video: The video.

    Raises:
        InputError: The masks cannot be read, or do not fit the video.
    """
    return find_dataset(path, video=video, preferred=PLAIN_MASKS)


def visible_masks(dataset: Dataset) -> ClipTracks:
    """Return the visible masks of the one clip of a data set.

    A format that states the kind of its masks gives the visible ones; masks of other formats are treated as visible.
    Ids, labels, ``exhaustive`` and notes are kept, everything else is dropped.

    Raises:
        InputError: The masks cannot be read, do not fit the video, or there are only boxes.
    """
    (clip,) = dataset.clips.values()
    tracks = clip.tracks()
    if tracks.tracks and all(mask is None for track in tracks.tracks for mask in track.visible):
        raise InputError(
            f"{clip.source}: no mask in it, only boxes or empty masks; pass masks, or mark the objects for SAM 2"
        )
    kept = tuple(Track(track.id, track.visible, label=track.label) for track in tracks.tracks)
    notes = tracks.notes
    if _look_inverted(tracks):
        notes = (*notes, f"{clip.key}: the object covers the border of every image: inverted masks?")
    return ClipTracks(replace(tracks.video, canvas=None), kept, tracks.exhaustive, notes=notes)


def read_masks(path: str | os.PathLike[str], video: VideoContext) -> ClipTracks:
    """Return the visible masks for a video, from any format; see `find_masks` and `visible_masks`."""
    return visible_masks(find_masks(path, video))


def _look_inverted(tracks: ClipTracks) -> bool:
    """True if the only object covers the border and more than half of every image, as the background does."""
    masks = [mask for track in tracks.tracks for mask in track.visible if mask is not None]
    half = tracks.video.height * tracks.video.width / 2
    if len(tracks.tracks) != 1 or not all(mask.area() > half for mask in masks):
        return False
    decoded = (mask.decode() for mask in masks)
    return all(m[0].all() and m[-1].all() and m[:, 0].all() and m[:, -1].all() for m in decoded)


def _readable_in_videos(path: Path, form: Format, clip: Clip) -> Clip:
    """The clip of masks that do not state their video; they are read again if the video is known later."""

    def tracks_of(video: VideoContext) -> ClipTracks:
        (read,) = form.read(path, video).values()
        return _fit(path, read, video.info)

    return clip if clip.kind_known or clip.tracks_of is not None else replace(clip, tracks_of=tracks_of)


def _fit(path: Path, clip: Clip, info: VideoInfo) -> ClipTracks:
    """The tracks of a clip, with the name and frame rate of a video of their size and length."""
    tracks = clip.tracks()
    theirs = tracks.video
    if (theirs.frames, theirs.height, theirs.width) != (info.frames, info.height, info.width):
        raise InputError(
            f"{path}: the masks are for {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, the video "
            f"has {info.frames} of {info.height} x {info.width}; pass the masks of this video"
        )
    return replace(tracks, video=replace(info, canvas=theirs.canvas))
