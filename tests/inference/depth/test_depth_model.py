"""Depth models of transformers: loading, one estimate a frame, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.inference.sam2_model import tiny_sam_model
from vidamodal.inference.depth.depth_model import LoadedDepthModel, estimate_depth, load_depth_model
from vidamodal.media.video import VideoReader
from vidamodal.types import InputError, VideoInfo

H, W, FRAMES = 24, 40, 5


def tiny_depth_model(**settings: object) -> transformers.DepthAnythingForDepthEstimation:
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        image_size=28, patch_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        out_features=["stage1", "stage2"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, neck_hidden_sizes=[8, 8],
        reassemble_factors=[1, 0.5], fusion_hidden_size=8, head_hidden_size=4, **settings,
    )  # fmt: skip
    return transformers.DepthAnythingForDepthEstimation(config).eval()


def save_depth_model(folder: Path, **settings: object) -> Path:
    tiny_depth_model(**settings).save_pretrained(folder)
    processor = transformers.DPTImageProcessorPil(size={"height": 28, "width": 28}, ensure_multiple_of=14)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def depth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_model(tmp_path_factory.mktemp("depth") / "tiny-depth")


@pytest.fixture
def loaded(depth_folder: Path) -> LoadedDepthModel:
    return load_depth_model(str(depth_folder))


@dataclass
class CountingVideo:
    """A video that counts how many frames are decoded."""

    decoded: list[int] = field(default_factory=list)

    def reader(self, height: int = H, width: int = W) -> VideoReader:
        def read(start: int, stop: int):  # type: ignore[no-untyped-def]
            for t in range(start, stop):
                self.decoded.append(t)
                yield np.random.default_rng(t).integers(0, 255, (height, width, 3), dtype=np.uint8)

        return VideoReader(VideoInfo("v.mp4", height, width, FRAMES, 24.0), None, read)


def test_each_frame_is_estimated_once(loaded: LoadedDepthModel) -> None:
    video = CountingVideo()
    source = estimate_depth(loaded, video.reader(), "cpu")
    assert source.kind == "disparity" and source.name == "depth model tiny-depth" and not video.decoded
    maps = [source.read(frame) for frame in (2, 0, 4, 2)]
    assert video.decoded == [0, 1, 2, 3, 4]
    assert all(values is not None and values.shape == (H, W) for values in maps)
    assert np.array_equal(maps[0], maps[3]) and not np.array_equal(maps[0], maps[1])  # type: ignore[arg-type]
    again = estimate_depth(loaded, CountingVideo().reader(), "cpu").read(2)
    assert np.array_equal(maps[0], again)  # type: ignore[arg-type]


def test_estimates_are_those_of_the_library(loaded: LoadedDepthModel) -> None:
    reader = CountingVideo().reader()
    frame = next(reader.frames())
    inputs = loaded.processor(images=frame, return_tensors="pt")
    with torch.no_grad():
        outputs = loaded.model(**inputs)
    expected = loaded.processor.post_process_depth_estimation(outputs, target_sizes=[(H, W)])[0]["predicted_depth"]
    values = estimate_depth(loaded, reader, "cpu").read(0)
    assert values is not None and np.allclose(values, expected.numpy(), rtol=1e-2, atol=1e-4)


def test_large_frames_are_kept_at_reduced_size(loaded: LoadedDepthModel) -> None:
    values = estimate_depth(loaded, CountingVideo().reader(72, 1280), "cpu").read(0)
    assert values is not None and values.shape == (36, 640) and values.dtype == np.float16


def test_metric_models_give_distances(tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path / "metric", depth_estimation_type="metric", max_depth=20)
    source = estimate_depth(load_depth_model(str(folder)), CountingVideo().reader(), "cpu")
    assert source.kind == "depth" and "its values are read as distances; 0.0 million" in source.notes[0]
    stated = estimate_depth(load_depth_model(str(folder)), CountingVideo().reader(), "cpu", "disparity")
    assert stated.kind == "disparity"


def test_hashes_identify_the_model(loaded: LoadedDepthModel, tmp_path: Path) -> None:
    other = load_depth_model(str(save_depth_model(tmp_path / "other", head_in_index=1)))
    assert other.config_hash != loaded.config_hash and other.weights_hash == loaded.weights_hash
    hashes = estimate_depth(loaded, CountingVideo().reader(), "cpu").hashes
    assert hashes == {"weights": loaded.weights_hash, "config": loaded.config_hash}


def test_what_is_no_depth_model_is_refused(depth_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"depth=: there is no folder .*nowhere.*hf download"):
        load_depth_model(str(tmp_path / "nowhere"))
    tiny_sam_model().save_pretrained(tmp_path / "sam")
    with pytest.raises(InputError, match=r"depth=: .* is neither a folder nor a model on the Hub"):
        load_depth_model(str(tmp_path / "sam"))
    tiny_depth_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match="from which an image processor can be loaded"):
        load_depth_model(str(tmp_path / "bare"))
