"""`python -m dataset_gen` with noise for images: real ground truth and files without Blender or physics.

STAND_IN_SECONDS is the least time that a scene takes, and STAND_IN_SHARD the number of scenes of a shard, if it is set.
For each scene that is begun, a line is added to the file STAND_IN_LOG: the seed, the process that makes it, and that
process's parent. See test_generate.py.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import dataset_gen.run
from dataset_gen import generate
from dataset_gen.__main__ import main
from dataset_gen.library import scene_meshes
from dataset_gen.locks import scratch_folder
from dataset_gen.run import Run
from dataset_gen.scene_files import scene_key, scene_tracks, write_scene
from dataset_gen.scenes import sample_scene
from dataset_gen.worker import SceneResult


def make_scenes(run: Run, seeds: Sequence[int], versions: Mapping[str, str]) -> list[SceneResult]:
    """Return unsettled scenes with noise."""
    return [_make_scene(run, seed) for seed in seeds]


def _make_scene(run: Run, seed: int) -> SceneResult:
    spec = sample_scene(run.preset, run.split, seed, run.size, run.frames)
    clip = scene_tracks(spec, scene_meshes(spec), f"{scene_key(run.split, seed)}.mp4")
    rgb = np.random.default_rng(seed).integers(0, 256, (run.frames, run.size, run.size, 3), dtype=np.uint8)
    with scratch_folder() as scratch:
        (scratch / "exr").write_bytes(bytes(1000))
        with Path(os.environ["STAND_IN_LOG"]).open("a") as log:
            log.write(f"{seed} {os.getpid()} {os.getppid()}\n")
        time.sleep(float(os.environ["STAND_IN_SECONDS"]))
        write_scene(scratch / "scene", spec, clip, rgb)
        files = {path.name: path.read_bytes() for path in sorted((scratch / "scene").iterdir())}
    return SceneResult(files, {"all": 1.1, "blender": 1.0, "cycles": 1.0, "truth": 0.01, "write": 0.01})


setattr(generate, "make_scenes", make_scenes)  # noqa: B010
if size := os.environ.get("STAND_IN_SHARD"):
    setattr(dataset_gen.run, "SHARD_SCENES", int(size))  # noqa: B010

if __name__ == "__main__":
    sys.exit(main())
