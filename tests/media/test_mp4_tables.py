"""Tests of the sample tables of mp4 files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.media.helpers import make, refused
from vidamodal.media.mp4_tables import lists_impossible_counts


def patched(content: bytes, kind: bytes, offset: int, count: int) -> bytes:
    """Overwrite a count ``offset`` bytes behind the type of a box."""
    place = content.index(kind) + 4 + offset
    return content[:place] + count.to_bytes(4, "big") + content[place + 4 :]


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
def test_the_tables_of_intact_files_are_possible(movflags: str, tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", movflags=movflags)
    assert not lists_impossible_counts(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize(
    ("kind", "offset", "movflags"),
    [
        (b"stsz", 8, "faststart"),
        (b"stts", 8, "faststart"),
        (b"ctts", 8, "faststart"),
        (b"trun", 4, "frag_keyframe+empty_moov"),
    ],
)
def test_impossible_counts_are_refused(kind: bytes, offset: int, movflags: str, tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", numbers=range(6), movflags=movflags)
    path.write_bytes(patched(path.read_bytes(), kind, offset, 2**27))
    assert "the index lists more frames than the file can hold" in refused(path)


def test_other_files_and_damaged_boxes_end(tmp_path: Path) -> None:
    nested = b"\0\0\0\x08ftyp" + b"\0\0\0\0moov" * 5000
    for content in (b"", b"\0" * 100, b"\x1a\x45\xdf\xa3" * 50, nested, b"\0\0\0\x08stts", b"\0\0\0\x01mdat\0\0"):
        assert not lists_impossible_counts(io.BytesIO(content))
    assert not lists_impossible_counts(io.BytesIO(make(tmp_path / "v.avi", "mjpeg", numbers=range(3)).read_bytes()))
