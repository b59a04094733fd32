"""Search for the clips under a path: tracks.json files, folders of them, and WebDataset shards."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vidamodal.formats.base import Clip
from vidamodal.media.listing import is_foreign, list_folder
from vidamodal.media.video import open_bytes, open_video
from vidamodal.tracks.parse import MAX_BYTES, loads_tracks, read_tracks
from vidamodal.types import ClipTracks, Frame, InputError

FILE_NAME = "tracks.json"
SUFFIX = f".{FILE_NAME}"


@dataclass(frozen=True)
class _Location:
    """The place of one clip's tracks: a file, or ``member`` (offset and size in bytes) of a tar.

    ``video`` is the offset and size of the member ``<key>.mp4`` of the same tar; None if there is none.
    """

    key: str
    path: Path
    member: str | None = None
    offset: int = 0
    size: int = 0
    video: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    def clip(self) -> Clip:
        return Clip(self.key, self.tracks, self.frames, source=str(self))

    def tracks(self) -> ClipTracks:
        if self.member is None:
            return read_tracks(self.path)
        return loads_tracks(self._content(self.offset, self.size), str(self))

    def frames(self) -> Iterator[Frame] | None:
        if self.member is None:
            beside = self.path.with_name(f"{self.key}.mp4")  # a file's key comes from its own or its folder's name
            return open_video(beside).frames() if beside.is_file() else None
        if self.video is None:
            return None
        return open_bytes(self._content(*self.video), f"{self.path}:{self.key}.mp4").frames()

    def _content(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def find_clips(path: Path) -> dict[str, Clip]:
    """Return the clips under a path by key, in the order of their keys.

    Raises:
        InputError: There is none, two have the same key, or a shard is damaged.
    """
    found: dict[str, _Location] = {}
    for location in _locations(path):
        other = found.setdefault(location.key, location)
        if other is not location:
            raise InputError(f"{location}: has the same key {location.key!r} as {other}; keep one of them")
    if not found and (path / FILE_NAME).is_file():  # an output folder of predict
        found[""] = _Location(path.absolute().name, path / FILE_NAME)
    if not found:
        raise InputError(f"{path}: contains no tracks.json; pass one, a folder of <key>/tracks.json, or shards")
    return {location.key: location.clip() for _, location in sorted(found.items())}


def _locations(path: Path) -> Iterator[_Location]:
    if path.is_dir():
        for entry in list_folder(path):
            if entry.is_dir() and (entry / FILE_NAME).is_file():
                yield _Location(entry.name, entry / FILE_NAME)
            elif entry.is_file() and entry.name.endswith(SUFFIX):
                yield _Location(entry.name.removesuffix(SUFFIX), entry)
            elif entry.is_file() and entry.suffix == ".tar":
                yield from _members(entry)
    elif tarfile.is_tarfile(path):
        yield from _members(path)
    elif path.name == FILE_NAME:
        yield _Location(path.absolute().parent.name, path)
    else:
        yield _Location(path.name.removesuffix(".json").removesuffix(".tracks"), path)


def _members(path: Path) -> Iterator[_Location]:
    """The clips in a shard. Only headers are read and nothing is unpacked: the name of a member is never a path."""
    tracks: dict[str, _Location] = {}
    videos: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(path, "r:") as shard, path.open("rb") as file:
            for member in shard:
                name = member.name.removeprefix("./")
                is_left_behind = any(is_foreign(part) for part in name.split("/") if part != "..")
                if not member.isreg() or not name.endswith((SUFFIX, ".mp4")) or is_left_behind:
                    continue
                key = name.removesuffix(SUFFIX).removesuffix(".mp4")
                place = _Location(key, path, name, member.offset_data, member.size)
                if member.issparse() or member.size > MAX_BYTES:
                    raise InputError(
                        f"{place}: sparse file or larger than {MAX_BYTES >> 20} MiB; write the shard again"
                    )
                if name.endswith(".mp4"):
                    videos[key] = place.offset, place.size
                elif key in tracks:
                    raise InputError(f"{place}: this key appears twice in the shard; keep one of them")
                else:
                    tracks[key] = place
            file.seek(shard.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes damage for the end
                raise tarfile.ReadError(f"cut off or damaged at byte {shard.offset}")
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a whole, uncompressed tar ({error}); copy or write the shard again") from None
    for key, place in tracks.items():
        yield replace(place, video=videos.get(key))
