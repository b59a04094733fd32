"""Tests of telling frames from masks in one folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidamodal.media.image_kinds import embedded_names, frames_among, masks_among
from vidamodal.media.listing import list_folder
from vidamodal.types import InputError

N = 3


def save(folder: Path, name: str, mode: str, numbers: Iterable[int] = range(N)) -> list[str]:
    """Save small images, and return their names."""
    folder.mkdir(exist_ok=True)
    names = [name.format(number) for number in numbers]
    for file in names:
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).convert(mode).save(folder / file)
    return names


BESIDE = {
    "suffix": (("{:05d}.jpg", "RGB"), ("{:05d}_mask.png", "P")),
    "suffix, both grey": (("{:05d}.jpg", "L"), ("{:05d}_mask.png", "L")),
    "prefix": (("clip-{:03d}.png", "RGB"), ("seg_clip-{:03d}.png", "P")),
    "other prefix": (("frame{:05d}.jpg", "RGB"), ("mask{:05d}.png", "L")),
    "extension": (("{}.jpg", "RGB"), ("{}.png", "P")),
    "JPEG masks": (("take2_{}.jpg", "RGB"), ("take2_{}_alpha.jpg", "L")),
    "16 bits": (("{:04d}.png", "RGB"), ("{:04d}-ids.png", "I;16")),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_frames_and_masks_in_one_folder_are_told_apart(kind: str, tmp_path: Path) -> None:
    frames, masks = (save(tmp_path, *how) for how in BESIDE[kind])
    found, note = frames_among(list_folder(tmp_path))
    assert [path.name for path in found] == frames
    assert note == f"the frames are the 3 images like {frames[0]}; 3 other images left out ({masks[0]})"
    found, note = masks_among(list_folder(tmp_path))
    assert [path.name for path in found] == masks
    assert note == f"the masks are the 3 images like {masks[0]}; 3 other images left out ({frames[0]})"


def test_masks_of_some_frames_only(tmp_path: Path) -> None:
    frames = save(tmp_path, "take2_{:05d}.jpg", "RGB")
    save(tmp_path, "take2_{:05d}_mask.png", "P", [1])
    assert [path.name for path in frames_among(list_folder(tmp_path))[0]] == frames


def test_masks_of_colours_are_known_by_the_names_of_the_frames(tmp_path: Path) -> None:
    save(tmp_path, "{}.png", "RGB")
    masks = save(tmp_path, "{}_mask.png", "RGB")
    assert [path.name for path in masks_among(list_folder(tmp_path), ["0", "1", "2"])[0]] == masks
    with pytest.raises(InputError, match=r"0\.png and 0_mask\.png may be the same frame"):
        masks_among(list_folder(tmp_path))


def test_visualisations_beside_masks_are_left_out(tmp_path: Path) -> None:
    masks = save(tmp_path, "{:05d}.png", "P")
    save(tmp_path, "{:05d}_vis.png", "RGB")
    assert [path.name for path in masks_among(list_folder(tmp_path))[0]] == masks


DOUBLES = {
    "PNG and JPEG in colours": ("{}.png", "{}.jpg"),
    "zeros": ("{}.png", "0{}.png"),
    "two takes": ("a{}.png", "b{}.png"),
}


@pytest.mark.parametrize("kind", DOUBLES)
def test_double_frames_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    first, second = (save(tmp_path, name, "RGB")[0] for name in DOUBLES[kind])
    with pytest.raises(InputError) as error:
        frames_among(list_folder(tmp_path))
    assert first in str(error.value) and second in str(error.value)


@pytest.mark.parametrize("names", [["a", "b", "ab"], ["cover", "0", "1"], ["0", "1", "10"], ["left0", "right1"]])
def test_other_folders_of_frames_are_whole(names: list[str], tmp_path: Path) -> None:
    for name in names:
        save(tmp_path, f"{name}.jpg", "RGB", [0])
    assert len(frames_among(list_folder(tmp_path))[0]) == len(names)


def test_names_embedded_in_others() -> None:
    assert embedded_names(["00001_mask", "00002_mask"], {"00001", "00002", "1"}) == {
        "00001_mask": "00001",
        "00002_mask": "00002",
    }
    assert embedded_names(["video.mp4_10"], {"1", "10", "0"}) == {"video.mp4_10": "10"}
    assert embedded_names(["10_mask"], {"1", "0"}) is None
    assert embedded_names(["1_mask", "2_seg"], {"1", "2"}) is None
