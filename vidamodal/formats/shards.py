"""WebDataset shards of this project's tracks, as ``dataset_gen`` writes them: a tar of ``<key>.tracks.json`` members.

The pictures of a clip are the member ``<key>.mp4``. Written are the tracks alone, 16 clips a shard, in the order in
which they come and with constant headers; the pictures stay where they are.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from vidamodal.formats import Clip, Kind, tracks
from vidamodal.formats._clip_files import NAME as TRACKS
from vidamodal.formats._tracks_json import dumps_tracks

NAME = "WebDataset shards"
SIGN = "a .tar of <key>.tracks.json and <key>.mp4, or a folder of them"
FORMAT = "shards"
HOLDS = tracks.HOLDS
ONE = FILE = False
SHARD_CLIPS = 16


def recognise(path: Path) -> bool:
    """Whether it is a tar, or a folder with one in it and no tracks.json beside it."""
    if path.is_dir():
        return any(True for _ in path.glob("*.tar")) and not tracks.recognise(path)
    return tarfile.is_tarfile(path)


def read(path: Path) -> Mapping[str, Clip]:
    """The clips under a path. InputError as from ``find_clips``."""
    return tracks.read(path)


def write(out: Path, clips: Iterable[Clip], kind: Kind) -> None:
    """Writes ``clips-000000.tar`` and so on."""
    waiting = iter(clips)
    for number, group in enumerate(iter(lambda: list(islice(waiting, SHARD_CLIPS)), [])):
        with tarfile.open(out / f"clips-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for clip in group:
                content = dumps_tracks(clip.tracks()).encode()
                member = tarfile.TarInfo(f"{clip.key}.{TRACKS}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
