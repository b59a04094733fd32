"""YouTube-VIS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.video_data import (
    BACK,
    CORNERS,
    FRONT,
    NOTHING,
    H,
    T,
    W,
    only,
    packed,
    picture,
    put,
    rles,
    written,
    youtube_vis,
)
from vidamodal.formats import find_dataset, read_masks
from vidamodal.formats.base import VideoContext
from vidamodal.types import ClipTracks, Track, VideoInfo


def test_youtube_vis_has_null_where_nothing_is(tmp_path: Path) -> None:
    document = written(tmp_path, "youtube-vis")
    assert document["videos"][0]["file_names"] == [f"clip-0/{t:05d}.jpg" for t in range(T)]
    assert document["annotations"][1]["segmentations"] == [packed(BACK & ~FRONT), None, None]
    assert document["annotations"][1]["bboxes"] == [[2, 2, 3, 4], None, None]
    assert document["annotations"][1]["areas"] == [10, None, None]


def test_youtube_vis_of_other_programs(tmp_path: Path) -> None:
    path = put(tmp_path / "instances.json", youtube_vis())
    for number in (0, 5, 10):
        picture(tmp_path / f"JPEGImages/0a4/{number:05d}.jpg")
    dataset = find_dataset(tmp_path)
    assert dataset.format == "YouTube-VIS" and list(dataset.clips) == ["0a4"]
    track = Track(9, rles(None, BACK, NOTHING), label="car")
    assert "have gaps" in only(path).notes[0]
    assert only(path) == ClipTracks(VideoInfo("0a4", H, W, T, 6.0), (track,), provenance={"layout": "YouTube-VIS"})
    frames = dataset.clips["0a4"].frames()
    assert frames is not None and len(list(frames)) == T


@pytest.mark.parametrize(
    ("numbers", "frames", "known"),
    [((0, 2, 4), 5, (0, 2, 4)), ((0, 5, 10), 12, (0, 5, 10)), ((1, 3, 5), 5, (0, 2, 4)), ((7, 8, 9), 3, (0, 1, 2))],
)
def test_frames_of_a_video(numbers: tuple[int, ...], frames: int, known: tuple[int, ...], tmp_path: Path) -> None:
    document = youtube_vis(segmentations=[packed(FRONT), packed(BACK), packed(FRONT)])
    document["videos"][0]["file_names"] = [f"0a4/{number:05d}.jpg" for number in numbers]
    path = put(tmp_path / "a.json", document)
    clip = read_masks(path, VideoContext(VideoInfo("a.mp4", H, W, frames, 10.0)))
    masks = dict(zip(known, (FRONT, BACK, FRONT), strict=True))
    assert clip.tracks[0].visible == rles(*[masks.get(t) for t in range(frames)])


def test_boxes_without_masks_and_crowds(tmp_path: Path) -> None:
    document = youtube_vis(bboxes=[[1, 1, 2, 2], [2, 2, 3, 4], [0, 0, 0, 0]])
    document["annotations"].append({**document["annotations"][0], "id": 10, "iscrowd": 1})
    document["annotations"].append({**document["annotations"][0], "id": 11, "video_id": "another"})
    clip = only(put(tmp_path / "a.json", document))
    assert [(track.id, track.visible) for track in clip.tracks] == [(9, rles(None, BACK, NOTHING))]
    assert "1 crowd region" in clip.notes[0] and "such as another" in clip.notes[1]
    document = youtube_vis(segmentations=[[CORNERS], None, []], bboxes=[[2, 2, 3, 4], [1, 1, 2, 2], None])
    clip = only(put(tmp_path / "a.json", document))
    assert clip.tracks[0].visible == rles(BACK, None, NOTHING)
    assert "its mask is unknown" in clip.notes[-1]


def test_the_video_of_its_name_is_read(tmp_path: Path) -> None:
    document = youtube_vis()
    document["videos"].append({**document["videos"][0], "id": 2, "file_names": [f"film/{t}.jpg" for t in range(3)]})
    path = put(tmp_path / "a.json", document)
    clip = read_masks(path, VideoContext(VideoInfo("film.mp4", H, W, 3, 10.0)))
    assert clip.tracks == () and "a.json: the video film of 2 is read" in clip.notes


def test_an_object_may_be_in_a_crowd(tmp_path: Path) -> None:
    document = youtube_vis(segmentations=[[CORNERS], None, None])
    crowd = {**document["annotations"][0], "id": 10, "iscrowd": 1, "segmentations": [None, packed(FRONT), None]}
    document["annotations"].append(crowd)
    assert only(put(tmp_path / "a.json", document)).tracks[0].visible == rles(BACK, None, NOTHING)
