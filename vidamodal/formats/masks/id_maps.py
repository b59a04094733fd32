"""DAVIS (2016 and 2017) and YouTube-VOS: a folder of palette PNGs a video, whose values are ids. Read, and written.

``Annotations[/480p]/<video>/00000.png``, see ``data.pngs``; 0 is background and 255, beside other ids, void. A PNG
holds one object a pixel. It does not say whether masks are visible or amodal.

Written: a PNG for each frame in which a mask is known, and a meta.json as YouTube-VOS has it, with the rest of each
clip in a key "vidamodal", so that clips read back as they were. Ids that are not all within 1 and 254 are numbered anew
from 1. Refused: masks that overlap, more than 254 objects, a clip without a known mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.masks.read import VOID
from vidamodal.formats.masks.video_folders import mask_folders, numbered_pngs, read_folders, write_folders
from vidamodal.media.mask_images import write_id_map
from vidamodal.types import ClipTracks, InputError

NAME = "DAVIS or YouTube-VOS"
SIGN = "folders <video>/00000.png, in Annotations/ or not"
ID = "davis"
HOLDS = frozenset({"visible", "amodal", "confidence"})
SINGLE_MASK, IS_FILE = True, False


def recognise(path: Path) -> Fit:
    """Whether it is such a data set, or the folder of one of its videos; folders named by numbers alone are SA-V's."""
    found = _folders(path)
    return certain_if(
        bool(found) and (any(path.glob("Annotations*")) or path in found.values() or not all(map(str.isdigit, found)))
    )


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each folder of PNGs; its key is the folder's name."""
    return read_folders(path, _folders(path), NAME)


def _folders(path: Path) -> dict[str, Path]:
    return mask_folders(path, lambda folder: bool(numbered_pngs(folder)))


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes ``Annotations/<key>/00000.png`` and meta.json. InputError on what PNGs of ids cannot hold."""
    write_folders(out, clips, kind, _numbers, _write)


def _numbers(key: str, clip: ClipTracks) -> list[int]:
    ids = [track.id for track in clip.tracks]
    if len(ids) >= VOID:
        raise InputError(f"clip {key}: {len(ids)} objects, palette PNGs hold {VOID - 1}; write --to sav or coco")
    return ids if all(1 <= number < VOID for number in ids) else list(range(1, len(ids) + 1))


def _write(folder: Path, clip: ClipTracks, numbers: Mapping[int, int]) -> None:
    by_number = {number: track for track, number in numbers.items()}
    for t in range(clip.video.frames):
        known = {track.id: mask.decode() for track in clip.tracks if (mask := track.visible[t]) is not None}
        ids = np.zeros((clip.video.height, clip.video.width), dtype=np.uint8)
        for number, inside in known.items():
            if ids[inside].any():
                raise InputError(
                    f"clip {folder.name}: palette PNGs hold one object a pixel, tracks {by_number[ids[inside].max()]} "
                    f"and {number} overlap in frame {t}; write --to sav or coco"
                )
            ids[inside] = numbers[number]
        if known:
            write_id_map(folder / f"{t:05d}.png", ids)
