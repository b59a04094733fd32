"""KITTI's tracking labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.video_data import refusal
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.media.images import write_image
from vidamodal.types import ClipTracks, VideoInfo

VIDEO = VideoInfo("v.mp4", 20, 30, 3, 10.0)
REST = "1.5 1.6 3.9 2.1 1.4 8.4 -1.5"
LABELS = f"""0 -1 DontCare -1 -1 -10 1 1 5 5 -1 -1 -1 -1000 -1000 -1000 -10
0 2 Car 0 1 -1.7 10.0 2.5 30.0 8.0 {REST}
1 2 Car 1 3 -1.7 11.0 2.5 30.0 8.0 {REST}
2 2 Car 2 0 -1.7 12.0 2.5 30.0 8.0 {REST}
2 0 Pedestrian 0 -1 0.1 1 2 3 4 {REST}
"""


def put(path: Path, text: str = LABELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def clip_at(path: Path, video: VideoInfo | None = VIDEO) -> ClipTracks:
    (clip,) = find_dataset(path, video=None if video is None else VideoContext(video)).clips.values()
    return clip.tracks()


def test_labels_give_amodal_boxes_occlusion_and_truncation(tmp_path: Path) -> None:
    clip = clip_at(put(tmp_path / "label_02/0004.txt"))
    pedestrian, car = clip.tracks
    assert (pedestrian.id, pedestrian.label, pedestrian.boxes) == (0, "Pedestrian", (None, None, (1, 2, 3, 4)))
    assert pedestrian.occlusion == (None, None, None)
    assert (car.id, car.label) == (2, "Car") and car.visible == (None,) * 3
    assert car.boxes == ((10, 2.5, 30, 8), (11, 2.5, 30, 8), None)
    assert car.occlusion == (1, 3, None) and car.truncated == (False, True, None)
    assert clip.notes[1:] == (
        "0004.txt: 1 row left out (DontCare)",
        "0004.txt: 1 row left out (truncated is 2)",
    )
    assert "border of the image" in clip.notes[0]


@pytest.mark.parametrize("root", ["", "label_02", "training/label_02"])
def test_sizes_come_from_the_pictures_beside_the_labels(tmp_path: Path, root: str) -> None:
    labels = put(tmp_path / "training/label_02/0004.txt").parent
    pictures = labels.with_name("image_02") / "0004"
    pictures.mkdir(parents=True)
    for t in range(4):
        write_image(pictures / f"{t:06d}.png", np.zeros((20, 30, 3), np.uint8))
    path = {"": tmp_path, "label_02": labels.parent, "training/label_02": labels}[root]
    (clip,) = find_dataset(path).clips.values()
    assert clip.key == "0004" and clip.tracks().video == VideoInfo("0004", 20, 30, 4, 10.0)
    frames = clip.frames()
    assert frames is not None and len(list(frames)) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"4 2 Car 0 0 0 1 2 3 4 {REST}", "frame 4 lies outside the video (3 frames, counted from 0)"),
        (f"0 -1 Car 0 0 0 1 2 3 4 {REST}", "id -1 is not a track id"),
        (f"0 2 Car 0 0 0 3 2 3 4 {REST}", "an empty box"),
        (f"0 2 Car 0 0 0 1 2 3 4 {REST}\n0 2 Car 0 0 0 1 2 3 4 {REST}", "line 2: a second box of object 2"),
        (f"0 2 Car 0 0 0 1 2 3 4 {REST}\n1 2 Car", "line 2: 3 values, but a row has 17 to 18"),
    ],
)
def test_damaged_labels_are_refused(tmp_path: Path, row: str, message: str) -> None:
    assert message in refusal(lambda: clip_at(put(tmp_path / "a.txt", f"{row}\n")))


def test_labels_without_a_size_ask_for_the_video(tmp_path: Path) -> None:
    assert "pass its video" in refusal(lambda: clip_at(put(tmp_path / "0001.txt"), None))


def test_labels_of_single_images_are_not_tracks(tmp_path: Path) -> None:
    put(tmp_path / "000001.txt", f"Car 0 0 0 1 2 3 4 {REST}\n")
    assert "in no known format" in refusal(lambda: find_dataset(tmp_path))
