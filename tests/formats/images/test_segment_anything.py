"""The JSON of a single image is a clip; a folder may hold many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import BACK, FRONT, H, W, packed, picture, put, refusal, rles
from vidamodal.formats import find_dataset, read_masks
from vidamodal.formats.base import VideoContext
from vidamodal.types import VideoInfo


def sa1b(name: str = "sa_7.jpg") -> dict[str, Any]:
    image = {"image_id": 7, "width": W, "height": H, "file_name": name}
    return {"image": image, "annotations": [{"id": 4, "segmentation": packed(BACK), "predicted_iou": 0.9, "area": 12}]}


def grounded(name: str = "C:\\photos\\truck.jpg") -> dict[str, Any]:
    annotations = [
        {"class_name": label, "bbox": [1, 2, 3, 4], "segmentation": packed(mask), "score": [0.9]}
        for label, mask in (("car", FRONT), ("", BACK), ("tyre", BACK))
    ]
    size = {"box_format": "xyxy", "img_width": W, "img_height": H}
    return {"image_path": name, "annotations": annotations, **size}


def test_a_folder_of_images(tmp_path: Path) -> None:
    put(tmp_path / "sa_7.json", sa1b())
    put(tmp_path / "truck.json", grounded())
    picture(tmp_path / "sa_7.jpg")
    dataset = find_dataset(tmp_path)
    assert dataset.format == "SA-1B or Grounded-SAM-2" and sorted(dataset.clips) == ["sa_7", "truck"]
    assert not dataset.clips["truck"].kind_known
    assert len(list(dataset.clips["sa_7"].frames() or ())) == 1 and dataset.clips["truck"].frames() is None
    tracks = dataset.clips["truck"].tracks().tracks
    assert [(track.id, track.label, track.visible) for track in tracks] == [
        (1, "car", rles(FRONT)),
        (2, None, rles(BACK)),
        (3, "tyre", rles(BACK)),
    ]


@pytest.mark.parametrize(("name", "frame"), [("frames/00002.jpg", 2), ("take1_0.png", 0), ("f4.jpg", 4)])
def test_one_file_is_the_mask_of_one_frame(name: str, frame: int, tmp_path: Path) -> None:
    video = VideoContext(VideoInfo("film.mp4", H, W, 5, 10.0))
    for document in (sa1b(name.replace("1_", "x_")), grounded(name.replace("1_", "x_"))):
        found = read_masks(put(tmp_path / "a.json", document), video).tracks[-1].visible
        assert found == rles(*[BACK if t == frame else None for t in range(5)])


def test_several_frames_need_ids(tmp_path: Path) -> None:
    video = VideoContext(VideoInfo("film.mp4", H, W, 5, 10.0))
    for t in (0, 2):
        document = grounded(f"{t}.jpg")
        put(tmp_path / f"{t}.json", document)
    assert "add a track_id" in refusal(lambda: read_masks(tmp_path, video))
    for t in (0, 2):
        document = grounded(f"{t}.jpg")
        for number, annotation in enumerate(document["annotations"]):
            annotation["instance_id"] = number
        put(tmp_path / f"{t}.json", document)
    assert read_masks(tmp_path, video).tracks[0].visible == rles(FRONT, None, FRONT, None, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": 5}, "image must be an object"),
        ({"image": {"width": W}}, "height is missing"),
        ({"annotations": [{"segmentation": packed(BACK), "class_name": 5}]}, "class_name"),
        ({"annotations": [{"segmentation": None}]}, "has a mask"),
        ({"annotations": [{"segmentation": {**packed(BACK), "size": [W, H]}}]}, "swapped"),
    ],
)
def test_damaged_files_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", {**sa1b(), **change})
    assert words in refusal(lambda: [clip.tracks() for clip in find_dataset(path).clips.values()])
