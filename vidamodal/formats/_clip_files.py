"""Where clips' tracks stand: tracks.json files, folders of them, and WebDataset shards, found but not yet read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vidamodal.formats._tracks_json import MAX_BYTES, loads_tracks, read_tracks
from vidamodal.types import ClipTracks, InputError

NAME = "tracks.json"
_SUFFIX, _VIDEO = ".tracks.json", ".mp4"


@dataclass(frozen=True)
class ClipSource:
    """Where one clip's tracks stand: a file, or ``member`` (offset and size in bytes) of a tar.

    ``video`` is where the member ``<key>.mp4`` of the same tar stands, likewise; None if it has none.
    """

    path: Path
    member: str | None = None
    offset: int = 0
    size: int = 0
    video: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    def read(self) -> ClipTracks:
        """Reads and checks the clip. InputError if it is damaged."""
        if self.member is None:
            return read_tracks(self.path)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        try:
            return loads_tracks(content.decode("utf-8-sig"), str(self))
        except UnicodeDecodeError as error:
            raise InputError(f"{self}: not UTF-8 text (byte {error.start}); give a tracks.json") from None


def find_clips(path: Path) -> dict[str, ClipSource]:
    """The clips under a path by key, in order of their keys. InputError if there is none, or if a key stands twice."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a tracks.json, a folder of them, or shards")
    clips: dict[str, ClipSource] = {}
    for key, source in _clips(path):
        if key in clips:
            raise InputError(f"{source}: a second clip with the key {key!r}, after {clips[key]}; keep one of them")
        clips[key] = source
    if not clips and (path / NAME).is_file():  # what predict writes
        clips[path.absolute().name] = ClipSource(path / NAME)
    if not clips:
        raise InputError(f"{path}: no tracks.json in it; give one, a folder of <key>/tracks.json, or shards")
    return dict(sorted(clips.items()))


def _clips(path: Path) -> Iterator[tuple[str, ClipSource]]:
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if entry.is_dir() and (entry / NAME).is_file():
                yield entry.name, ClipSource(entry / NAME)
            elif entry.is_file() and entry.name.endswith(_SUFFIX):
                yield entry.name.removesuffix(_SUFFIX), ClipSource(entry)
            elif entry.is_file() and entry.suffix == ".tar":
                yield from _members(entry)
    elif tarfile.is_tarfile(path):
        yield from _members(path)
    elif path.name == NAME:
        yield path.absolute().parent.name, ClipSource(path)
    else:
        yield path.name.removesuffix(".json").removesuffix(".tracks"), ClipSource(path)


def _members(path: Path) -> Iterator[tuple[str, ClipSource]]:
    """The clips in a shard. Only headers are read, and nothing is unpacked: a member's name is a key, never a path."""
    sources: dict[str, ClipSource] = {}
    videos: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(path, "r:") as shard, path.open("rb") as file:
            for member in shard:
                name = member.name.removeprefix("./")
                if not member.isreg() or not name.endswith((_SUFFIX, _VIDEO)):
                    continue
                source = ClipSource(path, name, member.offset_data, member.size)
                if member.issparse() or member.size > MAX_BYTES:
                    raise InputError(f"{source}: sparse, or larger than {MAX_BYTES >> 20} MiB; write the shard again")
                if name.endswith(_VIDEO):
                    videos[name.removesuffix(_VIDEO)] = source.offset, source.size
                elif name in sources:
                    raise InputError(f"{source}: stands twice in this shard; keep one of them")
                else:
                    sources[name] = source
            file.seek(shard.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes damage for the end
                raise tarfile.ReadError(f"cut off or damaged at byte {shard.offset}")
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a whole, uncompressed tar ({error}); copy or write the shard again") from None
    for name, source in sources.items():
        key = name.removesuffix(_SUFFIX)
        yield key, replace(source, video=videos.get(key))
