"""Folders of fixed names in the folder of a clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.video_data import BACK, FRONT, picture, png, refusal, rles
from vidamodal.formats.videos.clip_folders import ClipFolders, read_clips
from vidamodal.types import Track

NAMES = ClipFolders("frames", "visible", "amodal")


@pytest.mark.parametrize("folder", ["", "@eaDir/..", "."])
def test_clips_are_found_in_a_folder_or_are_it(folder: str, tmp_path: Path) -> None:
    for clip in ("a", "b", "__MACOSX"):
        png(tmp_path / clip / "visible/0.png", FRONT)
        picture(tmp_path / clip / "frames/0.jpg")
    assert list(NAMES.find(tmp_path)) == ["a", "b"]
    assert list(NAMES.find(tmp_path / "a")) == ["a"]
    assert not NAMES.find(tmp_path / "a/visible")


def test_visible_and_amodal_masks_of_one_object_are_one_track(tmp_path: Path) -> None:
    png(tmp_path / "clip/visible/00000.png", FRONT * 7)
    png(tmp_path / "clip/amodal/00000.png", (FRONT | BACK) * 9)
    png(tmp_path / "clip/amodal/00001.png", BACK * 9)
    clip = read_clips(tmp_path, NAMES, None, "test")["clip"]
    assert clip.tracks().tracks == (Track(1, rles(FRONT, None), rles(FRONT | BACK, BACK)),)
    assert clip.frames() is None


def test_objects_are_joined_by_their_ids(tmp_path: Path) -> None:
    png(tmp_path / "visible/00000.png", FRONT + 2 * (BACK & ~FRONT))
    png(tmp_path / "amodal/002/00000.png", BACK)
    png(tmp_path / "amodal/005/00000.png", FRONT)
    tracks = read_clips(tmp_path, NAMES, None, "test")[tmp_path.name].tracks().tracks
    assert tracks == (
        Track(1, rles(FRONT)),
        Track(2, rles(BACK & ~FRONT), rles(BACK)),
        Track(5, rles(None), rles(FRONT)),
    )


def test_a_clip_without_masks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "visible").mkdir()
    picture(tmp_path / "frames/0.jpg")
    assert "visible: no masks in this folder" in refusal(read_clips(tmp_path, NAMES, None, "t")[tmp_path.name].tracks)
