"""YouTube-VIS."""

from __future__ import annotations

from pathlib import Path

from tests.formats.video_data import (
    BACK,
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
from vidamodal.formats import find_dataset
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
    assert only(path) == ClipTracks(VideoInfo("0a4", H, W, T, 6.0), (track,), provenance={"layout": "YouTube-VIS"})
    frames = dataset.clips["0a4"].frames()
    assert frames is not None and len(list(frames)) == T
