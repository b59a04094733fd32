"""PNGs are matched to frames, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.mask_data import (
    FRAMES,
    VIDEO,
    H,
    T,
    W,
    as_object_folders,
    as_palette,
    expected,
    id_maps,
    read_masks,
    save_palette,
)
from vidamodal.types import InputError


def test_pngs_match_frames_by_name(tmp_path: Path) -> None:
    stems = [f"left{10 * i}" for i in range(T)]
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(tmp_path / f"{stems[frame]}.png", values)
    assert read_masks(tmp_path, VIDEO, stems) == expected()
    save_palette(tmp_path / "left11.png", id_maps()[0])
    with pytest.raises(InputError, match=r"left11\.png: no frame of the video has this name"):
        read_masks(tmp_path, VIDEO, stems)


def with_half_a_png(path: Path) -> None:
    whole = (as_palette(path) / "00003.png").read_bytes()
    (path / "00003.png").write_bytes(whole[: len(whole) // 2])


BAD_FOLDERS = {
    "nothing": (lambda p: p.mkdir(), "in no known format"),
    "another size": (lambda p: save_palette(p / "00000.png", np.zeros((W, H))), "7 x 9 pixels, the video has 9 x 7"),
    "past the end": (
        lambda p: save_palette(as_palette(p) / "00006.png", id_maps()[0]),
        "frame 6 is beyond the end of the video",
    ),
    "no number": (
        lambda p: save_palette(as_palette(p) / "last.png", id_maps()[0]),
        "last.png: the name is not a frame",
    ),
    "two numbers": (lambda p: save_palette(p / "00000_1.png", id_maps()[0]), "the name is not a frame number"),
    "twice": (lambda p: save_palette(as_palette(p) / "0.png", id_maps()[0]), " 0.png and 00000.png are for the same"),
    "half a PNG": (with_half_a_png, "00003.png: cannot be read as an image"),
    "maps beside folders": (lambda p: as_palette(as_object_folders(p)), "both PNGs and folders"),
    "a named folder": (
        lambda p: as_object_folders(p).joinpath("mug").mkdir(),
        "mug: the folder of an object must be named",
    ),
    "a named folder with PNGs": (
        lambda p: as_palette(as_object_folders(p) / "mug"),
        "mug: the folder of an object must be",
    ),
    "a huge id": (lambda p: as_object_folders(p).joinpath("9" * 10).mkdir(), "must be named by its id"),
    "one id twice": (lambda p: as_object_folders(p).joinpath("1").mkdir(), "stands for the same id"),
    "empty folders": (lambda p: (p / "000").mkdir(parents=True), "in no known format"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_FOLDERS[name]
    save(tmp_path / "masks")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "masks", VIDEO)
    assert "\n" not in str(error.value)
