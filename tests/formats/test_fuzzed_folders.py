"""Folders, arrays, mask videos and archives with random damage are read, or refused in one line, in little memory."""

from __future__ import annotations

import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.image_data import gestalt, layered
from tests.formats.mask_data import (
    VIDEO,
    as_bool_npz,
    as_grey,
    as_id_npz,
    as_object_folders,
    as_palette,
    id_maps,
)
from tests.formats.video_data import SCENE, save
from vidamodal.convert import convert
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.media.video_writer import write_mask_video
from vidamodal.types import InputError

FEW, MANY = 12, 1000
"""Damaged copies of each kind, in the fast and in the slow test."""
_MEMORY = 2**20
"""Largest growth of the memory in KiB."""


def as_npy(path: Path) -> Path:
    np.save(path / "masks.npy", id_maps())
    return path / "masks.npy"


def as_npy_folder(path: Path) -> Path:
    for t, values in enumerate(id_maps()):
        np.save(path / f"{t:05d}.npy", values)
    return path


def as_mask_videos(path: Path) -> Path:
    for number in (1, 2):
        write_mask_video(path / f"{number}.mkv", list(id_maps() == number), 12.0)
    return path


def written_as(form: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        convert(save(path / "source", SCENE), path / "out", form)
        return path / "out"

    return write


def as_layers(path: Path) -> Path:
    layered(path)
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "palette PNGs": as_palette,
    "grey PNGs": as_grey,
    "object folders": as_object_folders,
    "npz of ids": as_id_npz,
    "npz of booleans": as_bool_npz,
    "npy": as_npy,
    "folder of npy": as_npy_folder,
    "mask videos": as_mask_videos,
    "davis": written_as("davis"),
    "sav": written_as("sav"),
    "shards": written_as("shards"),
    "tracks": written_as("tracks"),
    "pix2gestalt": gestalt,
    "layer folders": as_layers,
}


def damage(content: bytes, choose: random.Random) -> bytes:
    """Flip a bit, overwrite a number, cut the end off, or remove or repeat a part."""
    data = bytearray(content)
    place = choose.randrange(min(len(data), choose.choice((32, 256, len(data)))))
    match choose.randrange(5):
        case 0:
            data[place] ^= 1 << choose.randrange(8)
        case 1:
            data[place : place + 4] = choose.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"9999"))
        case 2:
            del data[place:]
        case 3:
            del data[place : place + choose.randrange(1, 60)]
        case _:
            data[place:place] = data[: choose.randrange(1, 60)]
    return bytes(data)


def read(path: Path, video: VideoContext | None) -> int:
    """Read everything and return the number of tracks."""
    return sum(len(clip.tracks().tracks) for clip in find_dataset(path, video=video).clips.values())


def check_damaged(name: str, folder: Path, count: int) -> None:
    """Damage one file of a sample after the other; each copy is read, or refused in one line."""
    (folder / "sample").mkdir()
    root = KINDS[name](folder / "sample")
    files = sorted(path for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file())
    choose, context = random.Random(name), VideoContext(VIDEO)
    assert read(root, None) > 0
    before, refusals = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(count):
        path = choose.choice(files)
        content = path.read_bytes()
        path.write_bytes(damage(content, choose))
        try:
            read(root, choose.choice((context, None)))
        except InputError as error:
            refusals.append(str(error))
        path.write_bytes(content)
    shutil.rmtree(folder / "sample")
    assert refusals and not any("\n" in message for message in refusals)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MEMORY


@pytest.mark.parametrize("name", KINDS)
def test_damaged_folders_are_read_or_refused(name: str, tmp_path: Path) -> None:
    check_damaged(name, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_damaged_folders_are_read_or_refused(name: str, tmp_path: Path) -> None:
    check_damaged(name, tmp_path, MANY)
