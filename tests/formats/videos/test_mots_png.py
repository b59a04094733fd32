"""MOTS as PNGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.formats.video_data import BACK, FRONT, NOTHING, H, Mask, T, W, refusal, rles
from vidamodal.formats import VideoContext, find_dataset, read_masks
from vidamodal.types import Track, VideoInfo

VIDEO = VideoContext(VideoInfo("v.mp4", H, W, T, 12.0))
OTHER = BACK & ~FRONT


def put(path: Path, *masks: tuple[int, Mask]) -> Path:
    values = np.zeros((H, W), np.uint16)
    for number, mask in masks:
        values[mask] = number
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def sequence(folder: Path) -> Path:
    put(folder / "000000.png")
    put(folder / "000001.png", (1005, FRONT), (10000, OTHER))
    put(folder / "000002.png", (2001, OTHER))
    return folder


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (W, H)).save(folder / name)


TRACKS = (
    Track(1005, rles(None, FRONT, NOTHING), label="car"),
    Track(2001, rles(None, None, OTHER), label="pedestrian"),
)


@pytest.mark.parametrize("start", ["", "instances", "instances/0002"])
def test_sequences_are_clips(tmp_path: Path, start: str) -> None:
    sequence(tmp_path / "instances/0002")
    pictures(tmp_path / "image_02/0002", [f"{t:06d}.png" for t in range(T)])
    dataset = find_dataset(tmp_path / start)
    (clip,) = dataset.clips.values()
    tracks = clip.tracks()
    assert dataset.format == "MOTS PNGs" and clip.kind_known and clip.key == "0002"
    assert tracks.tracks == TRACKS and tracks.video.frames == T and tracks.video.fps == 10
    assert tracks.notes == ("0002: regions to ignore (10000) left out",)
    frames = clip.frames()
    assert frames is not None and len(list(frames)) == T


def test_masks_of_a_video(tmp_path: Path) -> None:
    found = read_masks(sequence(tmp_path / "instances/0002"), VIDEO)
    assert found.tracks == TRACKS and found.video == VIDEO.info


def test_names_of_labels_stand_in_the_folder(tmp_path: Path) -> None:
    put(tmp_path / "train/instances/1.png", (3002, FRONT))
    put(tmp_path / "train/instances/2.png", (4001, OTHER))
    (tmp_path / "train/instances/labels.txt").write_text("a\nb\nc\nd\n")
    pictures(tmp_path / "train/images", ["1.jpg", "2.jpg"])
    (clip,) = find_dataset(tmp_path / "train").clips.values()
    assert clip.tracks().tracks == (
        Track(3002, rles(FRONT, NOTHING), label="c"),
        Track(4001, rles(None, OTHER), label="d"),
    )


@pytest.mark.parametrize("folder", ["instances/0002", "other/0002"])
def test_other_ids_are_those_of_id_maps(tmp_path: Path, folder: str) -> None:
    number = 7 if folder.startswith("instances") else 1005
    put(tmp_path / folder / "000000.png", (number, FRONT))
    assert find_dataset(tmp_path / folder).format == "a folder of id maps"


def test_pngs_beyond_the_video_are_refused(tmp_path: Path) -> None:
    put(sequence(tmp_path / "instances/0002") / "000009.png", (1005, FRONT))
    assert "000009" in refusal(lambda: read_masks(tmp_path / "instances/0002", VIDEO))


def test_objects_are_unknown_beside_a_region_to_ignore(tmp_path: Path) -> None:
    for t, mask in enumerate([(1005, FRONT), (10000, OTHER), (2001, OTHER)]):
        put(tmp_path / f"instances/0002/{t:06d}.png", mask)
    assert read_masks(tmp_path / "instances/0002", VIDEO).tracks[0].visible == rles(FRONT, None, NOTHING)
