"""Tests of reading and writing images."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.media.helpers import H, W, picture, refused
from vidamodal.media.images import MAX_PIXELS, encode_image, read_image, save_png, write_image
from vidamodal.media.video import open_video
from vidamodal.types import InputError


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(picture(5)).save(tmp_path / "p.jpg", exif=exif, quality=95)
    reader = open_video(tmp_path / "p.jpg")
    assert (reader.info.height, reader.info.width) == (W, H)
    assert np.abs(next(reader.frames()).astype(int) - np.rot90(picture(5), -1)).mean() < 12


def test_png_files_are_written_atomically(tmp_path: Path) -> None:
    image = picture(3)
    save_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as read:
        assert (np.array(read) == image).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def folder_of(folder: Path, images: list[np.ndarray], suffix: str = "png") -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.{suffix}")
    return folder


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("top", "white"), [(200, 255), (1000, 1023), (4095, 4095), (9000, 16383), (65535, 65535)])
def test_deep_grey_frames_are_scaled_alike(suffix: str, top: int, white: int, tmp_path: Path) -> None:
    dark = np.tile(np.linspace(0, top // 4, 32).astype(np.uint16), (8, 1))
    bright = np.tile(np.linspace(0, top, 32).astype(np.uint16), (8, 1))
    reader = open_video(folder_of(tmp_path / "f", [dark, bright, dark], suffix))
    assert reader.notes == (f"f: grey values of more than 8 bits, scaled so that {white} is white",)
    for image, values in zip(reader.frames(), (dark, bright, dark), strict=True):
        assert image.dtype == np.uint8 and np.abs(image - 255 / white * values[..., None]).max() <= 0.51


def test_a_single_deep_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 2048, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 128).all()
    assert (next(open_video(tmp_path / "a.png").frames()) == 128).all()


def test_frames_of_several_depths_are_refused(tmp_path: Path) -> None:
    deep, flat = np.full((4, 6), 900, np.uint16), np.full((4, 6), 200, np.uint8)
    cases: dict[str, list[np.ndarray]] = {"a": [deep, flat], "b": [flat, deep]}
    for name, images in cases.items():
        with pytest.raises(InputError, match=r"1\.png: 8-bit and 16-bit frames are mixed"):
            list(open_video(folder_of(tmp_path / name, images)).frames())


def test_floats_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6), np.float32)).save(tmp_path / "depth.tif")
    assert "floats" in refused(tmp_path / "depth.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 4, 8))
    image.convert(mode).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255] * 4 + [0] * 4


def test_huge_images_are_refused(tmp_path: Path) -> None:
    Image.new("1", (MAX_PIXELS // 4096 + 1, 4096)).save(tmp_path / "a.png")
    assert "megapixels" in refused(tmp_path / "a.png")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_image_that_does_not_fit_raises_one_error_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    (tmp_path / "a.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_image(tmp_path / "a.png", picture(3))
    gc.collect()
    assert ignored == []


@pytest.mark.parametrize(("suffix", "channels"), [(".png", 3), (".png", 4), (".jpg", 3), (".webp", 3)])
def test_encoded_images_are_those_that_pillow_saves(suffix: str, channels: int, tmp_path: Path) -> None:
    image = np.dstack([picture(3), picture(4)])[..., :channels]
    Image.fromarray(image).save(tmp_path / f"a{suffix}", quality=83)
    assert encode_image(image, suffix, quality=83) == (tmp_path / f"a{suffix}").read_bytes()  # type: ignore[arg-type]
