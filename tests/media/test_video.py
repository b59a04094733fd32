"""Tests of opening videos, folders of frames and single images."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from PIL import Image

from tests.media.helpers import H, N, W, make, mutate, number_of, picture, sample_videos
from vidamodal.media.video import FOLDER_FPS, open_bytes, open_video
from vidamodal.types import InputError, VideoInfo


def test_bytes_in_memory_are_read_like_a_file(tmp_path: Path) -> None:
    reader = open_bytes(make(tmp_path / "v.mp4").read_bytes(), "clip.mp4")
    assert reader.info.path == "clip.mp4"
    assert [number_of(image) for image in reader.frames(8, 12)] == [8, 9, 10, 11]
    assert [number_of(image) for image in reader.pick([11, 2])] == [11, 2]
    with pytest.raises(InputError, match=r"^half\.mp4: "):
        open_bytes((tmp_path / "v.mp4").read_bytes()[:1000], "half.mp4")


def test_a_folder_of_frames_in_natural_order(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(picture(number)).save(tmp_path / f"f{number}.{'png' if number % 2 else 'jpg'}")
    (tmp_path / "notes.txt").write_text("x")
    reader = open_video(tmp_path)
    assert reader.info == VideoInfo(tmp_path.name, H, W, 12, FOLDER_FPS)
    assert reader.stems == tuple(f"f{number}" for number in range(12))
    assert [number_of(image) for image in reader.frames()] == list(range(12))
    assert [number_of(image) for image in reader.frames(9, 11)] == [9, 10]
    assert [number_of(image) for image in reader.pick([3, 11])] == [3, 11]


def test_folders_with_inconsistent_frames_are_refused(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    Image.fromarray(picture(1, 50, 80)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png: 50 x 80 pixels, but the first frame has 48 x 80"):
        list(open_video(tmp_path).frames())
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"1\.png: cannot be read as an image"):
        list(open_video(tmp_path).frames())
    Image.fromarray(picture(0)).save(tmp_path / "0.jpg")
    with pytest.raises(InputError, match=r"0\.png and 0\.jpg may be the same frame"):
        open_video(tmp_path)


def test_masks_beside_the_frames_are_left_out_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(picture(number)).save(folder / f"{number:05d}.jpg")
        Image.fromarray(picture(number)[..., 0]).save(folder / f"{number:05d}_mask.png")
    reader = open_video(folder)
    assert reader.stems == ("00000", "00001", "00002")
    assert reader.notes == (
        "clip: the frames are the 3 images like 00000.jpg; 3 other images left out (00000_mask.png)",
    )


def test_a_folder_of_folders_names_those_with_images(tmp_path: Path) -> None:
    (tmp_path / "rgbs").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "rgbs/0.png")
    with pytest.raises(InputError, match="Pass the folder of frames among rgbs"):
        open_video(tmp_path)


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(picture(77, 47, 81)).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    reader = open_video(tmp_path / "p.png")
    assert reader.info == VideoInfo("p.png", 47, 81, 1, 1.0) and reader.stems is None
    assert [number_of(image) for image in reader.frames()] == [77]


def test_ranges_outside_the_video_are_refused(tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4"))
    assert reader.info == VideoInfo("v.mp4", H, W, N, 30.0)
    with pytest.raises(ValueError, match="frames 0 to 31 lie outside"):
        reader.frames(0, 31)


def test_heif_images_are_refused(tmp_path: Path) -> None:
    for brand in (b"heic", b"mif1"):
        (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(12))
        with pytest.raises(InputError, match="a HEIF image"):
            open_video(tmp_path / "photo.heic")


def check_mutations(folder: Path, count: int) -> None:
    """Each mutation gives frames or one line of error."""
    read, refusals = 0, []
    for path in sample_videos(folder):
        content, random, damaged = path.read_bytes(), Random(path.name), folder / f"damaged{path.suffix}"
        for _ in range(count):
            damaged.write_bytes(mutate(content, random))
            try:
                reader = open_video(damaged)
                assert sum(1 for _ in reader.frames()) == reader.info.frames
                read += 1
            except InputError as error:
                refusals.append(str(error))
    assert read > count and len(refusals) > count
    assert all(message.startswith(f"{folder / 'damaged.'}") and "\n" not in message for message in refusals)


def test_damaged_files_give_frames_or_one_line(tmp_path: Path) -> None:
    check_mutations(tmp_path, 8)


@pytest.mark.parametrize("name", ["\\\\host\\share", "C:\\a", "a\\b"])
def test_a_name_holds_no_backslashes_as_they_make_absolute_paths_elsewhere(name: str, tmp_path: Path) -> None:
    """Written names must be plain on every system."""
    video = make(tmp_path / f"{name}.mp4", numbers=range(2))
    image, folder = tmp_path / f"{name}.png", tmp_path / name
    folder.mkdir()
    for path in (image, folder / "0.png"):
        Image.fromarray(picture(0)).save(path)
    for path in (video, image, folder):
        assert open_video(path).info.path == path.name.replace("\\", "_")
