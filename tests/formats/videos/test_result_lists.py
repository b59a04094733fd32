"""Lists of results are read with the size of their masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import BACK, CORNERS, FRONT, NOTHING, H, W, packed, put, refusal, rles
from vidamodal.formats import find_dataset, read_masks
from vidamodal.formats.base import VideoContext
from vidamodal.types import VideoInfo


def result(image: Any, mask: Any, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "segmentation": mask, "score": 0.5, **more}


def of_video(*masks: Any, video: Any = 3) -> dict[str, Any]:
    return {"video_id": video, "category_id": 1, "segmentations": list(masks), "score": 0.5}


def context(frames: int) -> VideoContext:
    return VideoContext(VideoInfo("film.mp4", H, W, frames, 10.0))


TRACKED = [
    result(image, packed(mask), track_id=track)
    for image, track, mask in ((12, 1, FRONT), (4, 1, BACK), (4, 2, FRONT), (8, 2, BACK))
]


def test_images_without_ids_are_clips(tmp_path: Path) -> None:
    dataset = find_dataset(
        put(tmp_path / "r.json", [result(9, packed(FRONT)), result(2, packed(BACK)), result(9, packed(BACK))])
    )
    assert dataset.format == "COCO or YouTube-VIS results" and sorted(dataset.clips) == ["2", "9"]
    tracks = dataset.clips["9"].tracks()
    assert [track.visible for track in tracks.tracks] == [rles(FRONT), rles(BACK)]
    assert tracks.notes == ("r.json: 3 results; scores are not read, and categories have no names",)


def test_tracked_results_are_one_clip_in_the_order_of_images(tmp_path: Path) -> None:
    (clip,) = find_dataset(put(tmp_path / "r.json", TRACKED)).clips.values()
    tracks = clip.tracks()
    assert [track.visible for track in tracks.tracks] == [rles(BACK, NOTHING, FRONT), rles(FRONT, BACK, NOTHING)]
    assert any("have gaps" in note for note in tracks.notes)


def test_image_ids_are_frames_of_a_video(tmp_path: Path) -> None:
    tracks = read_masks(put(tmp_path / "r.json", TRACKED), context(14)).tracks
    assert {t: mask for t, mask in enumerate(tracks[0].visible) if mask} == {
        4: rles(BACK)[0],
        8: rles(NOTHING)[0],
        12: rles(FRONT)[0],
    }
    assert "go from 4 to 12" in refusal(lambda: read_masks(tmp_path / "r.json", context(9)))


def test_results_of_videos(tmp_path: Path) -> None:
    path = put(tmp_path / "r.json", [of_video(None, packed(BACK), None), of_video(packed(FRONT), None, packed(BACK))])
    for tracks in (find_dataset(path).clips["3"].tracks(), read_masks(path, context(3))):
        assert [track.visible for track in tracks.tracks] == [rles(None, BACK, NOTHING), rles(FRONT, NOTHING, BACK)]
        assert [track.id for track in tracks.tracks] == [1, 2]
    assert "nothing says which frames" in refusal(lambda: read_masks(path, context(5)))


def test_polygons_have_the_size_of_the_video(tmp_path: Path) -> None:
    path = put(tmp_path / "v.json", [of_video([CORNERS], None)])
    assert read_masks(path, context(2)).tracks[0].visible == rles(BACK, NOTHING)
    assert "pass the video" in refusal(lambda: find_dataset(path))
    path = put(tmp_path / "i.json", [result(0, [CORNERS], track_id=1), result(1, [CORNERS], track_id=1)])
    assert read_masks(path, context(2)).tracks[0].visible == rles(BACK, BACK)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([result(0, packed(BACK)), 5], "[1] must be an object"),
        ([result(None, packed(BACK))], "image_id"),
        ([result(0, None)], "none of its masks does"),
        ([of_video(None)], "no run lengths"),
        ([of_video(packed(BACK)), of_video(packed(BACK), None)], "2 segmentations for 1 frames"),
        ([{"video_id": 1, "segmentations": 4}], "must be a list"),
    ],
)
def test_damaged_results_are_refused(document: Any, words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "r.json", document)
    assert words in refusal(lambda: [clip.tracks() for clip in find_dataset(path).clips.values()])
