"""PNG id maps: a folder of palette or grey PNGs per video, whose pixel values are ids. Read and written.

The layout of DAVIS (2016 and 2017) and YouTube-VOS, ``Annotations[/480p]/<video>/00000.png`` (see ``video_folders``),
the folder of one video, or the single PNG of an image. Names may have a prefix, as in frame_00012.png. What the values
mean is decided by ``pixel_values``. A pixel belongs to one object. The format does not state whether masks are visible
or amodal.

The writer makes a PNG for each frame in which a mask is known, and a meta.json. If ids are not all from 1 to 254, they
are renumbered from 1. It rejects masks that overlap, more than 254 objects, and clips without a known mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import clip_from_id_maps
from vidamodal.formats.masks.frame_files import PREFIXED_NUMBER, by_frame, png_files, visible_folders
from vidamodal.formats.masks.video_folders import find_videos, holds_tracks, image_video, read_videos, write_videos
from vidamodal.media.mask_images import write_id_map
from vidamodal.media.pixel_values import VOID, read_id_maps
from vidamodal.types import ClipTracks, InputError

ID = "davis"
NAME = "DAVIS or YouTube-VOS"
SIGN = "folders <video>/00000.png, in Annotations/ or not, or one PNG"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False


def recognise(path: Path) -> Fit:
    """Match such a data set, the folder of one video, or a PNG; folders with only numbers for names are SA-V's."""
    return _find(path)[0]


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each folder of PNGs; its key is the folder's name."""
    if path.is_file():
        return {path.stem: Clip(path.stem, partial(_read_image, path, video), lambda: None, kind_known=False)}
    folders = _find(path)[1]
    children = [name for name, folder in folders.items() if folder.parent == path]
    if children and png_files(path, PREFIXED_NUMBER):
        raise InputError(f"{path}: contains both PNGs and folders ({children[0]}); pass one or the other")
    return read_videos(path, folders, _read_folder, video, NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``Annotations/<key>/00000.png`` and meta.json."""
    write_videos(out, clips, kind, _numbers, _write_masks)


def _find(path: Path) -> tuple[Fit, Mapping[str, Path]]:
    """The folders of PNGs under a path, by name."""
    if path.is_file():
        with path.open("rb") as file:
            return (Fit.POSSIBLE if file.read(8) == b"\x89PNG\r\n\x1a\n" else Fit.NONE), {}
    fit, found = find_videos(path, lambda folder, pattern: bool(png_files(folder, pattern)))
    is_data_set = any(path.glob("Annotations*")) or path in found.values()
    if found and (is_data_set or not all(map(str.isdigit, found))):
        return fit, found
    if found or holds_tracks(path) or not png_files(path):
        return Fit.NONE, {}
    return Fit.POSSIBLE, {path.absolute().name: path}


def _read_folder(folder: Path, video: VideoContext) -> ClipTracks:
    pngs, folders = png_files(folder), visible_folders(folder)
    if folders:
        raise InputError(f"{folder}: contains both PNGs and folders ({folders[0].name}); pass one or the other")
    frames = by_frame(folder, pngs, video)
    ids = read_id_maps(frames, video.info, folder)
    return replace(clip_from_id_maps(video.info, ids.maps), notes=ids.notes)


def _read_image(path: Path, video: VideoContext | None) -> ClipTracks:
    info = image_video(path) if video is None else video.info
    if info.frames > 1:
        raise InputError(
            f"{path}: one PNG for a video of {info.frames} frames; pass a folder with a PNG for each frame"
        )
    ids = read_id_maps({0: path}, info, path)
    return replace(clip_from_id_maps(info, ids.maps), notes=ids.notes)


def _numbers(key: str, clip: ClipTracks) -> list[int]:
    ids = [track.id for track in clip.tracks]
    if len(ids) >= VOID:
        raise InputError(
            f"clip {key}: {len(ids)} objects, but palette PNGs hold at most {VOID - 1}; choose the format sav or coco"
        )
    return ids if all(1 <= number < VOID for number in ids) else list(range(1, len(ids) + 1))


def _write_masks(folder: Path, clip: ClipTracks, numbers: Mapping[int, int]) -> None:
    by_number = {number: track for track, number in numbers.items()}
    for t in range(clip.video.frames):
        known = {track.id: mask.decode() for track in clip.tracks if (mask := track.visible[t]) is not None}
        ids = np.zeros((clip.video.height, clip.video.width), dtype=np.uint8)
        for number, inside in known.items():
            if ids[inside].any():
                raise InputError(
                    f"clip {folder.name}: palette PNGs hold one object per pixel, but tracks "
                    f"{by_number[ids[inside].max()]} and {number} overlap in frame {t}; choose the format sav or coco"
                )
            ids[inside] = numbers[number]
        if known:
            write_id_map(folder / f"{t:05d}.png", ids)
