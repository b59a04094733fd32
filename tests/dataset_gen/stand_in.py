"""`python -m dataset_gen` with noise for pictures: real truth and files without Blender or physics. See test_jobs.py.

STAND_IN_SECONDS is how long a scene takes at least; a line is added to the file STAND_IN_LOG for each that is begun:
its seed, the process that makes it and the one above that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

from dataset_gen import jobs
from dataset_gen.__main__ import main
from dataset_gen.locks import scratch_folder
from dataset_gen.sample import sample_scene
from dataset_gen.truth import meshes_of, rendered_truth
from dataset_gen.write import scene_key, write_scene


def make_scenes(run: jobs.Run, seeds: Sequence[int], versions: Mapping[str, str]) -> list[jobs.Made]:
    """Unsettled scenes and noise."""
    return [_make_scene(run, seed) for seed in seeds]


def _make_scene(run: jobs.Run, seed: int) -> jobs.Made:
    spec = sample_scene(run.preset, run.split, seed, run.size, run.frames)
    clip = rendered_truth(spec, meshes_of(spec), f"{scene_key(run.split, seed)}.mp4")
    rgb = np.random.default_rng(seed).integers(0, 256, (run.frames, run.size, run.size, 3), dtype=np.uint8)
    with scratch_folder() as scratch:
        (scratch / "exr").write_bytes(bytes(1000))
        with open(os.environ["STAND_IN_LOG"], "a") as log:
            log.write(f"{seed} {os.getpid()} {os.getppid()}\n")
        time.sleep(float(os.environ["STAND_IN_SECONDS"]))
        write_scene(scratch / "scene", spec, clip, rgb)
        files = {path.name: path.read_bytes() for path in sorted((scratch / "scene").iterdir())}
    return jobs.Made(files, {"all": 1.1, "blender": 1.0, "cycles": 1.0, "truth": 0.01, "write": 0.01})


jobs.make_scenes = make_scenes  # type: ignore[assignment]

if __name__ == "__main__":
    sys.exit(main())
