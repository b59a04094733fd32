"""The depth argument: folders, single maps, models and maps in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inference.depth.test_depth_model import CountingVideo, H, W, save_depth_model
from vidamodal.inference.depth.depth_input import open_depth
from vidamodal.inference.depth.depth_model import DEFAULT_DEPTH, load_depth_model
from vidamodal.inference.depth.depth_source import DepthSource
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.types import InputError

READER = CountingVideo().reader()


def test_folders_of_maps_and_of_models_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for frame in range(5):
        np.save(tmp_path / "maps" / f"{frame}.npy", np.full((H, W), frame))
    maps = open_depth(tmp_path / "maps", "depth", READER, "cpu")
    values = maps.read(3)
    assert (maps.name, maps.kind) == ("maps", "depth") and values is not None and values.max() == 3
    folder = save_depth_model(tmp_path / "model")
    assert open_depth(folder, "auto", READER, "cpu").name == "depth model model"
    assert open_depth(load_depth_model(str(folder)), "depth", READER, "cpu").kind == "depth"


def test_a_single_map_belongs_to_a_single_image(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.zeros((H, W)))
    save_png(tmp_path / "image.png", np.zeros((H, W, 3), dtype=np.uint8))
    source = open_depth(tmp_path / "depth.npy", "auto", open_video(tmp_path / "image.png"), "cpu")
    assert source.frames == (0,) and source.name == "depth.npy"
    with pytest.raises(InputError, match=r"one depth map for a video of 5 frames. Pass a folder of maps"):
        open_depth(tmp_path / "depth.npy", "auto", READER, "cpu")


def test_maps_in_memory_keep_their_kind_unless_another_is_stated() -> None:
    source = DepthSource(lambda _: None, "depth")
    assert open_depth(source, "auto", READER, "cpu") is source
    assert open_depth(source, "disparity", READER, "cpu").kind == "disparity"
    with pytest.raises(InputError, match="unknown depth_kind"):
        open_depth(source, "near", READER, "cpu")  # type: ignore[arg-type]


def test_true_is_the_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_depth_model(tmp_path / "small")
    monkeypatch.setattr("vidamodal.backbones.pretrained.fetch", lambda name, files: {DEFAULT_DEPTH: folder}[name])
    source = open_depth(True, "auto", READER, "cpu")
    assert source.name == "depth model Depth-Anything-V2-Small-hf" and source.kind == "disparity"
    assert source.notes[0].endswith("million parameters, run once on each of 5 frames")
