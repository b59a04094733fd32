"""Files of annotation tools with random damage are read, or refused in one line, in little time and memory."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.formats.video_data import SCENE, H, T, W, save
from tests.formats.videos.test_kitti_tracking import LABELS
from tests.formats.videos.test_mot import TRUTH
from vidamodal.convert import convert
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.types import InputError, VideoInfo

VIDEO = VideoContext(VideoInfo("v.mp4", H, W, T, 12.0))
FILES = 15
"""Damaged files of each kind; the slow test tries many more."""
PIECES = (b"9" * 25, b"-", b"null", b"1e999", b"NaN", b'"', b"<", b"&", b"\x00", b"[[", b"999999999", b"\xff")
NUMBERS = (b"0", b"-1", b"1", b"2147483648", b"99999999", b"1000000", b"1e5", b"3.5", b"", b"12345678901234567890123")


def written(form: str, name: str) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        convert(save(folder / "source", SCENE), folder / "out", form)
        return (folder / "out" / name if name else folder / "out").read_bytes()

    return content


def without_record(content: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: re.sub(rb"<vidamodal>.*</vidamodal>", b"", content(folder))


KINDS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "cvat": ("a.xml", without_record(written("cvat", "clip-0.xml"))),
    "written cvat": ("a.xml", written("cvat", "clip-0.xml")),
    "label-studio": ("a.json", written("label-studio", "")),
    "mots": ("a.txt", written("mots", "clip-0.txt")),
    "mot": ("a.txt", lambda _: TRUTH.encode()),
    "kitti": ("a.txt", lambda _: LABELS.encode()),
}


def damaged(content: bytes, choose: random.Random) -> bytes:
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


def outcome(path: Path, video: VideoContext | None) -> str:
    """Read everything and return the refusal; other exceptions are failures."""
    try:
        for clip in find_dataset(path, video=video).clips.values():
            clip.tracks()
            list(clip.frames() or ())
    except InputError as error:
        return str(error)
    return ""


def try_files(folder: Path, kind: str, seed: int, count: int) -> None:
    name, seed_file = KINDS[kind]
    content, choose = seed_file(folder), random.Random(seed)
    path = folder / "damaged" / name
    path.parent.mkdir()
    for _ in range(count):
        path.write_bytes(damaged(content, choose))
        for video in (None, VIDEO):
            start = time.monotonic()
            assert "\n" not in outcome(path, video)
            assert time.monotonic() - start < 20


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    try_files(tmp_path, kind, seed=0, count=FILES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    try_files(tmp_path, kind, seed=1, count=1000)
