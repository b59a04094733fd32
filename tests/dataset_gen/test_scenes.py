"""Sampling of scenes: they depend on preset, split and seed alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.assets import SPLITS, Split, asset_ids, load_asset
from dataset_gen.library import scene_meshes
from dataset_gen.presets import PHYSICAL, PresetName
from dataset_gen.scene_files import scene_line
from dataset_gen.scenes import sample_scene
from tests.dataset_gen.helpers import ROOT, environment, needs_things
from vidamodal.tracks import dumps_tracks
from vidamodal.worlds.spec import SceneSpec, place
from vidamodal.worlds.truth import true_tracks


@needs_things
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_scene_depends_on_its_seed_alone(seed: int) -> None:
    program = (
        "import sys; from dataset_gen.scenes import sample_scene; from dataset_gen.scene_files import scene_line;"
        "sys.stdout.write(scene_line(sample_scene('movid_a', 'test', int(sys.argv[1]))))"
    )
    lines = {
        subprocess.run(
            [sys.executable, "-c", program, str(seed)],
            cwd=ROOT, env=environment(hash_seed), capture_output=True, text=True, check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert lines == {scene_line(sample_scene("movid_a", "test", seed))}


@needs_things
def test_seed_and_split_change_a_scene_but_size_and_frames_do_not() -> None:
    scene = sample_scene("movid_a", "train", 0)
    assert scene.objects != sample_scene("movid_a", "train", 1).objects
    assert scene.objects != sample_scene("movid_a", "test", 0).objects
    short = sample_scene("movid_a", "train", 0, size=64, frames=5)
    assert (short.objects, short.light, short.camera.positions[0]) == (
        scene.objects, scene.light, scene.camera.positions[0],
    )  # fmt: skip
    assert len(short.camera.positions) == len(short.camera.targets) == short.frames == 5


@needs_things
@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from(SPLITS))
def test_scene_survives_json_and_starts_without_contact(seed: int, split: Split) -> None:
    scene = sample_scene("movid_a", split, seed, size=64, frames=4)
    assert SceneSpec.from_json(json.loads(scene_line(scene))) == scene
    assert 10 <= len(scene.objects) <= 20
    assert {o.asset for o in scene.objects} <= {name for ids in asset_ids(split).values() for name in ids}
    points = [place(load_asset(o.asset).mesh, o.scale, o.poses[0]) for o in scene.objects]
    centres = [np.array(o.poses[0].position) for o in scene.objects]
    radii = [np.linalg.norm(p - c, axis=1).max() for p, c in zip(points, centres, strict=True)]
    gaps = [np.linalg.norm(centres[i] - centres[j]) - radii[i] - radii[j] for i in range(len(radii)) for j in range(i)]
    assert min(gaps) > -1e-3 and min(p[:, 2].min() for p in points) > 0


@needs_things
@pytest.mark.parametrize("preset", PHYSICAL)
def test_scenes_of_every_preset_depend_on_their_seed_alone_and_survive_json(preset: PresetName) -> None:
    for seed in (0, 1, 2**31, 2**40):
        spec = sample_scene(preset, "validation", seed)
        assert spec == sample_scene(preset, "validation", seed)
        assert spec == SceneSpec.from_json(spec.to_json())
        assert [thing.id for thing in spec.objects] == list(range(1, len(spec.objects) + 1))
        short = sample_scene(preset, "validation", seed, frames=5)
        assert [thing.asset for thing in short.objects] == [thing.asset for thing in spec.objects]
        assert all(a.poses[:5] == b.poses[:5] for a, b in zip(spec.objects, short.objects, strict=True))


SPECS = """
import hashlib, sys
from dataset_gen.presets import PHYSICAL
from dataset_gen.scene_files import scene_line
from dataset_gen.scenes import sample_scene
digest = hashlib.sha256()
for k in range(10_000):
    seed = (0, 2**31, 2**40)[k % 3] + k // 3
    digest.update(scene_line(sample_scene(PHYSICAL[k % 4], "train", seed)).encode())
print(digest.hexdigest())
"""


@needs_things
@pytest.mark.slow
def test_ten_thousand_scenes_are_the_same_in_two_processes() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", SPECS], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                         env={**os.environ, "PYTHONHASHSEED": str(k), "OMP_NUM_THREADS": "1"})
        for k in (1, 2)
    ]  # fmt: skip
    runs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(runs[0]) == 65 and runs[0] == runs[1]


TRUTH = {
    "creatures": "3326cb259450f6a8c866f99ca87da632e9d1aee4042143c7f91d400aa9298df6",
    "movid_a": "6cc7786acf84aaef7373954ee51995f7fc8b24e174f83fe12c1073fa08fb7646",
}
"""Hashes of scene and tracks from before images could be rectangular."""


@needs_things
@pytest.mark.parametrize("preset", sorted(TRUTH))
def test_square_scenes_keep_their_ground_truth(preset: str) -> None:
    spec = sample_scene(preset, "train", 0, size=96, frames=4)
    tracks = dumps_tracks(true_tracks(spec, scene_meshes(spec), "x.mp4", canvas=8))
    assert hashlib.sha256((scene_line(spec) + tracks).encode()).hexdigest() == TRUTH[preset]
