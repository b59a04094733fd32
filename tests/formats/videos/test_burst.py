"""BURST."""

from __future__ import annotations

from pathlib import Path

from tests.formats.video_data import BACK, FRONT, NOTHING, H, T, W, burst, only, packed, put, rles, written
from vidamodal.formats import find_dataset
from vidamodal.types import ClipTracks, Track, VideoInfo


def test_burst_has_scores_where_there_are_confidences(tmp_path: Path) -> None:
    (sequence,) = written(tmp_path, "burst", "amodal")["sequences"]
    assert sequence["annotated_image_paths"] == sequence["all_image_paths"]
    assert sequence["track_category_ids"] == {"3": 1, "7": 2}
    first, second, third = sequence["segmentations"]
    assert first["3"] == {"rle": packed(FRONT)["counts"], "is_gt": True, "score": 1.0}
    assert second["7"] == {"rle": packed(BACK)["counts"], "is_gt": False, "score": 0.75}
    assert list(third) == ["3"]


def test_unannotated_frames_of_burst_are_unknown(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "train.json", burst()))
    two = Track(2, rles(FRONT, None, NOTHING), label="car")
    five = Track(5, rles(None, None, BACK), label="car")
    assert clip == ClipTracks(VideoInfo("v_1", H, W, T, 30.0), (two, five), provenance={"layout": "BURST"})


def test_burst_keys_are_unique_over_data_sets(tmp_path: Path) -> None:
    first, second = burst()["sequences"][0], burst(dataset="HACS", seq_name="v_1")["sequences"][0]
    path = put(tmp_path / "train.json", {**burst(), "sequences": [first, second]})
    assert list(find_dataset(path).clips) == ["YFCC100M-v_1", "HACS-v_1"]
