"""Folders of PNGs for each object."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from tests.formats.mask_data import VIDEO, H, T, W, read_masks
from tests.formats.video_data import BACK, FRONT, NOTHING, SCENE, only, picture, png, rles, save
from vidamodal.convert import convert
from vidamodal.formats import find_dataset
from vidamodal.media.mask_images import write_object_masks
from vidamodal.types import InputError, Rle, Track


def test_written_sav_has_a_folder_for_each_object(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "sav", kind="amodal")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/Annotations/clip-0/7/00001.png")), BACK * 255)


def test_sav_of_other_programs(tmp_path: Path) -> None:
    for number, t, mask in (("000", 0, FRONT), ("000", 4, FRONT), ("001", 4, BACK)):
        png(tmp_path / f"Annotations_6fps/sav_1/{number}/{t:05d}.png", mask)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "a folder for each object" and list(dataset.clips) == ["sav_1"]
    zero, one = dataset.clips["sav_1"].tracks().tracks
    assert zero == Track(0, rles(FRONT, None, None, None, FRONT)) and one.visible[4] == Rle.encode(BACK)
    for path in (tmp_path / "Annotations_6fps", tmp_path / "Annotations_6fps/sav_1"):
        assert find_dataset(path).format == "a folder for each object" and only(path).tracks == (zero, one)


NAMED: dict[str, tuple[list[str], list[int], list[str | None], str | None]] = {
    "ids": (["000", "001"], [0, 1], [None, None], None),
    "a word": (["obj_1", "obj_2"], [1, 2], ["obj", "obj"], "obj_1 is 1, obj_2 is 2"),
    "words": (["person_2", "001_dog"], [2, 1], ["person", "dog"], "person_2 is 2, 001_dog is 1"),
    "no numbers": (["mug", "box"], [2, 1], ["mug", "box"], "box is 1, mug is 2"),
    "equal numbers": (["a 1", "b 1"], [1, 2], ["a 1", "b 1"], "a 1 is 1, b 1 is 2"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_objects_are_named_by_their_folders(kind: str, tmp_path: Path) -> None:
    names, ids, labels, note = NAMED[kind]
    for name, mask in zip(names, (FRONT, BACK), strict=True):
        for frame in range(2):
            png(tmp_path / "masks" / name / f"{frame:05d}.png", mask * 255)
    clip = read_masks(tmp_path / "masks", SCENE.video)
    assert {track.id: (track.label, track.visible[0]) for track in clip.tracks} == {
        number: (label, Rle.encode(mask)) for number, label, mask in zip(ids, labels, (FRONT, BACK), strict=True)
    }
    assert clip.notes == (() if note is None else (f"masks: a folder for each of 2 objects: {note}",))


@pytest.mark.parametrize("names", [["obj_1", "obj_2"], ["person_2", "001_dog"], ["1_a", "2_b", "3_c"]])
def test_folders_with_numbers_may_be_objects_or_videos(names: list[str], tmp_path: Path) -> None:
    for name in names:
        png(tmp_path / name / "00000.png", FRONT)
    with pytest.raises(InputError, match="may be objects of one video or several videos"):
        find_dataset(tmp_path).clips.values()


def test_folders_without_numbers_are_reported_to_be_videos(tmp_path: Path) -> None:
    for name in ("bear", "camel"):
        png(tmp_path / "set" / name / "00000.png", FRONT)
    dataset = find_dataset(tmp_path / "set")
    assert list(dataset.clips) == ["bear", "camel"]
    assert dataset.clips["bear"].tracks().notes == (
        "set: 2 folders read as videos (bear, camel); if they are the objects of one video, pass the video",
    )
    with pytest.raises(InputError, match="the folder camel is named like the video"):
        read_masks(tmp_path / "set", replace(SCENE.video, path="camel.mp4"))


def test_folders_of_several_objects_are_videos(tmp_path: Path) -> None:
    for name in ("cars_1", "cars_2"):
        png(tmp_path / name / "00000.png", FRONT + 2 * (BACK & ~FRONT))
    assert list(find_dataset(tmp_path).clips) == ["cars_1", "cars_2"]


def test_an_object_is_unknown_where_its_folder_has_no_image(tmp_path: Path) -> None:
    for folder, t, mask in (("000", 0, FRONT), ("000", 1, NOTHING), ("001", 1, BACK), ("001", 2, BACK)):
        png(tmp_path / folder / f"{t:05d}.png", mask)
    zero, one = read_masks(tmp_path, SCENE.video).tracks
    assert zero.visible == rles(FRONT, NOTHING, None) and one.visible == rles(None, BACK, BACK)


def test_folders_of_frames_and_of_nothing_are_left_out(tmp_path: Path) -> None:
    for name in ("000/00000.png", "001/00001.png"):
        png(tmp_path / "masks" / name, FRONT)
    (tmp_path / "masks/002").mkdir()
    picture(tmp_path / "masks/rgb/00000.png")
    clip = read_masks(tmp_path / "masks", SCENE.video)
    assert [track.id for track in clip.tracks] == [0, 1]
    assert clip.notes == ("masks: the folders rgb hold no masks and are skipped",)


@given(npst.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, T), st.just(H), st.just(W))))
@settings(max_examples=25)
def test_overlapping_masks_are_kept(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    assume(stack.any())
    folder = tmp_path_factory.mktemp("masks")
    np.savez(folder / "m.npz", masks=stack, ids=range(1, len(stack) + 1))
    for number, masks in enumerate(stack, 1):
        write_object_masks(folder / "out", number, map(Rle.encode, masks))
    clip = read_masks(folder / "m.npz", VIDEO)
    assert read_masks(folder / "out", VIDEO) == clip
    for track, masks in zip(clip.tracks, stack, strict=True):
        for rle, mask in zip(track.visible, masks, strict=False):
            np.testing.assert_array_equal(np.zeros((H, W), dtype=bool) if rle is None else rle.decode(), mask)
