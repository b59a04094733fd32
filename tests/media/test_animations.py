"""Tests of animated images and multi-page TIFF files: every frame as it is displayed."""

from __future__ import annotations

import re
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from tests.media.helpers import H, W, number_of, picture, refused
from vidamodal.media.animations import read_animation
from vidamodal.media.video import open_video
from vidamodal.types import InputError

FORMATS = [("a.png", "PNG"), ("a.apng", "PNG"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
if features.check("avif"):
    FORMATS.append(("a.avif", "AVIF"))


def save(path: Path, kind: str, images: list[Image.Image], **options: Any) -> Path:
    lossless = {"lossless": True} if kind == "WEBP" else {}
    images[0].save(path, format=kind, save_all=True, append_images=images[1:], **lossless, **options)
    return path


@pytest.mark.parametrize(("name", "kind"), FORMATS)
def test_every_frame_of_an_animation_is_read(name: str, kind: str, tmp_path: Path) -> None:
    images = [Image.fromarray(picture(number)) for number in range(7)]
    reader = open_video(save(tmp_path / name, kind, images, duration=[40] * 6 + [160]))
    assert (reader.info.frames, reader.info.height, reader.info.width) == (7, H, W) and reader.stems is None
    assert reader.info.fps == {"TIFF": 10.0, "PNG": 25.0}.get(kind, 17.5)  # a TIFF has no durations
    assert [number_of(image) for image in reader.frames()] == list(range(7))
    assert [number_of(image) for image in reader.frames(3, 5)] == [3, 4]
    assert [number_of(image) for image in reader.pick([6, 0])] == [6, 0]


@pytest.mark.parametrize(("name", "kind"), [*FORMATS, ("a.jpg", "JPEG"), ("a.bmp", "BMP")])
def test_a_still_image_is_a_video_of_one_frame(name: str, kind: str, tmp_path: Path) -> None:
    Image.fromarray(picture(5)).save(tmp_path / name, format=kind)
    reader = open_video(tmp_path / name)
    assert reader.info.frames == 1 and reader.notes == () and [number_of(image) for image in reader.frames()] == [5]


@pytest.mark.parametrize(("disposal", "cleared"), [(0, "green"), (1, "black"), (2, "red")])
def test_parts_of_an_animated_png_are_drawn_over_the_earlier_frames(
    disposal: int, cleared: str, tmp_path: Path
) -> None:
    reader = open_video(write_apng(tmp_path / "a.png", [disposal, disposal, disposal]))
    names = {(200, 0, 0): "red", (0, 200, 0): "green", (0, 0, 0): "black"}
    dots = [[names[tuple(image[15, x].tolist())] for x in (12, 27, 42)] for image in reader.frames()]
    assert dots == [
        ["red", "red", "red"],
        ["green", "red", "red"],
        [cleared, "green", "red"],
        [cleared, cleared, "green"],
    ]


def test_the_default_image_of_an_animated_png_is_no_frame(tmp_path: Path) -> None:
    images = [Image.fromarray(picture(number)) for number in (99, 1, 2, 3)]
    reader = open_video(save(tmp_path / "a.png", "PNG", images, default_image=True, duration=50))
    assert [number_of(image) for image in reader.frames()] == [1, 2, 3] and reader.info.fps == 20.0


def test_pages_of_several_sizes_are_not_frames(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(3)), Image.fromarray(picture(3)).resize((40, 24))]
    path = save(tmp_path / "pyramid.tif", "TIFF", pages)
    reader = open_video(path)
    assert reader.info.frames == 1 and reader.notes == (
        "pyramid.tif: the first of 2 pages is read; the pages differ in size or mode",
    )
    assert read_animation(path) == reader.notes[0]


@pytest.mark.parametrize(("name", "kind"), FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_damaged_animations_are_refused(name: str, kind: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, H, W, 3), dtype=np.uint8)
    path = save(tmp_path / name, kind, [Image.fromarray(image) for image in noise])
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    assert re.search("cannot be read as|cut off|is damaged", refused(path))


def test_a_gif_without_control_blocks_is_an_animation(tmp_path: Path) -> None:
    images = [Image.fromarray(picture(number)) for number in range(4)]
    path = save(tmp_path / "a.gif", "GIF", images)
    assert path.read_bytes().startswith(b"GIF87a")
    reader = open_video(path)
    assert [number_of(image) for image in reader.frames()] == [0, 1, 2, 3] and reader.info.fps == 10.0


@pytest.mark.parametrize("disposal", [1, 2, 3])
def test_parts_of_a_gif_are_drawn_over_the_earlier_frames(disposal: int, tmp_path: Path) -> None:
    """2 clears a part to the background, 3 to what was there before."""
    frames = [Image.new("P", (40, 20), 1) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        if number:
            frame.paste(2, (10 * number, 5, 10 * number + 10, 15))
    reader = open_video(save(tmp_path / "a.gif", "GIF", frames, disposal=disposal, duration=100))
    green = [[bool(image[10, x, 1] > 100) for x in (15, 25)] for image in reader.frames()]
    assert green == [[False, False], [True, False], [False, True]]


def write_apng(path: Path, disposals: list[int]) -> Path:
    """Write a red frame and green dots from left to right, each a part of the picture, by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def pixels(width: int, height: int, colour: bytes) -> bytes:
        return zlib.compress((b"\0" + colour * width) * height)

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0))
    content += chunk(b"acTL", struct.pack(">II", 1 + len(disposals), 0))
    content += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60, 40, 0, 0, 1, 10, 0, 0))
    content += chunk(b"IDAT", pixels(60, 40, b"\xc8\0\0"))
    for k, disposal in enumerate(disposals):
        content += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * k + 1, 10, 10, 10 + 15 * k, 10, 1, 10, disposal, 0))
        content += chunk(b"fdAT", struct.pack(">I", 2 * k + 2) + pixels(10, 10, b"\0\xc8\0"))
    path.write_bytes(content + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_huge_frames_are_refused_before_they_are_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8200, 2050)).save(path)
    with pytest.raises(InputError, match="more than 16 megapixels"):
        open_video(path)


def test_a_frame_that_is_larger_than_the_gif_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", "GIF", [Image.fromarray(picture(number)) for number in range(2)])
    head, mark, rest = path.read_bytes().rpartition(b"," + struct.pack("<HHHH", 0, 0, W, H))
    assert mark
    path.write_bytes(head + b"," + struct.pack("<HHHH", 0, 0, 5000, 5000) + rest)
    with pytest.raises(InputError, match="5000 x 5000 pixels, more than 16 megapixels"):
        open_video(path)


def test_reading_animations_in_threads_leaves_the_limit_of_pillow(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", "GIF", [Image.fromarray(picture(number)) for number in range(4)])
    limit = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(4) as pool:
        limits = [Image.MAX_IMAGE_PIXELS for _ in pool.map(read_animation, [path] * 40)]
    assert {*limits, Image.MAX_IMAGE_PIXELS} == {limit}
