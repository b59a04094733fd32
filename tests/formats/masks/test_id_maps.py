"""Folders of PNGs with ids, and single PNGs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.formats.mask_data import (
    FRAMES,
    VIDEO,
    as_palette,
    expected,
    id_maps,
    read_masks,
    save_grey,
    save_palette,
)
from tests.formats.video_data import BACK, FRONT, SCENE, H, T, W, only, picture, png, rles, save
from vidamodal.convert import convert
from vidamodal.formats import find_dataset
from vidamodal.types import InputError, Track, VideoInfo


def test_davis_pngs_hold_ids(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "davis")
    maps = [np.asarray(Image.open(tmp_path / f"out/Annotations/clip-0/{t:05d}.png")) for t in range(T)]
    np.testing.assert_array_equal(maps[0], np.where(FRONT, 3, np.where(BACK, 7, 0)))
    np.testing.assert_array_equal(maps[1], np.where(FRONT, 3, 0))
    meta = json.loads((tmp_path / "out/meta.json").read_text())["videos"]["clip-0"]["objects"]
    assert meta == {"3": {"category": "mug", "frames": ["00000", "00001", "00002"]}, "7": {"frames": ["00000"]}}


def test_davis_of_other_programs(tmp_path: Path) -> None:
    for t in (0, 2):
        png(tmp_path / f"Annotations/480p/bear/{t:05d}.png", np.where(FRONT, 1, np.where(BACK, 255, 0)))
    png(tmp_path / "Annotations/480p/camel/00001.png", np.where(BACK, 2, np.where(FRONT, 1, 0)))
    for t in range(T):
        picture(tmp_path / f"JPEGImages/480p/bear/{t:05d}.jpg")
    dataset = find_dataset(tmp_path)
    assert dataset.format == "a folder of id maps" and list(dataset.clips) == ["bear", "camel"]
    bear = dataset.clips["bear"]
    assert bear.tracks().tracks == (Track(1, rles(FRONT, None, FRONT)),) and bear.tracks().video.frames == T
    assert len(list(bear.frames() or ())) == T
    camel = dataset.clips["camel"].tracks()
    assert camel.video == VideoInfo("camel", H, W, 2, 24.0) and [t.id for t in camel.tracks] == [1, 2]
    assert only(tmp_path / "Annotations/480p/bear") == bear.tracks()


def test_void_is_background_beside_other_ids_and_an_object_alone(tmp_path: Path) -> None:
    maps = id_maps()
    alone = (maps[0] == 1).astype(np.uint8) * 255
    maps[:, 0, :] = 255
    for frame, values in zip(FRAMES, maps, strict=True):
        save_palette(tmp_path / "void" / f"{frame}.png", values)
    assert read_masks(tmp_path / "void", VIDEO) == expected()
    np.savez(tmp_path / "void.npz", masks=maps, frames=FRAMES)
    assert read_masks(tmp_path / "void.npz", VIDEO) == expected()
    np.savez(tmp_path / "named.npz", masks=maps, frames=FRAMES, ids=[1, 5, 255])
    assert [track.id for track in read_masks(tmp_path / "named.npz", VIDEO).tracks] == [1, 5, 255]
    save_grey(tmp_path / "binary" / "0.png", alone)
    assert [track.id for track in read_masks(tmp_path / "binary", VIDEO).tracks] == [255]


def test_an_image_takes_one_png(tmp_path: Path) -> None:
    save_palette(tmp_path / "mask.png", id_maps()[1])
    clip = read_masks(tmp_path / "mask.png", VideoInfo("photo.jpg", VIDEO.height, VIDEO.width, 1, 1.0))
    assert [track.id for track in clip.tracks] == [1, 5] and clip.notes == ()


@pytest.mark.parametrize(
    ("name", "frame"), [("mask.png", 0), ("00000.png", 0), ("00003.png", 3), ("take-2024_004.png", 4), ("first.PNG", 0)]
)
def test_one_image_is_the_masks_of_one_frame_of_a_video(name: str, frame: int, tmp_path: Path) -> None:
    save_palette(tmp_path / name, id_maps()[1])
    clip = read_masks(tmp_path / name, VIDEO)
    assert [[t for t, mask in enumerate(track.visible) if mask is not None] for track in clip.tracks] == [[frame]] * 2
    assert clip.notes == (f"{name}: the masks of frame {frame}; those of the other 5 frames are unknown",)


def test_one_image_beyond_the_end_of_the_video_is_refused(tmp_path: Path) -> None:
    save_palette(tmp_path / "00012.png", id_maps()[1])
    with pytest.raises(InputError, match="frame 12 is beyond the end of the video"):
        read_masks(tmp_path / "00012.png", VIDEO)


NEW_ONLY = "masks: each frame lists only objects that are new there; the others are unknown"


@pytest.mark.parametrize("frames", [(0, 2), (0, 1, 4), (1, 5)])
def test_a_set_of_new_objects_leaves_the_others_unknown(frames: tuple[int, ...], tmp_path: Path) -> None:
    for number, frame in enumerate(frames, 1):
        save_palette(tmp_path / "masks" / f"{frame:05d}.png", (id_maps()[0] == 1) * number)
    clip = read_masks(tmp_path / "masks", VIDEO)
    known = {track.id: [t for t, mask in enumerate(track.visible) if mask is not None] for track in clip.tracks}
    assert known == {number: [frame] for number, frame in enumerate(frames, 1)}
    assert clip.notes == (NEW_ONLY,)


@pytest.mark.parametrize("ids", [[{1}, {1, 2}], [{1}, set(), {2}], [{1}, {2}, {3}, {4}, {5}, {6}]])
def test_in_other_sets_an_absent_object_is_hidden(ids: list[set[int]], tmp_path: Path) -> None:
    for frame, listed in enumerate(ids):
        values = np.zeros(id_maps()[0].shape)
        for number in listed:
            values[number] = number
        save_palette(tmp_path / "masks" / f"{frame:05d}.png", values)
    clip = read_masks(tmp_path / "masks", VIDEO)
    assert clip.notes == ()
    for track in clip.tracks:
        first = min(frame for frame, listed in enumerate(ids) if track.id in listed)
        assert [mask is not None for mask in track.visible] == [first <= t < len(ids) for t in range(VIDEO.frames)]


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    as_palette(tmp_path)
    (tmp_path / "readme.txt").write_text("masks")
    (tmp_path / "._00000.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    assert read_masks(tmp_path, VIDEO) == expected()


def test_webps_are_masks(tmp_path: Path) -> None:
    maps = np.zeros((2, 48, 64), np.uint8)
    maps[:, 8:32, 4:30], maps[:, 34:46, 40:62] = 1, 2
    video = VideoInfo("v.mp4", 48, 64, 2, 10.0)
    for name, factor, lossless in (("ids", 1, True), ("levels", 120, False), ("painted", 100, True)):
        (tmp_path / name).mkdir()
        for t, ids in enumerate(maps):
            Image.fromarray(ids * np.uint8(factor)).convert("RGB").save(
                tmp_path / name / f"{t:05d}.webp", lossless=lossless, quality=90
            )
        one, two = read_masks(tmp_path / name, video).tracks
        assert lossless is False or (one.id, two.id) == (factor, 2 * factor)
        for track, number in ((one, 1), (two, 2)):
            assert track.visible[1] is not None
            assert np.sum(track.visible[1].decode() ^ (maps[1] == number)) <= (0 if lossless else 30)
    assert len(read_masks(tmp_path / "ids/00001.webp", video).tracks) == 2
