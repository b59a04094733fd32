"""Data sets with a folder of masks for each video: what the layouts of DAVIS, YouTube-VOS and SA-V share.

``Annotations*/<video>/`` holds the masks and ``JPEGImages*/<video>/`` the images, both optionally with a folder such as
``480p`` in between. A plain folder with the folders of several videos, or the folder of one video, is read as well.
YouTube-VOS's ``meta.json`` beside ``Annotations*`` is optional: ``videos.<video>.objects.<id>.category`` are labels.
Without images or another source of the video's length, a PNG's number is its frame and the last PNG ends the video.

Written sets carry a clip's record (see ``clip_record``) in ``meta.json`` and read back as they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vidamodal.formats.annotation_files import Record, errors_in
from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import unite_visible
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.masks.frame_files import NUMBER, PREFIXED_NUMBER, frame_number, png_files, visible_folders
from vidamodal.media.images import image_errors, is_image
from vidamodal.media.json_records import check_type, contains_strings, optional, required
from vidamodal.media.video import FOLDER_FPS, open_video
from vidamodal.tracks.check import check_video
from vidamodal.tracks.parse import MAX_BYTES, parse_video
from vidamodal.types import ClipTracks, Frame, InputError, VideoInfo

_SIZES = ("480p", "Full-Resolution", "1080p", "")
_META = "meta.json"

IsVideo = Callable[[Path, re.Pattern[str]], bool]
"""True if a folder holds the masks of one video, in PNGs whose names match a pattern."""
ReadFolder = Callable[[Path, VideoContext], ClipTracks]
"""Read the masks in the folder of one video."""


def find_videos(path: Path, is_video: IsVideo) -> tuple[Fit, dict[str, Path]]:
    """Return the folders of masks under a path by name, and how certain they are.

    Names that are a frame number alone are a certain match; numbers with a prefix are found elsewhere, too.
    """
    certain = _mask_folders(path, lambda folder: is_video(folder, NUMBER))
    if path in certain.values():
        return Fit.CERTAIN, certain
    found = _mask_folders(path, lambda folder: is_video(folder, PREFIXED_NUMBER))
    return (Fit.CERTAIN if certain else Fit.POSSIBLE if found else Fit.NONE), found


def holds_tracks(path: Path) -> bool:
    """Return True for an output folder of predict, which has folders of masks beside its tracks.json."""
    return any(path.glob("*tracks.json"))


def _mask_folders(path: Path, is_video: Callable[[Path], bool]) -> dict[str, Path]:
    if not path.is_dir() or holds_tracks(path):
        return {}
    for root in (*(part / size for part in sorted(path.glob("Annotations*")) for size in _SIZES), path):
        if root.is_dir():
            found = {folder.name: folder for folder in visible_folders(root) if is_video(folder)}
            if found:
                return found
    return {path.absolute().name: path} if is_video(path) else {}


def read_videos(
    path: Path, folders: Mapping[str, Path], read_folder: ReadFolder, video: VideoContext | None, format_name: str
) -> dict[str, Clip]:
    """Return a clip for each folder of masks; its key is the folder's name.

    Args:
        path: The data set, for messages.
        folders: The folders by name.
        read_folder: Reads the masks of one folder.
        video: The video of the masks, if it is known; the path must then be its folder or have ``Annotations*``.
        format_name: The format, for the provenance.

    Raises:
        InputError: The path holds folders of which it is unknown whether they are videos or objects, or is damaged.
    """
    children = [folder for folder in folders.values() if folder.parent == path]
    if video is not None and children:
        raise InputError(
            f"{children[0]}: the folder of an object must be named by its id, such as 000; rename it, or pass the "
            "folder of one video"
        )
    clips: list[Clip] = []
    for name, folder in folders.items():
        meta = _find_meta(folder)
        with errors_in(meta.file):
            record = find_record(meta.entry, "")
            key = name if record is None else required(record, "key", str, f"{KEY}.")
        masks = _VideoMasks(folder, meta, read_folder, video, format_name)
        clips.append(Clip(key, masks.tracks, masks.frames, kind_known=record is not None))
    return clips_by_key(clips, path)


@dataclass(frozen=True)
class _Meta:
    """The entry of a video in a meta.json; empty if there is none."""

    file: Path
    entry: Record


def _find_meta(folder: Path) -> _Meta:
    for base in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        path = base / _META
        # Other programs write a meta.json, too: one without "videos" is not YouTube-VOS's.
        if path.is_file() and path.stat().st_size <= MAX_BYTES and all(contains_strings(path, "videos")):
            try:
                document = json.loads(path.read_bytes())
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: not JSON ({error or 'nested too deeply'}); write the file again") from None
            with errors_in(path):
                videos = optional(check_type(document, dict, "its content"), "videos", dict) or {}
                return _Meta(path, optional(videos, folder.name, dict, "videos.") or {})
    return _Meta(folder, {})


@dataclass(frozen=True)
class _VideoMasks:
    """The masks and pictures of one video."""

    folder: Path
    meta: _Meta
    read_folder: ReadFolder
    video: VideoContext | None
    format_name: str

    def tracks(self) -> ClipTracks:
        with errors_in(self.meta.file, f"video {self.folder.name}: "):
            record = find_record(self.meta.entry, "")
            context = self._context(record)
            clip = self.read_folder(self.folder, context)
            if record is None:
                labels = _labels(self.meta.entry)
                named = tuple(replace(track, label=labels.get(track.id)) for track in clip.tracks)
                return unite_visible(replace(clip, tracks=named), self.format_name)
            masks = {
                track.id: {t: mask for t, mask in enumerate(track.visible) if mask is not None and mask.area()}
                for track in clip.tracks
            }
            return build_clip(context.info, record, {stored_kind(record): masks}, {}, (), self.format_name)

    def frames(self) -> Iterator[Frame] | None:
        pictures = self._pictures()
        return None if pictures is None else open_video(pictures).frames()

    def _context(self, record: Record | None) -> VideoContext:
        if record is not None:
            return VideoContext(parse_video(required(record, "video", dict, f"{KEY}.")))
        if self.video is not None:
            return self.video
        if (pictures := self._pictures()) is not None:
            reader = open_video(pictures)
            return VideoContext(reader.info, reader.stems)
        pngs = png_files(self.folder) or [png for part in visible_folders(self.folder) for png in png_files(part)]
        return VideoContext(image_video(pngs[0], self.folder.absolute().name, max(map(frame_number, pngs)) + 1))

    def _pictures(self) -> Path | None:
        """The folder of the video's pictures."""
        parents = (self.folder.parent.parent, self.folder.parent.parent.parent)
        bases = (base for parent in parents for base in sorted(parent.glob("JPEGImages*")))
        folders = (base / size / self.folder.name for base in bases for size in (self.folder.parent.name, *_SIZES))
        return next((found for found in folders if found.is_dir() and any(map(is_image, found.iterdir()))), None)


