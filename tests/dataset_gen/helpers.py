"""Scenes, commands and file hashes for tests of the generator."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_gen.assets import SPLITS, Split, asset_ids
from dataset_gen.dataset_files import write_manifest
from dataset_gen.presets import PresetName
from dataset_gen.run import Run
from dataset_gen.scene_files import scene_tracks, write_scene
from dataset_gen.scene_shards import write_shard
from dataset_gen.scenes import sample_scene
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo
from vidamodal.worlds.spec import CameraSpec, SceneSpec
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import scene_depth

ROOT = Path(__file__).parents[2]

needs_things = pytest.mark.needs("pybullet_data")
needs_physics = pytest.mark.needs("pybullet", "kubric")
needs_blender = pytest.mark.needs("pybullet", "kubric", "bpy")
needs_assets = pytest.mark.needs("pybullet", "kubric", "trimesh", "bpy")

ALL_IDS = [asset_id for split in SPLITS for ids in asset_ids(split).values() for asset_id in ids]

TOY_RUN = Run(5, 7, "test", "movid_a", 64, 3, 1, False)
"""The run of ``toy_data_set``."""


def command(*arguments: object) -> list[str]:
    """Return the words of a call of the command line."""
    return [sys.executable, "-m", "dataset_gen", *map(str, arguments)]


def environment(hash_seed: str = "0") -> dict[str, str]:
    """Return the environment of a command with one thread and a fixed hash seed."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed}


def run_command_line(*arguments: object, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment(hash_seed))


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a folder by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds, at most five minutes."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def noise(frames: int, size: int) -> np.ndarray:
    """Return frames of random blocks of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (frames, size // 8, size // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def settled_scene(preset: PresetName, seed: int, frames: int = 24, split: Split = "train") -> SceneSpec:
    """Sample a scene and settle it."""
    from dataset_gen.simulate import settle

    return settle(sample_scene(preset, split, seed, 64, frames))


def toy_scene(seed: int, frames: int = 3, size: int = 64) -> SceneSpec:
    """Return boxes and balls on the floor under the sky, seen by a rising camera."""
    world = toy_bank(3).worlds[seed]
    positions = tuple((6.0, 0.0, 0.8 + 0.1 * t) for t in range(frames))
    camera = CameraSpec(35.0, 32.0, positions, ((0.0, 0.0, 0.5),) * frames)
    return SceneSpec(seed, "test", "toy", size, frames, 12.0, world.objects, camera, world.light)


def toy_data_set(folder: Path) -> Path:
    """Write a finished data set of five toy scenes with depth (``TOY_RUN``) and return its folder."""
    scenes, meshes = [], toy_bank(3).meshes
    for seed in TOY_RUN.seeds:
        spec = toy_scene(seed)
        scenes.append(folder / "scenes" / f"test-{seed:08d}")
        rgb = np.full((3, 64, 64, 3), 90, dtype=np.uint8)
        clip = scene_tracks(spec, meshes, f"{scenes[-1].name}.mp4")
        write_scene(scenes[-1], spec, clip, rgb, scene_depth(spec, meshes))
    out = folder / "set"
    write_shard(out / "test-000000.tar", scenes[:3])
    write_shard(out / "test-000001.tar", scenes[3:])
    write_manifest(out, TOY_RUN.settings(), sorted(out.glob("*.tar")))
    return out


def two_object_clip() -> ClipTracks:
    """Return a clip of 256 px with an object that is hidden for two frames and then half visible, and a tiny one."""
    empty, whole = Rle.empty(256, 256), _rectangle(10, 20, 40, 40)
    visible = (whole, empty, empty, _rectangle(10, 20, 40, 20))
    tiny = (_rectangle(0, 0, 7, 7),) * 4
    tracks = (Track(1, visible, (whole,) * 4, label="box"), Track(2, tiny, tiny, label="ball"))
    return ClipTracks(VideoInfo("v.mp4", 256, 256, 4, 12.0), tracks, True, ((),) * 4)


def _rectangle(top: int, left: int, height: int, width: int) -> Rle:
    mask = np.zeros((256, 256), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return Rle.encode(mask)
