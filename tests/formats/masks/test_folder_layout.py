"""Where masks lie in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.video_data import BACK, FRONT, picture, png
from vidamodal.formats import Fit
from vidamodal.formats.masks.folder_layout import find_layout, has_masks

BOTH = FRONT + 2 * (BACK & ~FRONT)

LAYOUTS = {
    "a video": (["00000.png"], BOTH, "maps", Fit.CERTAIN, ["set"]),
    "a video with prefixes": (["frame_00000.png"], BOTH, "maps", Fit.POSSIBLE, ["set"]),
    "videos": (["bear/00000.png", "0002/00000.png"], BOTH, "maps", Fit.POSSIBLE, ["bear", "0002"]),
    "one video": (["bear/00000.png"], FRONT, "maps", Fit.POSSIBLE, ["bear"]),
    "DAVIS": (["Annotations/480p/0001/00000.png"], FRONT, "maps", Fit.CERTAIN, ["0001"]),
    "objects": (["000/00000.png", "001/00000.png"], FRONT, "objects", Fit.CERTAIN, ["set"]),
    "named objects": (["obj_1/00000.png", "obj_2/00000.png"], FRONT, "objects", Fit.POSSIBLE, ["set"]),
    "objects of videos": (["sav_1/000/00000.png"], FRONT, "objects", Fit.POSSIBLE, ["sav_1"]),
    "SA-V": (["Annotations_6fps/sav_1/000/00000.png"], FRONT, "objects", Fit.CERTAIN, ["sav_1"]),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_layouts(kind: str, tmp_path: Path) -> None:
    files, values, content, fit, videos = LAYOUTS[kind]
    for file in files:
        png(tmp_path / "set" / file, values)
    layout = find_layout(tmp_path / "set")
    assert layout is not None
    assert (layout.content, layout.fit, list(layout.videos)) == (content, fit, videos)


def test_folders_without_masks_have_no_layout(tmp_path: Path) -> None:
    assert find_layout(tmp_path) is None
    for t in range(3):
        png(tmp_path / f"clip/{t:05d}.jpg", np.full((8, 8, 3), (200, 40, 10 * t)))
    assert find_layout(tmp_path) is None and not has_masks(tmp_path / "clip")


@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_in_grey_are_masks(channels: int, tmp_path: Path) -> None:
    values = np.uint8(255) * FRONT
    png(tmp_path / "clip/00000.jpg", values if channels == 1 else np.stack([values] * 3, axis=-1))
    assert has_masks(tmp_path / "clip")


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".ipynb_checkpoints", "checkpoints"])
def test_folders_of_other_programs_are_no_videos(name: str, tmp_path: Path) -> None:
    for folder in ("bear", name):
        png(tmp_path / "Annotations" / folder / "00000.png", FRONT)
    layout = find_layout(tmp_path)
    assert layout is not None and list(layout.videos) == ["bear"]


def test_frames_beside_masks_are_left_out(tmp_path: Path) -> None:
    png(tmp_path / "clip/masks/00000.png", BOTH)
    picture(tmp_path / "clip/rgbs/00000.png")
    layout = find_layout(tmp_path / "clip")
    assert layout is not None and list(layout.videos) == ["masks"]
    assert layout.notes(tmp_path / "clip") == ("clip: the folders rgbs hold no masks and are skipped",)
