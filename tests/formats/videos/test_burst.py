"""BURST."""

from __future__ import annotations

from pathlib import Path

from tests.formats.video_data import BACK, FRONT, NOTHING, H, T, W, burst, only, packed, put, refusal, rles, written
from vidamodal.formats import VideoContext, find_dataset, read_masks
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


def test_images_of_burst_are_placed_in_the_video_by_their_names(tmp_path: Path) -> None:
    paths = [f"frame{number:04d}.jpg" for number in (1, 4, 7)]
    path = put(tmp_path / "train.json", burst(all_image_paths=paths, annotated_image_paths=[paths[0], paths[2]]))
    clip = read_masks(path, VideoContext(VideoInfo("film.mp4", H, W, 8, 30.0)))
    assert clip.tracks[1].visible == rles(*[None] * 7, BACK)
    assert clip.notes == ("train.json: annotates frames 1, 4, 7 of 8, by the numbers in file names",)
    assert "have gaps" in only(path).notes[0]
    assert "go from 1 to 7, but the video has 5 frames" in refusal(
        lambda: read_masks(path, VideoContext(VideoInfo("film.mp4", H, W, 5, 30.0)))
    )


def test_the_sequence_with_the_name_of_the_video_is_read(tmp_path: Path) -> None:
    sequences = [burst()["sequences"][0], burst(seq_name="v_2")["sequences"][0]]
    path = put(tmp_path / "train.json", {**burst(), "sequences": sequences})
    clip = read_masks(path, VideoContext(VideoInfo("v_2.mp4", H, W, T, 30.0)))
    assert [track.id for track in clip.tracks] == [2, 5] and clip.notes == ("train.json: the video v_2 of 2 is read",)
    assert "holds the masks of 2 clips" in refusal(
        lambda: read_masks(path, VideoContext(VideoInfo("film.mp4", H, W, T, 30.0)))
    )
