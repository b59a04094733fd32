"""Id maps: a folder of palette or grey images per video, whose pixel values are ids. Read and written.

The layout of DAVIS (2016 and 2017) and YouTube-VOS, ``Annotations[/480p]/<video>/00000.png``, of the outputs of SAM 2,
Cutie, XMem and DEVA, the folder of one video (see ``folder_layout``), or a single image. Names hold the number or the
name of a frame (see ``frame_files``). What the values mean is decided by ``pixel_values``. A pixel belongs to one
object. If each image of a sparse set lists only objects that are new there, as in YouTube-VOS's validation set, the
others are unknown. The format does not state whether masks are visible or amodal.

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
from vidamodal.formats.masks.folder_layout import find_layout, image_video
from vidamodal.formats.masks.frame_files import frame_of_single_file, single_frame_note
from vidamodal.formats.masks.video_folders import read_videos, write_videos
from vidamodal.media.mask_images import write_id_map
from vidamodal.media.pixel_values import VOID, read_id_maps
from vidamodal.types import ClipTracks, InputError

ID = "davis"
NAME = "a folder of id maps"
SIGN = "folders <video>/00000.png, in Annotations/ or not, or one PNG"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG files."""


def recognise(path: Path) -> Fit:
    """Match such a data set, the folder of one video, or an image; folders of objects are SA-V's."""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(12)
        is_webp = head.startswith(b"RIFF") and head.endswith(b"WEBP")
        return Fit.POSSIBLE if head.startswith(_SIGNATURES) or is_webp else Fit.NONE
    layout = find_layout(path)
    return layout.fit if layout is not None and layout.content == "maps" else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each folder of masks; its key is the folder's name."""
    if path.is_file():
        return {path.stem: Clip(path.stem, partial(_read_image, path, video), lambda: None, kind_known=False)}
    layout = find_layout(path)
    if layout is None:
        raise InputError(f"{path}: no folder of masks in it; pass one")
    return read_videos(path, layout, video, NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``Annotations/<key>/00000.png`` and meta.json."""
    write_videos(out, clips, kind, _numbers, _write_masks)


def _read_image(path: Path, video: VideoContext | None) -> ClipTracks:
    video = VideoContext(image_video(path)) if video is None else video
    frame = frame_of_single_file(path, video)
    maps = read_id_maps({frame: path}, video.info, path)
    clip = clip_from_id_maps(video.info, maps.maps, path.name, notes=maps.notes)
    note = f"{path.name}: {single_frame_note(frame, video.info.frames)}"
    return replace(clip, notes=(note, *clip.notes)) if video.info.frames > 1 else clip


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
