"""SA-V's JSON annotates every 4th frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import BACK, FRONT, NOTHING, H, W, packed, put, refusal, rles
from vidamodal.formats import find_dataset, read_masks
from vidamodal.formats.base import VideoContext
from vidamodal.types import VideoInfo


def document(**changes: Any) -> dict[str, Any]:
    masklet = [[packed(FRONT), packed(NOTHING)], [packed(NOTHING), packed(BACK)]]
    size = {"video_height": float(H), "video_width": float(W), "video_frame_count": 7.0, "video_duration": 3.5}
    return {"video_id": "sav_000001", **size, "masklet": masklet, "masklet_id": [3, 5], **changes}


EXPECTED = [rles(FRONT, None, None, None, NOTHING, None), rles(None, None, None, None, BACK, None)]


def test_every_fourth_frame_is_known(tmp_path: Path) -> None:
    for kind in ("manual", "auto"):
        put(tmp_path / f"sav_000001_{kind}.json", document())
    dataset = find_dataset(tmp_path)
    assert dataset.format == "SA-V's JSON" and sorted(dataset.clips) == ["sav_000001_auto", "sav_000001_manual"]
    clip = dataset.clips["sav_000001_auto"].tracks()
    assert clip.video == VideoInfo("sav_000001_auto", H, W, 7, 2.0)
    assert [(track.id, track.visible[:6]) for track in clip.tracks] == list(zip((3, 5), EXPECTED, strict=True))
    assert clip.notes == ("sav_000001_auto.json: every 4th frame is annotated",)


@pytest.mark.parametrize("frames", [2, 5, 6, 8])
def test_the_video_decides_how_many_frames_there_are(frames: int, tmp_path: Path) -> None:
    video = VideoContext(VideoInfo("a.mp4", H, W, frames, 24.0))
    clip = read_masks(put(tmp_path / "a.json", document()), video)
    step = 1 if frames == 2 else 4
    assert clip.tracks[0].visible[::step] == rles(FRONT, NOTHING) and len(clip.tracks[0].visible) == frames


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video_frame_count": 9.0}, "2 frames for a video of 9"),
        ({"video_frame_count": 10**15, "masklet": []}, "0 frames"),
        ({"masklet_id": [3, 3]}, "twice"),
        ({"masklet_id": [3, -5]}, "ids are integers"),
        ({"masklet_id": [3]}, "2 masks for 1 objects"),
        ({"masklet": [[packed(FRONT), packed(FRONT)], 5]}, "must be a list"),
        ({"video_height": 1e9}, "at most"),
        ({"video_width": "wide"}, "must be an integer"),
        ({"video_duration": "long"}, "video_duration must be a number"),
    ],
)
def test_damaged_files_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(**changes))
    assert words in refusal(lambda: [clip.tracks() for clip in find_dataset(path).clips.values()])
