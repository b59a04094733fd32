"""Shards: members, headers and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dataset_gen.scene_files import scene_tracks, write_scene
from dataset_gen.scene_shards import read_shard, shard_keys, write_shard
from tests.dataset_gen.helpers import needs_blender, toy_data_set, toy_scene
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import scene_depth


@needs_blender
def test_depth_in_a_shard_is_read_without_pickle_and_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    spec, meshes = toy_scene(1), toy_bank(3).meshes
    rgb, depth = np.zeros((3, 64, 64, 3), dtype=np.uint8), scene_depth(spec, meshes)
    for name in ("a", "b"):
        folder = tmp_path / name / "test-00000001"
        write_scene(folder, spec, scene_tracks(spec, meshes, "test-00000001.mp4"), rgb, depth)
        write_shard(tmp_path / f"{name}.tar", [folder])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (sample,) = read_shard(tmp_path / "a.tar")
    (tmp_path / "depth.npz").write_bytes(sample.members["depth.npz"])
    with np.load(tmp_path / "depth.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["depth"] and np.array_equal(arrays["depth"], depth)


@needs_blender
def test_only_the_chosen_scenes_of_a_shard_are_read(tmp_path: Path) -> None:
    shard = toy_data_set(tmp_path) / "test-000000.tar"
    assert shard_keys(shard) == ["test-00000007", "test-00000008", "test-00000009"]
    (sample,) = read_shard(shard, {"test-00000008"})
    assert sample.spec == toy_scene(8) and sorted(sample.members) == ["depth.npz", "mp4", "scene.json", "tracks.json"]
