"""PNG object folders: a folder of black-and-white PNGs for each object of a video, named by its id. Read and written.

The layout of SA-V's validation and test sets (Ravi et al., 2024; sav_dataset/README.md in facebookresearch/sam2),
``Annotations_6fps/<video>/<object>/00000.png`` (see ``video_folders``), or the folder of one video. Names of PNGs may
have a prefix, as in frame_00012.png. Values other than 0 are inside, and objects may overlap. A frame counts as
annotated if any object has a PNG for it. The format does not state whether masks are visible or amodal. The JSON of
SA-V's training set is not read.

The writer makes a PNG with values 0 and 255 for each frame in which an object's mask is known, and a meta.json. It
rejects clips without a known mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.build import MaskCollector
from vidamodal.formats.masks.frame_files import NUMBER, by_frame, png_files, visible_folders
from vidamodal.formats.masks.video_folders import find_videos, read_videos, write_videos
from vidamodal.media.mask_images import write_object_masks
from vidamodal.media.pixel_values import read_object_masks
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError

ID = "sav"
NAME = "SA-V"
SIGN = "folders <video>/<object>/00000.png, in Annotations/ or not, or <object>/00000.png"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False
_OBJECT = re.compile("[0-9]{1,10}")


def recognise(path: Path) -> Fit:
    """Match such a data set, or the folder of one of its videos."""
    return find_videos(path, _is_video)[0]


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the folder's name."""
    return read_videos(path, find_videos(path, _is_video)[1], _read_folder, video, NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``Annotations/<key>/<id>/00000.png`` and meta.json."""
    write_videos(out, clips, kind, lambda _, clip: [track.id for track in clip.tracks], _write_masks)


def _is_video(folder: Path, pattern: re.Pattern[str]) -> bool:
    """True if folders named by ids hold PNGs; under the strict pattern, no folder may have another name."""
    folders = visible_folders(folder)
    objects = [entry for entry in folders if _OBJECT.fullmatch(entry.name)]
    return (len(objects) == len(folders) or pattern is not NUMBER) and any(png_files(e, pattern) for e in objects)


def _read_folder(folder: Path, video: VideoContext) -> ClipTracks:
    if png_files(folder):
        raise InputError(
            f"{folder}: contains both PNGs and folders ({visible_folders(folder)[0].name}); pass one or the other"
        )
    names: dict[int, str] = {}
    for entry in visible_folders(folder):
        if not _OBJECT.fullmatch(entry.name) or int(entry.name) > MAX_TRACK_ID:
            raise InputError(f"{entry}: the folder of an object must be named by its id, such as 000; rename it")
        number = int(entry.name)
        if number in names:
            raise InputError(f"{entry}: {names[number]} stands for the same id; give every object a different one")
        names[number] = entry.name
    collector, notes = MaskCollector(video.info, names), list[str]()
    for number, name in names.items():
        files = by_frame(folder / name, png_files(folder / name), video)
        masks = read_object_masks(files, video.info, folder / name)
        notes += masks.notes
        for frame, mask in masks.masks:
            collector.add(number, frame, mask)
    return replace(collector.clip(), notes=tuple(notes))


def _write_masks(folder: Path, clip: ClipTracks, numbers: Mapping[int, int]) -> None:
    for track in clip.tracks:
        write_object_masks(folder, numbers[track.id], track.visible)
