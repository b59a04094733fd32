"""Shards: tars of scenes, with the same bytes for the same scenes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from dataset_gen.scene_files import MEMBERS
from vidamodal.media.files import atomic_file
from vidamodal.tracks import loads_tracks
from vidamodal.types import ClipTracks, InputError
from vidamodal.worlds.spec import SceneSpec


@dataclass(frozen=True)
class ShardScene:
    """A scene read from a shard."""

    key: str
    spec: SceneSpec
    clip: ClipTracks
    """Ground-truth tracks."""
    members: Mapping[str, bytes]
    """Contents of the scene's files, by the part of the name after the key (``MEMBERS``)."""


def write_shard(path: Path, folders: Iterable[Path]) -> None:
    """Write a tar of scene folders in the given order, with constant headers.

    Args:
        path: The tar to write.
        folders: Folders with the files of one scene each, named by the scene's key.
    """
    with atomic_file(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in folders:
            for file in (folder / f"{folder.name}.{member}" for member in MEMBERS):
                if file.exists() or not file.name.endswith(MEMBERS[-1]):
                    content = file.read_bytes()
                    info = tarfile.TarInfo(file.name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def shard_keys(path: Path) -> list[str]:
    """Return the keys of a shard's scenes in order; only the headers are read."""
    with _open_shard(path) as tar:
        return [key for key, _ in groupby(tar, _key)]


def read_shard(path: Path, keys: Container[str] | None = None) -> Iterator[ShardScene]:
    """Read the scenes of a shard.

    Args:
        path: A tar that ``write_shard`` wrote.
        keys: Keys of the scenes to read; None for all.

    Raises:
        InputError: The tar is damaged or a scene lacks a file.
    """
    with _open_shard(path) as tar:
        for key, infos in groupby(tar, _key):
            if keys is None or key in keys:
                contents = {info.name.removeprefix(f"{key}."): _content(tar, info) for info in infos}
                if missing := set(MEMBERS[:-1]) - contents.keys():
                    raise InputError(f"{path}: scene {key} has no {min(missing)}. Generate the data set again.")
                yield ShardScene(
                    key=key,
                    spec=SceneSpec.from_json(json.loads(contents["scene.json"])),
                    clip=loads_tracks(contents["tracks.json"].decode(), f"{path.name}: {key}.tracks.json"),
                    members=contents,
                )


@contextmanager
def _open_shard(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a complete, uncompressed tar ({error}). Copy or generate it again.") from None


def _key(info: tarfile.TarInfo) -> str:
    return info.name.partition(".")[0]


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    assert file is not None  # write_shard writes regular files only
    return file.read()
