"""Inputs of single videos, matched by key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.batch.helpers import write_videos
from vidamodal.batch.companions import add_companions
from vidamodal.batch.video_set import VideoSet, find_videos
from vidamodal.types import ClipTracks, InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set")
    write_videos(path, ["a", "b"])
    return path


def videos_of(folder: Path) -> VideoSet:
    found = find_videos(folder / "videos", own_masks=False)
    assert found is not None
    return found


def test_each_entry_is_the_input_of_the_video_of_its_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "anchors").mkdir()
    shutil.copy(folder / "masks" / "b.tracks.json", tmp_path / "anchors" / "b.json")
    one, two = add_companions(videos_of(folder), {"masks": folder / "masks", "anchors": tmp_path / "anchors"}).videos
    assert one.masks() == folder / "masks" / "a.tracks.json" and "anchors" not in one.companions
    assert two.companions["anchors"].path == tmp_path / "anchors" / "b.json"


def test_an_entry_without_a_video_is_an_error_that_names_it(folder: Path, tmp_path: Path) -> None:
    masks = shutil.copytree(folder / "masks", tmp_path / "masks")
    (masks / "c").mkdir()
    with pytest.raises(InputError, match=r"masks: entries without a video: c\. Name each like its video \(a, b\)"):
        add_companions(videos_of(folder), {"masks": masks})


def test_a_video_without_an_entry_is_an_error_that_names_it(folder: Path, tmp_path: Path) -> None:
    masks = shutil.copytree(folder / "masks", tmp_path / "masks")
    (masks / "b.tracks.json").unlink()
    with pytest.raises(InputError, match="no entry for the video b"):
        add_companions(videos_of(folder), {"masks": masks})
    with pytest.raises(InputError, match="no such folder"):
        add_companions(videos_of(folder), {"boxes": tmp_path / "boxes"})


def test_two_entries_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    masks = shutil.copytree(folder / "masks", tmp_path / "masks")
    (masks / "a.npz").touch()
    with pytest.raises(InputError, match="two entries of one name"):
        add_companions(videos_of(folder), {"masks": masks})


def test_masks_may_be_the_clips_of_a_data_set(folder: Path, tmp_path: Path) -> None:
    shard = Path(shutil.make_archive(str(tmp_path / "shard"), "tar", folder / "masks"))
    batch = add_companions(videos_of(folder), {"masks": shard})
    masks = batch.videos[1].masks()
    assert isinstance(masks, ClipTracks) and len(masks.tracks) == 3
