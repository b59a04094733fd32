"""Tests of the end of container files: cut off, complete, or not known."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.helpers import make
from vidamodal.media.container_end import is_cut_off, listed_png_frames

CONTAINERS = [
    ("v.mp4", "libx264"),
    ("v.mov", "libx264"),
    ("v.mkv", "libx264"),
    ("v.webm", "libvpx"),
    ("v.avi", "mjpeg"),
]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_missing_byte_is_noticed(name: str, codec: str, tmp_path: Path) -> None:
    content = make(tmp_path / name, codec, numbers=range(5)).read_bytes()
    assert is_cut_off(io.BytesIO(content)) is False
    for missing in (1, 9, len(content) // 2):
        assert is_cut_off(io.BytesIO(content[:-missing])) is True


def test_a_missing_byte_of_a_png_is_noticed() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(file, format="PNG")
    assert is_cut_off(file) is False
    assert is_cut_off(io.BytesIO(file.getvalue()[:-1])) is True
    assert is_cut_off(io.BytesIO(file.getvalue()[:-12])) is True


def test_files_with_several_riff_chunks_are_read_to_the_last() -> None:
    content = b"RIFF\x04\0\0\0AVI RIFF\x05\0\0\0AVIX!\0"
    assert is_cut_off(io.BytesIO(content)) is False
    assert is_cut_off(io.BytesIO(content[:-2])) is True


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\0\x08ftyp\0\0\0\0mdat",
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
        b"\x1a\x45\xdf\xa3",
    ],
)
def test_an_open_end_is_not_known(content: bytes) -> None:
    assert is_cut_off(io.BytesIO(content)) is None


@pytest.mark.parametrize("content", [b"", b"\x47" * 188, b"\0\0\0\x01\x67\x64"])
def test_containers_without_a_size_are_complete(content: bytes) -> None:
    assert is_cut_off(io.BytesIO(content)) is False


def test_boxes_of_64_bits() -> None:
    content = b"\0\0\0\x08free\0\0\0\x01mdat" + (32).to_bytes(8, "big") + bytes(16)
    assert is_cut_off(io.BytesIO(content)) is False
    assert is_cut_off(io.BytesIO(content[:-1])) is True


@pytest.mark.parametrize(("frames", "listed"), [(1, 0), (2, 2), (5, 5)])
def test_an_animated_png_lists_its_frames(frames: int, listed: int) -> None:
    images = [Image.fromarray(np.full((9, 9), number, np.uint8)) for number in range(frames)]
    file = io.BytesIO()
    images[0].save(file, format="PNG", save_all=True, append_images=images[1:])
    assert listed_png_frames(file) == listed
