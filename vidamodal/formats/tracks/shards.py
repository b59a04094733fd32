"""WebDataset shards, as ``dataset_gen`` writes them: tars of ``<key>.tracks.json`` and ``<key>.mp4``. Read and written.

Only the tracks are written: 16 clips per shard, in their order and with constant headers.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.tracks import tracks_files
from vidamodal.formats.tracks.locate import SUFFIX, find_clips
from vidamodal.media.listing import list_folder
from vidamodal.tracks.write import dumps_tracks

ID = "shards"
NAME = "WebDataset shards"
SIGN = "a .tar of <key>.tracks.json and <key>.mp4, or a folder of them"
HOLDS = tracks_files.HOLDS
SINGLE_MASK = IS_FILE = False
SHARD_CLIPS = 16


def recognise(path: Path) -> Fit:
    """Match a tar, or a folder with one in it and no tracks.json beside it."""
    if path.is_dir():
        return certain_if(
            any(entry.suffix == ".tar" for entry in list_folder(path)) and not tracks_files.recognise(path)
        )
    return certain_if(tarfile.is_tarfile(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the clips of all shards under a path; nothing is unpacked."""
    return find_clips(path)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write ``clips-000000.tar`` and so on."""
    waiting = iter(clips)
    for number, group in enumerate(iter(lambda: list(islice(waiting, SHARD_CLIPS)), [])):
        with tarfile.open(out / f"clips-{number:06d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for clip in group:
                content = dumps_tracks(clip.tracks()).encode()
                member = tarfile.TarInfo(f"{clip.key}{SUFFIX}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
