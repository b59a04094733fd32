"""SA-V (Ravi et al., 2024), validation and test: a folder of PNGs for each object of a video. Read, and written.

``Annotations_6fps/<video>/<object>/00000.png``, the object as a number (000), see sav_dataset/README.md in Meta's sam2
and ``data.pngs``; not 0 is inside, and objects may overlap. The annotations are of every fourth frame. It does not say
whether masks are visible or amodal. The training set's JSON is not read.

Written: a PNG for each frame in which an object's mask is known, 0 and 255, and a meta.json as YouTube-VOS has it, with
the rest of each clip in a key "vidamodal", so that clips read back as they were. Refused: a clip without a known mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.masks.video_folders import mask_folders, numbered_pngs, read_folders, write_folders
from vidamodal.media.mask_images import write_object_masks
from vidamodal.types import ClipTracks

NAME = "SA-V"
SIGN = "folders <video>/<object>/00000.png, in Annotations/ or not, or <object>/00000.png"
ID = "sav"
HOLDS = frozenset({"visible", "amodal", "confidence"})
SINGLE_MASK, IS_FILE = True, False


def recognise(path: Path) -> Fit:
    """Whether it is such a data set, or the folder of one of its videos."""
    return certain_if(_folders(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each video; its key is the folder's name."""
    return read_folders(path, _folders(path), NAME)


def _folders(path: Path) -> dict[str, Path]:
    return mask_folders(path, _is_video)


def _is_video(folder: Path) -> bool:
    """Whether its folders are named by numbers, and PNGs in one of them, too."""
    parts = [part for part in folder.iterdir() if part.is_dir() and not part.name.startswith(".")]
    named = bool(parts) and all(re.fullmatch("[0-9]{1,10}", part.name) for part in parts)
    return named and any(numbered_pngs(part) for part in parts)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes ``Annotations/<key>/<id>/00000.png`` and meta.json. InputError if no mask of a clip is known."""
    write_folders(out, clips, kind, lambda _, clip: [track.id for track in clip.tracks], _write)


def _write(folder: Path, clip: ClipTracks, numbers: Mapping[int, int]) -> None:
    for track in clip.tracks:
        write_object_masks(folder, numbers[track.id], track.visible)
