"""PNGs are matched to frames, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

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
    save_grey,
    save_palette,
)
from vidamodal.formats import VideoContext
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.types import InputError, VideoInfo


def pairs(
    tmp_path: Path, names: Sequence[str], length: int = 5, fps: float = 10.0, frame_names: Sequence[str] | None = None
) -> tuple[list[int], str | None]:
    """Return the frame of each name, and the note."""
    video = VideoContext(VideoInfo("v.mp4", 4, 4, length, fps), None if frame_names is None else tuple(frame_names))
    files = [tmp_path / f"{name}.png" for name in names]
    found = pair_with_frames(files, video)
    return [found.frames[file] for file in files], found.note


@pytest.mark.parametrize(
    "pattern",
    [
        "{}",
        "{:05d}",
        "{:05d}_mask",
        "take2_{:05d}",
        "clip-2024_{:05d}_mask",
        "frame{:05d}",
        "video.mp4_{:06d}",
        "shot_010.{:04d}",
        "2024-11-28 cam3 ({})",
    ],
)
def test_the_number_that_counts_is_the_frame(pattern: str, tmp_path: Path) -> None:
    frames = [0, 1, 3, 4]
    assert pairs(tmp_path, [pattern.format(frame) for frame in frames]) == (frames, None)


@given(
    st.text("ab_-3.", max_size=6),
    st.text("ab_-", max_size=4),
    st.integers(1, 5),
    st.sets(st.integers(0, 30), min_size=2).map(sorted),
)
def test_any_text_around_the_number_is_ignored(before: str, after: str, width: int, frames: list[int]) -> None:
    if before[-1:].isdigit() or before.endswith("."):
        before += "_"
    names = [f"{before}{frame:0{width}d}{after}" for frame in frames]
    assert pairs(Path(), names, length=31)[0] == frames


NUMBERED = {
    "from 1": ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], "file names count from 1: 1.png is frame 0"),
    "from 1, with later frames only": ([3, 4, 5], [2, 3, 4], "file names count from 1: 3.png is frame 2"),
    "from 1, every second": ([1, 3, 5], [0, 2, 4], "file names count from 1: 1.png is frame 0"),
    "from 8": ([8, 9, 10, 11, 12], [0, 1, 2, 3, 4], "file names count from 8: 8.png is frame 0"),
    "from 1 or not": ([1, 2, 3], [1, 2, 3], "1.png is read as frame 1 (0-based); frame 0 has no file"),
    "from 0": ([0, 4], [0, 4], None),
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_other_numberings_are_recognised_if_only_they_fit(kind: str, tmp_path: Path) -> None:
    numbers, frames, note = NUMBERED[kind]
    assert pairs(tmp_path, [str(number) for number in numbers]) == (frames, note)


@pytest.mark.parametrize("numbers", [[0, 5], [1, 2, 3, 4, 5, 6], [2, 5], [0, 10, 20, 30, 40], [1001, 1003]])
def test_numbers_that_do_not_fit_are_refused(numbers: list[int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is beyond the end of the video"):
        pairs(tmp_path, [str(number) for number in numbers])


TIMES = {
    "milliseconds": (["0.000", "0.040", "0.160"], 25.0, [0, 1, 4]),
    "seconds": (["1.25", "1.50", "0.75"], 4.0, [5, 6, 3]),
    "text around": (["frame_0.04s", "frame_0.08s", "frame_0.20s"], 24.0, [1, 2, 5]),
    "cut digits": (["0.033", "0.066", "0.100"], 29.97, [1, 2, 3]),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_are_paired_by_the_frame_rate(kind: str, tmp_path: Path) -> None:
    names, fps, frames = TIMES[kind]
    found, note = pairs(tmp_path, names, 10, fps)
    assert found == frames and note is not None and note.startswith(f"named by time at {fps:g} frames per second")


def test_numbers_that_may_be_times_or_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several numbers that may be the frame"):
        pairs(tmp_path, ["0.000", "0.040"], 100, 25.0)
    with pytest.raises(InputError, match="several numbers that may be the frame"):
        pairs(tmp_path, ["take1_0", "take2_1"])


BY_NAME = {
    "equal": (["a", "c"], ["a", "b", "c"], [0, 2]),
    "numbers from elsewhere": (["00001255", "00001261"], ["00001255", "00001258", "00001261"], [0, 2]),
    "suffix": (["a_mask", "c_mask"], ["a", "b", "c"], [0, 2]),
    "prefix and suffix": (["seg 1255 x", "seg 1258 x"], ["1255", "1258"], [0, 1]),
    "longer frames": (["00001", "00003"], ["clip_00001", "clip_00002", "clip_00003"], [0, 2]),
    "equal numbers": (["mask_1", "mask_3"], ["frame_00001.x", "frame_00002.x", "frame_00003.x"], [0, 2]),
    "from 0": (["0", "1", "2"], ["img1", "img2", "img3"], [0, 1, 2]),
}


@pytest.mark.parametrize("kind", BY_NAME)
def test_masks_are_paired_with_the_names_of_frames(kind: str, tmp_path: Path) -> None:
    masks, frames, expected_frames = BY_NAME[kind]
    assert pairs(tmp_path, masks, len(frames), frame_names=frames)[0] == expected_frames


SHIFTED = {
    "masks from 1": (range(1, 6), range(5), "file names count from 1: 00001.png is frame 0"),
    "masks from 3": (range(3, 8), range(5), "file names count from 3: 00003.png is frame 0"),
    "frames from 1": (range(5), range(1, 6), "the frames have other names (00001)"),
}


@pytest.mark.parametrize("kind", SHIFTED)
def test_as_many_masks_as_frames_are_paired_in_order_if_their_numbers_are_shifted(kind: str, tmp_path: Path) -> None:
    masks, frames, note = SHIFTED[kind]
    found, notes = pairs(tmp_path, [f"{k:05d}" for k in masks], 5, frame_names=[f"{k:05d}" for k in frames])
    assert list(found) == list(range(5)) and note in str(notes)


SOME_NAMED = {
    "beyond the end": (["00003", "00004", "00005"], "00005"),
    "an image between": (["00000", "00001x", "00002"], "00001x"),
}


@pytest.mark.parametrize("kind", SOME_NAMED)
def test_names_of_which_some_are_those_of_frames_are_refused(kind: str, tmp_path: Path) -> None:
    names, strange = SOME_NAMED[kind]
    with pytest.raises(InputError, match=f"{strange}.png: "):
        pairs(tmp_path, names, frame_names=[f"{frame:05d}" for frame in range(5)])


def test_equal_numbers_count_where_some_names_are_padded(tmp_path: Path) -> None:
    names = [f"{number:02d}" for number in range(8, 12)]
    assert pairs(tmp_path, names, 12, frame_names=[str(number) for number in range(12)]) == ([8, 9, 10, 11], None)


@pytest.mark.parametrize("name", ["mask", "photo_2024_1234", "IMG-17 (2)"])
def test_the_only_frame_takes_the_only_mask(name: str, tmp_path: Path) -> None:
    assert pairs(tmp_path, [name], 1) == ([0], None)
    assert pairs(tmp_path, ["a/" + name, "b/other"], 1, frame_names=["photo"]) == ([0, 0], None)


def test_other_names_than_those_of_the_frames_are_reported(tmp_path: Path) -> None:
    _, note = pairs(tmp_path, ["0", "1"], 2, frame_names=["img1", "img2"])
    assert note == "the frames have other names (img1); numbers are 0-based frames: 0.png is frame 0"


def test_files_of_several_objects_in_one_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="move the masks of each object into a separate folder"):
        pairs(tmp_path, ["0_1", "0_2", "1_1", "1_2"])


@pytest.mark.parametrize("suffix", ["bmp", "tif", "JPG", "jpeg"])
def test_masks_of_other_kinds_of_images(suffix: str, tmp_path: Path) -> None:
    for frame in range(T):
        Image.fromarray(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)[None].repeat(64, 0)).save(
            tmp_path / f"{frame}.{suffix}"
        )
    (track,) = read_masks(tmp_path, VideoInfo("v.mp4", 64, 64, T, 10.0)).tracks
    assert [mask is not None and mask.area() for mask in track.visible] == [64 * 32] * T


def test_the_folders_of_objects_are_numbered_together(tmp_path: Path) -> None:
    files = [tmp_path / f"{folder}/{number:05d}.png" for folder, number in (("a", 1), ("a", 2), ("b", 3), ("b", 5))]
    video = VideoContext(VideoInfo("v.mp4", 4, 4, 5, 10.0))
    with pytest.raises(InputError, match="beyond the end"):
        pair_with_frames(files, video)
    found = pair_with_frames([*files, tmp_path / "b/00004.png"], video)
    assert [found.frames[file] for file in files] == [0, 1, 2, 4]
    assert list(found.in_folder(tmp_path / "b")) == [2, 3, 4]


def test_masks_beside_frames_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(folder / f"{frame:05d}_mask.png", values)
    for frame in range(T):
        Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(folder / f"{frame:05d}.jpg")
    for names in (None, [f"{frame:05d}" for frame in range(T)]):
        clip = read_masks(folder, VIDEO, names)
        assert clip == expected()
        assert clip.notes == (
            "clip: the masks are the 4 images like 00000_mask.png; 6 other images left out (00000.jpg)",
        )


@pytest.mark.parametrize(
    "name", ["._00000.png", "Thumbs.db", "@eaDir", "checkpoints", "lost+found", ".ipynb_checkpoints"]
)
def test_files_of_other_programs_are_passed_over(name: str, tmp_path: Path) -> None:
    as_palette(tmp_path)
    if "." in name[1:]:
        (tmp_path / name).write_bytes(b"x")
    else:
        as_palette(tmp_path / name)
    assert read_masks(tmp_path, VIDEO) == expected()


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


def another_object(path: Path, name: str) -> None:
    save_grey(as_object_folders(path) / name / "00000.png", (id_maps()[0] == 1).astype(np.uint8))


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
    "two numbers": (lambda p: save_palette(p / "take1_2.png", id_maps()[0]), "hold several numbers that may be the"),
    "twice": (lambda p: save_palette(as_palette(p) / "0.png", id_maps()[0]), " 0.png and 00000.png are for the same"),
    "half a PNG": (with_half_a_png, "00003.png: cannot be read as an image"),
    "maps beside folders": (lambda p: as_palette(as_object_folders(p)), "both images and folders"),
    "a folder of several objects": (lambda p: as_palette(as_object_folders(p) / "mug"), "the masks of 3 clips"),
    "a huge id": (lambda p: another_object(p, "9" * 10), "must be named by its id"),
    "one id twice": (lambda p: another_object(p, "1"), "has the same id"),
    "empty folders": (lambda p: (p / "000").mkdir(parents=True), "in no known format"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    save, message = BAD_FOLDERS[name]
    save(tmp_path / "masks")
    with pytest.raises(InputError, match=message) as error:
        read_masks(tmp_path / "masks", VIDEO)
    assert "\n" not in str(error.value)