def image_video(png: Path, name: str | None = None, frames: int = 1) -> VideoInfo:
    """Return a video of the size of a PNG, by default of one frame and with the PNG's name."""
    with image_errors(png), Image.open(png, formats=["PNG"]) as image:
        width, height = image.size
    video = VideoInfo(png.name if name is None else name, height, width, frames, FOLDER_FPS)
    with errors_in(png):
        check_video(video)
    return video


def _labels(entry: Mapping[str, Any]) -> dict[int, str]:
    labels = {}
    for text, record in (optional(entry, "objects", dict) or {}).items():
        label = optional(check_type(record, dict, f"objects.{text}"), "category", str, f"objects.{text}.")
        if label is not None and re.fullmatch("[0-9]{1,10}", text):
            labels[int(text)] = label
    return labels


def write_videos(
    out: Path,
    clips: Iterable[Clip],
    kind: MaskKind,
    number_tracks: Callable[[str, ClipTracks], list[int]],
    write_masks: Callable[[Path, ClipTracks, dict[int, int]], None],
) -> None:
    """Write ``Annotations/<key>/`` and a meta.json, which carries the record of each clip.

    Args:
        out: An existing empty folder.
        clips: The clips.
        kind: The masks to write.
        number_tracks: Returns the numbers of a clip's tracks in the files, from its key and tracks.
        write_masks: Writes the masks of a clip, which are in ``visible``, to a folder; gets the numbers by id.

    Raises:
        InputError: No mask of a clip is known, so that no file would be written for it.
    """
    videos: dict[str, Record] = {}
    for source in clips:
        clip = source.tracks()
        numbers = number_tracks(source.key, clip)
        chosen = replace(clip, tracks=tuple(replace(t, visible=masks_of(t, kind)) for t in clip.tracks))
        if all(mask is None for track in chosen.tracks for mask in track.visible):
            raise InputError(f"clip {source.key}: no {kind} mask is known; leave the clip out")
        folder = out / "Annotations" / source.key
        folder.mkdir(parents=True)
        write_masks(folder, chosen, dict(zip((t.id for t in clip.tracks), numbers, strict=True)))
        videos[source.key] = {
            "objects": {
                str(number): {
                    **({} if track.label is None else {"category": track.label}),
                    "frames": [f"{t:05d}" for t, mask in enumerate(track.visible) if mask is not None and mask.area()],
                }
                for number, track in zip(numbers, chosen.tracks, strict=True)
            },
            KEY: make_record(source.key, clip, numbers, kind),
        }
    (out / _META).write_text(json.dumps({"videos": videos}, allow_nan=False) + "\n", encoding="utf-8")
