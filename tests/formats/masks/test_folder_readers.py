"""The masks of one video in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.video_data import BACK, FRONT, H, W, png, refusal, rles
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.formats.masks.folder_layout import image_video
from vidamodal.formats.masks.folder_readers import open_mask_folder
from vidamodal.types import Track, VideoInfo


@pytest.mark.parametrize("name", ["00001.png", "frame_1.png", "take2_00001_mask.png"])
def test_masks_without_a_video_end_it(name: str, tmp_path: Path) -> None:
    png(tmp_path / "clip" / name, FRONT)
    png(tmp_path / "clip" / name.replace("1", "4"), BACK)
    masks = open_mask_folder(tmp_path / "clip", "maps", None)
    assert masks.own_video() == VideoInfo("clip", H, W, 5, 24.0)


def test_objects_of_one_folder(tmp_path: Path) -> None:
    png(tmp_path / "clip/2_dog/x_0.png", FRONT)
    png(tmp_path / "clip/7_cat/x_1.png", BACK)
    video = VideoContext(VideoInfo("v.mp4", H, W, 2, 10.0))
    clip = open_mask_folder(tmp_path / "clip", "objects", video).read(video)
    assert clip.tracks == (Track(2, rles(FRONT, None), label="dog"), Track(7, rles(None, BACK), label="cat"))


def test_images_beside_folders_of_masks_are_refused(tmp_path: Path) -> None:
    png(tmp_path / "000/00000.png", FRONT)
    png(tmp_path / "00000.png", FRONT)
    assert "contains both images and folders (000)" in refusal(lambda: open_mask_folder(tmp_path, "objects", None))


def test_the_size_of_an_image_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "a.png: cannot be read as an image" in refusal(lambda: image_video(tmp_path / "a.png"))


@pytest.mark.parametrize("folder", ["out/result/masks", "out/Annotations/bear/mask", "out/d17-val/bear", "out/0001"])
def test_a_video_is_not_read_as_an_object(folder: str, tmp_path: Path) -> None:
    for t in range(12):
        png(tmp_path / folder / f"{t:05d}.png", FRONT + 2 * (BACK & ~FRONT) if t == 3 else FRONT)
    refused = refusal(lambda: [clip.tracks() for clip in find_dataset(tmp_path / "out").clips.values()])
    assert f"{tmp_path / folder}: read as the masks of one object, but frame 3 holds several (ids 1 and 2)" in refused
    (clip,) = find_dataset(tmp_path / folder).clips.values()
    assert [track.id for track in clip.tracks().tracks] == [1, 2]
