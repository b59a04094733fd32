"""Object folders: a folder of black-and-white images for each object of a video. Read and written.

The layout of SA-V's validation and test sets (Ravi et al., 2024; sav_dataset/README.md in facebookresearch/sam2) and of
SAM 2's outputs with a file per object, ``Annotations_6fps/<video>/<object>/00000.png``, or the folder of one video (see
``folder_layout``). Objects are named by ids, or by other names (see ``folder_readers``). What is inside is
decided by ``pixel_values``; objects may overlap. Where an object's folder has no image for a frame, the object is
unknown. The format does not state whether masks are visible or amodal. ``masklets`` reads the
JSON of SA-V's training set.

The writer makes a PNG with values 0 and 255 for each frame in which an object's mask is known, and a meta.json. It
rejects clips without a known mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.masks.folder_layout import find_layout
from vidamodal.formats.masks.video_folders import read_videos, write_videos
from vidamodal.media.mask_images import write_object_masks
from vidamodal.types import ClipTracks, InputError

ID = "sav"
NAME = "a folder for each object"
SIGN = "folders <video>/<object>/00000.png, in Annotations/ or not, or <object>/00000.png"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False


def recognise(path: Path) -> Fit:
    """Match such a data set, or the folder of one of its videos."""
    layout = find_layout(path)
    return layout.fit if layout is not None and layout.content == "objects" else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the folder's name."""
    layout = find_layout(path)
    if layout is None:
        raise InputError(f"{path}: no folder of objects in it; pass one")
    return read_videos(path, layout, video, NAME)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``Annotations/<key>/<id>/00000.png`` and meta.json."""
    write_videos(out, clips, kind, lambda _, clip: [track.id for track in clip.tracks], _write_masks)


def _write_masks(folder: Path, clip: ClipTracks, numbers: Mapping[int, int]) -> None:
    for track in clip.tracks:
        write_object_masks(folder, numbers[track.id], track.visible)
