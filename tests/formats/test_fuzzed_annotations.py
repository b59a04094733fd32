"""Files of annotation tools with random damage are read, or refused in one line, in little time and memory."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.formats.samples import ANNOTATIONS, damage_text
from tests.formats.video_data import H, T, W
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.types import InputError, VideoInfo

VIDEO = VideoContext(VideoInfo("v.mp4", H, W, T, 12.0))
FILES = 15
"""Damaged files of each kind; `scripts/dev/torture.py videos` tries many more."""


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
    name, seed_file = ANNOTATIONS[kind]
    content, choose = seed_file(folder), random.Random(seed)
    path = folder / "damaged" / name
    path.parent.mkdir()
    for _ in range(count):
        path.write_bytes(damage_text(content, choose))
        for video in (None, VIDEO):
            start = time.monotonic()
            assert "\n" not in outcome(path, video)
            assert time.monotonic() - start < 20


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    try_files(tmp_path, kind, seed=0, count=FILES)
