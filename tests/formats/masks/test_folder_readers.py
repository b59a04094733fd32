"""The masks of one video in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.video_data import BACK, FRONT, H, W, png, refusal, rles
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.formats.masks.folder_layout import Content, image_video
from vidamodal.formats.masks.folder_readers import name_objects, open_mask_folder
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


NAMED = {
    ("1", "obj_1"): [(1, None), (2, "obj_1")],
    ("7", "a", "b3"): [(7, None), (1, "a"), (3, "b")],
    ("2", "cat", "dog", "3"): [(2, None), (1, "cat"), (4, "dog"), (3, None)],
    ("000", "obj_2"): [(0, None), (2, "obj")],
    ("cat", "dog"): [(1, "cat"), (2, "dog")],
    ("dog_24", "cat_24"): [(1, "dog_24"), (2, "cat_24")],
    ("obj_1", "obj_99999999999"): [(1, "obj"), (2, "obj_99999999999")],
    ("a1_2", "b1"): [(2, "a1_2"), (1, "b")],
    ("001", "005"): [(1, None), (5, None)],
}


@pytest.mark.parametrize("names", NAMED)
def test_numbers_are_the_ids_of_folders_and_others_get_what_is_left(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    objects, note = name_objects([tmp_path / name for name in names])
    assert [(thing.id, thing.label) for thing in objects] == NAMED[names]
    assert (note is None) == all(name.isdecimal() for name in names)
    assert note is None or f"{names[-1]} is {objects[-1].id}" in note


@given(
    st.lists(
        st.text("ab1203_", min_size=1, max_size=4),
        min_size=1,
        unique_by=lambda name: int(name) if name.isdecimal() else name,
    )
)
def test_every_object_has_an_id_and_numbers_keep_theirs(names: list[str]) -> None:
    objects, _ = name_objects([Path(name) for name in names])
    assert len({thing.id for thing in objects}) == len(names)
    assert all(thing.id == int(name) for thing, name in zip(objects, names, strict=True) if name.isdecimal())


@pytest.mark.parametrize("content", ["maps", "objects"])
def test_masks_of_one_frame_are_reported(content: Content, tmp_path: Path) -> None:
    folders = ["."] if content == "maps" else ["1", "2"]
    for folder in folders:
        png(tmp_path / "masks" / folder / "00003.png", FRONT)
    for frames, words in (
        (5, "those of the other 4 frames are unknown"),
        (4, "those of the other 3 frames are unknown"),
    ):
        video = VideoContext(VideoInfo("v.mp4", H, W, frames, 10.0))
        clip = open_mask_folder(tmp_path / "masks", content, video).read(video)
        assert f"masks: the masks of frame 3; {words}" in clip.notes
    for folder in folders:
        png(tmp_path / "masks" / folder / "00000.png", FRONT)
    assert not any(
        "those of the other" in note for note in open_mask_folder(tmp_path / "masks", content, video).read(video).notes
    )


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
