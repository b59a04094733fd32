"""The videos of a batch: lists, folders, data sets, and the keys of their results."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.batch.helpers import write_videos
from vidamodal.batch.video_set import VideoSet, find_videos, note_on_single
from vidamodal.media.images import save_png
from vidamodal.types import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set")
    write_videos(path, ["a", "b"])
    return path


def found(path: Path, own_masks: bool = True) -> VideoSet:
    videos = find_videos(path, own_masks)
    assert videos is not None
    return videos


def write_frames(folder: Path) -> None:
    folder.mkdir(parents=True)
    for t in range(2):
        save_png(folder / f"{t:05d}.png", np.full((8, 8, 3), (10, 90 * t, 200), dtype=np.uint8))


def test_each_video_file_of_a_folder_is_a_video(folder: Path, tmp_path: Path) -> None:
    videos = shutil.copytree(folder / "videos", tmp_path / "videos")
    write_frames(videos / "more")
    (videos / "notes.md").write_text("text")
    batch = found(videos)
    assert batch.keys == ["a", "b"] and "2 videos" in batch.notes[0] and "sub-folders are not read" in batch.notes[0]


def test_a_folder_of_one_video_is_a_batch_and_a_video_is_not(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "videos" / "a.mp4", tmp_path)
    assert found(tmp_path).keys == ["a"]
    assert find_videos(tmp_path / "a.mp4") is None and find_videos(tmp_path / "missing") is None


def test_a_folder_of_images_is_one_video(folder: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames")
    assert find_videos(tmp_path / "frames") is None and note_on_single(tmp_path / "frames") == ()
    shutil.copy(folder / "videos" / "a.mp4", tmp_path / "frames")
    assert find_videos(tmp_path / "frames") is None
    assert "1 video file in it not read" in note_on_single(tmp_path / "frames")[0]


def test_folders_of_frames_are_videos(tmp_path: Path) -> None:
    write_frames(tmp_path / "set" / "one")
    write_frames(tmp_path / "set" / "two.v2")
    (tmp_path / "set" / "empty").mkdir()
    assert found(tmp_path / "set", own_masks=False).keys == ["one", "two.v2"]


def test_a_list_names_videos_relative_to_itself(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "videos", tmp_path / "x")
    shutil.copy(folder / "videos" / "a.mp4", tmp_path)
    (tmp_path / "list.txt").write_text("# two videos\nx/b.mp4\n\na.mp4\n")
    batch = found(tmp_path / "list.txt")
    assert batch.keys == ["b", "a"] and batch.videos[0].source.path == tmp_path / "x" / "b.mp4"


def test_files_of_one_name_get_the_names_of_their_folders(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x/video.mp4\ny/video.mp4\n")
    batch = found(tmp_path / "list.txt")
    assert batch.keys == ["x-video", "y-video"] and "x-video, y-video" in batch.notes[1]
    (tmp_path / "list.txt").write_text("x/video.mp4\nx/video.mov\n")
    with pytest.raises(InputError, match=r"video\.mp4 and .*video\.mov: two videos with the same name"):
        find_videos(tmp_path / "list.txt")


def test_names_from_a_list_lie_in_the_output(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "frames" / "lists").mkdir(parents=True)
    (tmp_path / "frames" / "lists" / "list.txt").write_bytes("\ufeff..\n".encode())
    assert found(tmp_path / "frames" / "lists" / "list.txt").keys == ["frames"]
    (tmp_path / "list.txt").write_text("/a.mp4\n/data/a.mp4\n")
    assert found(tmp_path / "list.txt").keys == ["a", "data-a"]
    (tmp_path / "linked").symlink_to(tmp_path / "frames" / "lists")
    (tmp_path / "linked" / "list.txt").write_text("../a.mp4\n")
    assert found(tmp_path / "linked" / "list.txt").videos[0].source.path.resolve() == tmp_path / "frames" / "a.mp4"


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n# nothing\n")
    with pytest.raises(InputError, match="lists no video"):
        find_videos(tmp_path / "list.txt")


def test_a_data_set_has_its_own_masks(folder: Path, tmp_path: Path) -> None:
    for path in (*(folder / "videos").iterdir(), *(folder / "masks").iterdir()):
        shutil.copy(path, tmp_path)
    batch = found(tmp_path)
    assert batch.keys == ["a", "b"] and "read as vidamodal" in batch.notes[0]
    video = batch.videos[0].open()
    assert not isinstance(video, Path) and len(list(video.frames())) == 3 and video.info.path == "clip.mp4"
    masks = batch.videos[0].masks()
    assert masks is not None and not isinstance(masks, Path) and len(masks.tracks) == 3
    without = found(tmp_path, own_masks=False)
    assert without.videos[0].masks() is None and without.videos[0].source.clip is None


def test_a_data_set_without_images_says_so_when_frames_are_read(folder: Path) -> None:
    video = found(folder / "masks").videos[0].open()
    assert not isinstance(video, Path) and video.info.frames == 3
    with pytest.raises(InputError, match="has masks, but no images"):
        list(video.frames())
