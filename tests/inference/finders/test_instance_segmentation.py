"""Instance segmentation models of transformers: the library's masks, tracks and loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from tests.inference.hub_models import (
    HEIGHT,
    LABELS,
    WIDTH,
    random_frame,
    random_video,
    save_instance_model,
    watched_video,
)
from vidamodal.inference.finders.hub_finder import mask_size
from vidamodal.inference.finders.instance_segmentation import (
    InstanceSegmentationFinder,
    load_instance_model,
)
from vidamodal.types import InputError, VideoInfo

KINDS = ("eomt", "mask2former", "oneformer")
INFO = VideoInfo("v.mp4", HEIGHT, WIDTH, 4, 12.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("instances")
    return {kind: save_instance_model(root / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_those_of_the_library(kind: str, folders: dict[str, Path]) -> None:
    loaded = load_instance_model(str(folders[kind]))
    image = Image.fromarray(random_frame(0))
    inputs = loaded.processor(image, ["instance"], return_tensors="pt") if kind == "oneformer" else None
    inputs = inputs or loaded.processor(images=image, return_tensors="pt")
    tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    with torch.no_grad():
        outputs = loaded.model(**tensors)
    reader = transformers.MaskFormerImageProcessorPil() if kind == "oneformer" else loaded.processor
    (found,) = reader.post_process_instance_segmentation(outputs, target_sizes=[(HEIGHT, WIDTH)])
    expected = {segment["id"]: segment for segment in found["segments_info"]}
    instances = loaded.segment(random_frame(0))
    assert instances
    for one in instances:
        (segment,) = [
            each for key, each in expected.items() if np.array_equal(found["segmentation"].numpy() == key, one.visible)
        ]
        assert one.score == segment["score"] and one.label == LABELS[segment["label_id"]]
    ids = set(np.unique(found["segmentation"].numpy()).astype(int)) & set(expected)
    assert len(instances) == len(ids) and (one.visible is one.amodal for one in instances)


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_joined_to_tracks(kind: str, folders: dict[str, Path]) -> None:
    loaded = load_instance_model(str(folders[kind]))

    def still(start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]
        return (random_frame(0) for _ in range(start, 4 if stop is None else stop))

    clip = InstanceSegmentationFinder(loaded, "cpu").find(INFO, still)
    instances = loaded.segment(random_frame(0))
    assert len(clip.tracks) == len(instances) and clip.order is None
    for track in clip.tracks:
        assert track.visible[0] is not None and set(track.visible) == {track.visible[0]}
        assert track.amodal is None and track.confidence is None and track.label in LABELS.values()
    moving = InstanceSegmentationFinder(loaded, "cpu").find(INFO, random_video(4))
    assert moving == InstanceSegmentationFinder(loaded, "cpu").find(INFO, random_video(4))


def test_large_frames_are_compared_at_reduced_size(folders: dict[str, Path]) -> None:
    assert mask_size(1080, 1920) == (576, 1024) and mask_size(HEIGHT, WIDTH) == (HEIGHT, WIDTH)
    large = random_frame(0).repeat(30, axis=0).repeat(30, axis=1)
    instances = load_instance_model(str(folders["eomt"])).segment(large)
    assert instances and all(one.visible.shape == (30 * HEIGHT, 30 * WIDTH) for one in instances)


def test_what_segments_no_instances_is_refused_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    transformers.EomtForUniversalSegmentation.from_pretrained(folders["eomt"]).save_pretrained(tmp_path / "parts")
    size = {"shortest_edge": 64, "longest_edge": None}
    transformers.EomtImageProcessorPil(size=size, do_split_image=True).save_pretrained(tmp_path / "parts")
    with pytest.raises(InputError, match=r"detect=: .*parts' is a semantic segmentation model") as raised:
        load_instance_model(str(tmp_path / "parts"))
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="Pass its folder or name as detect="):
        InstanceSegmentationFinder.create("cpu", 0)


@pytest.mark.slow
def test_memory_stays_flat_over_hundreds_of_frames(folders: dict[str, Path]) -> None:
    used: list[int] = []
    finder = InstanceSegmentationFinder(load_instance_model(str(folders["eomt"])), "cpu")
    assert finder.find(replace(INFO, frames=300), watched_video(300, used)).tracks
    assert max(used[100:]) - used[100] < 20e6, [round(value / 1e6) for value in used[::20]]
