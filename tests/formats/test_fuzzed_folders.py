"""Folders, arrays, mask videos and archives with random damage are read, or refused in one line, in little memory."""

from __future__ import annotations

import random
import resource
import shutil
from pathlib import Path

import pytest

from tests.formats.mask_data import VIDEO
from tests.formats.samples import FOLDERS, damage
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.types import InputError

COPIES = 12
"""Damaged copies of each kind; `scripts/dev/torture.py videos` tries many more."""
_MEMORY = 2**20
"""Largest growth of the memory in KiB."""


def read(path: Path, video: VideoContext | None) -> int:
    """Read everything and return the number of tracks."""
    return sum(len(clip.tracks().tracks) for clip in find_dataset(path, video=video).clips.values())


def check_damaged(name: str, folder: Path, count: int) -> None:
    """Damage one file of a sample after the other; each copy is read, or refused in one line."""
    (folder / "sample").mkdir()
    root = FOLDERS[name](folder / "sample")
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


@pytest.mark.parametrize("name", FOLDERS)
def test_damaged_folders_are_read_or_refused(name: str, tmp_path: Path) -> None:
    check_damaged(name, tmp_path, COPIES)
