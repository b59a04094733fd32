"""VidEoMT: the library's results for a whole video, frame by frame, and tracks of queries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.videomt.modeling_videomt import VideomtForUniversalSegmentationOutput
from transformers.models.videomt.video_processing_videomt import VideomtVideoProcessor

from tests.inference.hub_models import HEIGHT, LABELS, WIDTH, random_frame, random_video, save_videomt, watched_video
from vidamodal.inference.finders.video_instance_segmentation import (
    VideoInstanceSegmentationFinder,
    _QueryTracks,
    load_video_model,
    predict_frame,
    query_instances,
)
from vidamodal.types import InputError, VideoInfo

FRAMES = 5
INFO = VideoInfo("v.mp4", HEIGHT, WIDTH, FRAMES, 12.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_videomt(tmp_path_factory.mktemp("video") / "videomt", blocks=2)


def test_frame_by_frame_is_the_whole_video(folder: Path) -> None:
    loaded = load_video_model(str(folder))
    clip = [random_frame(t) for t in range(FRAMES)]
    pixels = torch.cat([loaded.processor(images=frame, return_tensors="pt")["pixel_values"] for frame in clip])
    with torch.no_grad():
        whole = loaded.model(pixel_values_videos=pixels[None])
    queries = None
    for t, frame in enumerate(clip):
        outputs = predict_frame(loaded, frame, queries)
        queries = outputs.queries
        torch.testing.assert_close(outputs.masks, whole.masks_queries_logits[t])
        torch.testing.assert_close(outputs.classes, whole.class_queries_logits[t])
    alone = predict_frame(loaded, clip[-1], None)
    assert not torch.allclose(alone.masks, outputs.masks)  # the queries are passed on


def test_instances_are_those_of_the_library(folder: Path) -> None:
    outputs = predict_frame(load_video_model(str(folder)), random_frame(0), None)
    stacked = VideomtForUniversalSegmentationOutput(
        masks_queries_logits=outputs.masks[None], class_queries_logits=outputs.classes[None]
    )
    (found,) = VideomtVideoProcessor().post_process_instance_segmentation(stacked, [(HEIGHT, WIDTH)])
    ids = found["segmentation"].numpy()
    expected = {
        (ids == segment["id"]).tobytes(): (segment["label_id"], segment["score"])
        for segment in found["segments_info"]
        if (ids == segment["id"]).any()
    }
    instances = query_instances(outputs, HEIGHT, WIDTH)
    assert instances and len(instances) == len(expected)
    for _query, mask, label, score in instances:
        assert expected[mask.tobytes()] == (label, pytest.approx(score, abs=1e-5))


def test_a_track_is_the_object_of_a_query(folder: Path) -> None:
    loaded = load_video_model(str(folder))
    clip = VideoInstanceSegmentationFinder(loaded, "cpu").find(INFO, random_video(FRAMES))
    assert clip.tracks and clip == VideoInstanceSegmentationFinder(loaded, "cpu").find(INFO, random_video(FRAMES))
    assert all(track.amodal is None and track.label in LABELS.values() for track in clip.tracks) and clip.order is None
    for t in range(FRAMES):
        seen = [mask.decode() for track in clip.tracks if (mask := track.visible[t]) is not None]
        assert not seen or np.sum(seen, axis=0).max() == 1


def test_a_query_that_was_long_without_an_object_begins_a_track() -> None:
    tracks = _QueryTracks(most_unseen=3)
    assert [tracks.id_of(5, 0), tracks.id_of(2, 0), tracks.id_of(5, 3), tracks.id_of(5, 7)] == [1, 2, 1, 3]


def test_a_folder_without_a_video_processor_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bare" / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="bare' has no video processor that can be loaded") as raised:
        load_video_model(str(tmp_path / "bare"))
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="Pass its folder or name as detect="):
        VideoInstanceSegmentationFinder.create("cpu", 0)


@pytest.mark.slow
def test_memory_stays_flat_over_hundreds_of_frames(folder: Path) -> None:
    used: list[int] = []
    finder = VideoInstanceSegmentationFinder(load_video_model(str(folder)), "cpu")
    assert finder.find(replace(INFO, frames=300), watched_video(300, used)).tracks
    assert max(used[100:]) - used[100] < 20e6, [round(value / 1e6) for value in used[::20]]
