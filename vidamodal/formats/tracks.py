"""This project's own layout: tracks.json files and folders of them.

The pictures of a clip are ``<key>.mp4``, a file beside ``<key>.tracks.json`` (or inside ``<key>/``), or a member of the
same shard. Everything is kept as it stands in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from vidamodal.formats import Clip, Kind
from vidamodal.formats._clip_files import NAME as TRACKS
from vidamodal.formats._clip_files import ClipSource, find_clips
from vidamodal.formats._tracks_json import is_tracks, write_tracks
from vidamodal.media.video import open_bytes, open_video
from vidamodal.types import Frame

NAME = "vidamodal"
SIGN = "a tracks.json, or a folder of <key>/tracks.json or <key>.tracks.json"
FORMAT = "tracks"
HOLDS = frozenset({"visible", "amodal", "confidence", "hypotheses", "amodal_full"})
ONE = FILE = False


def recognise(path: Path) -> bool:
    """Whether it is a tracks.json, or a folder with one in it, whatever else is there."""
    if path.is_dir():
        patterns = (TRACKS, f"*.{TRACKS}", f"*/{TRACKS}")
        return any(True for pattern in patterns for _ in path.glob(pattern))
    return is_tracks(path)


def read(path: Path) -> Mapping[str, Clip]:
    """The clips under a path. InputError as from ``find_clips``."""
    return {key: Clip(key, source.read, partial(_frames, key, source)) for key, source in find_clips(path).items()}


def _frames(key: str, source: ClipSource) -> Iterator[Frame] | None:
    if source.member is not None:
        if source.video is None:
            return None
        offset, size = source.video
        with source.path.open("rb") as file:
            file.seek(offset)
            return open_bytes(file.read(size), f"{source.path}:{key}.mp4").frames()
    beside = source.path.with_name(f"{key}.mp4")  # the key of a file comes from its own or its folder's name
    return open_video(beside).frames() if beside.is_file() else None


def write(out: Path, clips: Iterable[Clip], kind: Kind) -> None:
    """Writes ``<key>.tracks.json`` files. The pictures stay where they are."""
    for clip in clips:
        write_tracks(out / f"{clip.key}.{TRACKS}", clip.tracks())
