"""tracks.json: single files and folders of ``<key>/tracks.json`` or ``<key>.tracks.json``. Read and written.

The frames of a clip are ``<key>.mp4`` beside ``<key>.tracks.json`` or inside ``<key>/``. Reading changes nothing. Only
the tracks are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.tracks.locate import FILE_NAME, SUFFIX, find_clips
from vidamodal.media.listing import list_folder
from vidamodal.tracks.parse import is_tracks
from vidamodal.tracks.write import write_tracks

ID = "tracks"
NAME = "vidamodal"
SIGN = "a tracks.json, or a folder of <key>/tracks.json or <key>.tracks.json"
HOLDS = FRAME_VALUES | {"visible", "amodal", "hypotheses", "amodal_full"}
SINGLE_MASK = IS_FILE = False


def recognise(path: Path) -> Fit:
    """Match a tracks.json of any name, or a folder with one in it, whatever else is there."""
    if path.is_dir():
        return certain_if(
            (path / FILE_NAME).is_file()
            or any(entry.name.endswith(SUFFIX) or (entry / FILE_NAME).is_file() for entry in list_folder(path))
        )
    return certain_if(is_tracks(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the clips under a path; shards beside the files are read, too."""
    return find_clips(path)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``<key>.tracks.json`` files."""
    for clip in clips:
        write_tracks(out / f"{clip.key}{SUFFIX}", clip.tracks())
