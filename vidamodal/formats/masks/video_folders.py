"""Data sets with a folder of masks for each video: what DAVIS, YouTube-VOS and SA-V share; see ``folder_layout``.

``JPEGImages*/<video>/``, with a folder such as ``480p`` in between or not, holds the images. YouTube-VOS's
``meta.json`` beside ``Annotations*`` is optional: ``videos.<video>.objects.<id>.category`` are labels. Without images
or another source of the video's length, a mask's number is its frame and the last mask ends the video.

Written sets carry a clip's record (see ``clip_record``) in ``meta.json`` and round-trip unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidamodal.formats.annotation_files import Record, errors_in
from vidamodal.formats.base import Clip, MaskKind, VideoContext
from vidamodal.formats.build import unite_visible
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.json_layouts import load_json
from vidamodal.formats.masks.folder_layout import SIZES, Content, FolderLayout, with_video
from vidamodal.formats.masks.folder_readers import open_mask_folder
from vidamodal.media.images import is_image
from vidamodal.media.json_records import check_type, contains_strings, optional, required
from vidamodal.media.listing import list_folders
from vidamodal.media.video import open_video
from vidamodal.tracks.parse import MAX_BYTES, parse_video
from vidamodal.types import ClipTracks, Frame, InputError

_META = "meta.json"


def read_videos(path: Path, layout: FolderLayout, video: VideoContext | None, format_name: str) -> dict[str, Clip]:
    """Return a clip for each video; its key is the folder's name.

    Args:
        path: The data set, for messages.
        layout: Its folders.
        video: The video of the masks, if it is known.
        format_name: The format, for the provenance.

    Raises:
        InputError: It is unknown whether folders are videos or objects, or the content is damaged.
    """
    layout = with_video(layout, path, video)
    notes = layout.notes(path)
    clips: list[Clip] = []
    for name, folder in layout.videos.items():
        meta = _find_meta(folder)
        with errors_in(meta.file):
            record = find_record(meta.entry, "")
            key = name if record is None else required(record, "key", str, f"{KEY}.")
        masks = _VideoMasks(folder, layout.content, meta, video, format_name, notes)
        own = masks.with_video if record is None and video is None else None
        clips.append(Clip(key, masks.tracks, masks.frames, kind_known=record is not None, tracks_of=own))
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
            with errors_in(path):
                videos = optional(check_type(load_json(path), dict, "its content"), "videos", dict) or {}
                return _Meta(path, optional(videos, folder.name, dict, "videos.") or {})
    return _Meta(folder, {})


@dataclass(frozen=True)
class _VideoMasks:
    """The masks and frames of one video."""

    folder: Path
    content: Content
    meta: _Meta
    video: VideoContext | None
    format_name: str
    notes: tuple[str, ...]

    def tracks(self) -> ClipTracks:
        with errors_in(self.meta.file, f"video {self.folder.name}: "):
            record = find_record(self.meta.entry, "")
            context = self._context(record)
            clip = open_mask_folder(self.folder, self.content, context).read(context)
            if record is None:
                labels = _labels(self.meta.entry)
                named = tuple(replace(track, label=labels.get(track.id, track.label)) for track in clip.tracks)
                notes = (*self.notes, *clip.notes)
                return unite_visible(replace(clip, tracks=named, notes=notes), self.format_name)
            masks = {
                track.id: {t: mask for t, mask in enumerate(track.visible) if mask is not None and mask.area()}
                for track in clip.tracks
            }
            return build_clip(context.info, record, {stored_kind(record): masks}, {}, (), self.format_name)

    def with_video(self, video: VideoContext) -> ClipTracks:
        """Return the tracks in a video. Frames beside the masks take precedence over the given video."""
        return self.tracks() if self._pictures() is not None else replace(self, video=video).tracks()

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
        return VideoContext(open_mask_folder(self.folder, self.content, None).own_video())

    def _pictures(self) -> Path | None:
        """The folder of the video's frames."""
        parents = (self.folder.parent.parent, self.folder.parent.parent.parent)
        bases = (b for parent in parents for b in list_folders(parent) if b.name.startswith("JPEGImages"))
        folders = (base / size / self.folder.name for base in bases for size in (self.folder.parent.name, *SIZES))
        return next((found for found in folders if found.is_dir() and any(map(is_image, found.iterdir()))), None)


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
