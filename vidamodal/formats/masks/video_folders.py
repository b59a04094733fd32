"""Data sets with a folder of PNGs a video: what the layouts of DAVIS and SA-V share.

``Annotations*/<video>/`` hold the masks and ``JPEGImages*/<video>/`` the pictures, both with a folder ``480p`` or
``Full-Resolution`` in between or not; a folder of videos' folders of masks, or the folder of one video, is read, too.
Beside ``Annotations*`` stands YouTube-VOS's ``meta.json``, if there is one: ``videos.<video>.objects.<id>.category``.
Without pictures, a PNG's number is its frame, and the last PNG the end of the video.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vidamodal.formats.annotation_files import Record
from vidamodal.formats.base import Clip, MaskKind
from vidamodal.formats.build import unite_visible
from vidamodal.formats.clip_record import KEY, assembled, keyed, kind_of, masks_of, naming, packed, record_of
from vidamodal.formats.masks.read import read_masks
from vidamodal.formats.tracks.check import check_video
from vidamodal.formats.tracks.parse import MAX_BYTES, parse_video
from vidamodal.media.images import image_errors, is_image, natural_key
from vidamodal.media.json_records import check_type, optional, required
from vidamodal.media.video import FOLDER_FPS, open_video
from vidamodal.types import ClipTracks, Frame, InputError, VideoInfo

_SIZES = ("480p", "Full-Resolution", "1080p", "")
_META = "meta.json"

IsVideo = Callable[[Path], bool]
"""Whether a folder holds the masks of one video."""


# Reading


def mask_folders(path: Path, is_video: IsVideo) -> dict[str, Path]:
    """The folders of masks under a path by name; none if it is not of this kind."""
    if not path.is_dir() or any(path.glob("*tracks.json")):  # what predict writes has folders of masks, too
        return {}
    for root in (*(part / size for part in sorted(path.glob("Annotations*")) for size in _SIZES), path):
        if root.is_dir():
            found = {folder.name: folder for folder in _folders(root) if is_video(folder)}
            if found:
                return found
    return {path.absolute().name: path} if is_video(path) else {}


def numbered_pngs(folder: Path) -> list[Path]:
    """The PNGs of a folder that are named by a number alone."""
    pngs = (file for file in folder.iterdir() if re.fullmatch("[0-9]{1,18}[.]png", file.name) and file.is_file())
    return sorted(pngs, key=lambda file: natural_key(file.stem))


def read_folders(path: Path, folders: Mapping[str, Path], layout: str) -> dict[str, Clip]:
    """A clip for each folder of masks; its key is the folder's name."""
    clips: list[Clip] = []
    for name, folder in folders.items():
        meta = _meta(folder)
        with naming(meta[0]):
            record = record_of(meta[1], "")
            key = name if record is None else required(record, "key", str, f"{KEY}.")
        frames = _picture_folder(folder)
        tracks = partial(_tracks, folder, frames, meta, layout)
        clips.append(Clip(key, tracks, partial(_frames, frames), kind_known=record is not None))
    return keyed(clips, path)


def _folders(path: Path) -> list[Path]:
    entries = (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def _meta(folder: Path) -> tuple[Path, Record]:
    """What a meta.json tells of a video, and the file's path; nothing if there is none."""
    for base in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        path = base / _META
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            try:
                document = json.loads(path.read_bytes())
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: not JSON ({error or 'nested too deeply'}); give the file again") from None
            with naming(path):
                videos = optional(check_type(document, dict, "its content"), "videos", dict) or {}
                return path, optional(videos, folder.name, dict, "videos.") or {}
    return folder, {}


def _picture_folder(folder: Path) -> Path | None:
    """The folder of a video's pictures."""
    parents = (folder.parent.parent, folder.parent.parent.parent)
    bases = (base for parent in parents for base in sorted(parent.glob("JPEGImages*")))
    candidates = (base / size / folder.name for base in bases for size in (folder.parent.name, *_SIZES))
    return next((found for found in candidates if found.is_dir() and any(map(is_image, found.iterdir()))), None)


def _frames(folder: Path | None) -> Iterator[Frame] | None:
    return None if folder is None else open_video(folder).frames()


def _tracks(folder: Path, frames: Path | None, meta: tuple[Path, Record], layout: str) -> ClipTracks:
    file, about = meta
    with naming(file, f"video {folder.name}: "):
        record = record_of(about, "")
        if record is not None:
            video, stems = parse_video(required(record, "video", dict, f"{KEY}.")), None
        elif frames is not None:
            reader = open_video(frames)
            video, stems = reader.info, reader.stems
        else:
            video, stems = _video(folder), None
        clip = read_masks(folder, video, stems)
        if record is None:
            labels = _labels(about)
            named = tuple(replace(track, label=labels.get(track.id)) for track in clip.tracks)
            return unite_visible(replace(clip, tracks=named), layout)
        seen = {
            track.id: {t: mask for t, mask in enumerate(track.visible) if mask is not None and mask.area()}
            for track in clip.tracks
        }
        return assembled(video, record, {kind_of(record): seen}, {}, (), layout)


def _video(folder: Path) -> VideoInfo:
    """Size and length by the masks alone."""
    pngs = numbered_pngs(folder) or [png for part in _folders(folder) for png in numbered_pngs(part)]
    with image_errors(pngs[0]), Image.open(pngs[0], formats=["PNG"]) as image:
        width, height = image.size
    last = max(int(png.stem) for png in pngs)
    video = VideoInfo(folder.absolute().name, height, width, last + 1, FOLDER_FPS)
    check_video(video)
    return video


def _labels(about: Mapping[str, Any]) -> dict[int, str]:
    objects = optional(about, "objects", dict) or {}
    found = {}
    for text, record in objects.items():
        label = optional(check_type(record, dict, f"objects.{text}"), "category", str, f"objects.{text}.")
        if label is not None and re.fullmatch("[0-9]{1,10}", text):
            found[int(text)] = label
    return found


# Writing

WriteMasks = Callable[[Path, ClipTracks, dict[int, int]], None]
"""Writes the masks of a clip with one mask an object, which stands in ``visible``; the numbers of its tracks by id."""


def write_folders(
    out: Path, clips: Iterable[Clip], kind: MaskKind, numbers: Callable[[str, ClipTracks], list[int]], masks: WriteMasks
) -> None:
    """Writes ``Annotations/<key>/`` and a meta.json, which carries the rest of each clip.

    InputError, beside those of ``numbers`` and ``masks``, if no mask of a clip is known: no file would tell of it.
    """
    videos: dict[str, Record] = {}
    for source in clips:
        clip = source.tracks()
        of_file = numbers(source.key, clip)
        shown = replace(clip, tracks=tuple(replace(t, visible=masks_of(t, kind)) for t in clip.tracks))
        if all(mask is None for track in shown.tracks for mask in track.visible):
            raise InputError(f"clip {source.key}: no {kind} mask is known; leave the clip out")
        folder = out / "Annotations" / source.key
        folder.mkdir(parents=True)
        masks(folder, shown, dict(zip((t.id for t in clip.tracks), of_file, strict=True)))
        videos[source.key] = {
            "objects": {
                str(number): {
                    **({} if track.label is None else {"category": track.label}),
                    "frames": [f"{t:05d}" for t, mask in enumerate(track.visible) if mask is not None and mask.area()],
                }
                for number, track in zip(of_file, shown.tracks, strict=True)
            },
            KEY: packed(source.key, clip, of_file, kind),
        }
    text = json.dumps({"videos": videos}, allow_nan=False)
    (out / _META).write_text(text + "\n", encoding="utf-8")
