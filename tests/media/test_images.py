"""Tests of reading and writing images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.helpers import H, W, picture
from vidamodal.media.images import natural_key, save_png
from vidamodal.media.video import open_video


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


def test_numbers_in_names_are_sorted_by_value() -> None:
    assert sorted(["f10", "f9", "07", "7", "a"], key=natural_key) == ["a", "f9", "f10", "07", "7"]
