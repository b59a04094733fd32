"""Samples of the mask and annotation formats, and random damage to them, for the fuzzing of readers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.formats.image_data import gestalt, layered
from tests.formats.mask_data import as_bool_npz, as_grey, as_id_npz, as_object_folders, as_palette, id_maps
from tests.formats.video_data import SCENE, save
from tests.formats.videos.test_kitti_tracking import LABELS
from tests.formats.videos.test_mot import TRUTH
from vidamodal.convert import convert
from vidamodal.media.video_writer import write_mask_video

PIECES = (b"9" * 25, b"-", b"null", b"1e999", b"NaN", b'"', b"<", b"&", b"\x00", b"[[", b"999999999", b"\xff")
NUMBERS = (b"0", b"-1", b"1", b"2147483648", b"99999999", b"1000000", b"1e5", b"3.5", b"", b"12345678901234567890123")


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


FOLDERS: dict[str, Callable[[Path], Path]] = {
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


def written(form: str, name: str) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        convert(save(folder / "source", SCENE), folder / "out", form)
        return (folder / "out" / name if name else folder / "out").read_bytes()

    return content


def without_record(content: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: re.sub(rb"<vidamodal>.*</vidamodal>", b"", content(folder))


ANNOTATIONS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "cvat": ("a.xml", without_record(written("cvat", "clip-0.xml"))),
    "written cvat": ("a.xml", written("cvat", "clip-0.xml")),
    "label-studio": ("a.json", written("label-studio", "")),
    "mots": ("a.txt", written("mots", "clip-0.txt")),
    "mot": ("a.txt", lambda _: TRUTH.encode()),
    "kitti": ("a.txt", lambda _: LABELS.encode()),
}


def damage_text(content: bytes, choose: random.Random) -> bytes:
    """Change one number, or a few other places."""
    found = list(re.finditer(rb"-?[0-9]+", content))
    if choose.random() < 0.7:
        match = choose.choice(found)
        return content[: match.start()] + choose.choice(NUMBERS) + content[match.end() :]
    for _ in range(choose.randint(1, 4)):
        start = choose.randrange(len(content))
        end = start + choose.choice((0, 1, choose.randint(1, 20)))
        content = content[:start] + choose.choice((b"", *PIECES)) + content[end:]
    return content
