"""Composition of streets, rooms and fields."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import get_args

import numpy as np
import pytest

from dataset_gen.assets import SPLITS, Split
from dataset_gen.library import scene_meshes
from dataset_gen.places.compose import UNOCCLUDED, compose
from dataset_gen.presets import PlaceName
from tests.dataset_gen.helpers import ROOT, environment
from vidamodal.worlds.place_views import PLACES
from vidamodal.worlds.sample import ClipMasks, clip_masks
from vidamodal.worlds.spec import SceneSpec

NAMES: tuple[PlaceName, ...] = get_args(PlaceName)
FRAMES = 40


@cache
def scene(preset: PlaceName, seed: int, split: Split = "train") -> SceneSpec:
    return compose(preset, split, seed, 128, FRAMES)


@cache
def clip(preset: PlaceName, seed: int) -> ClipMasks:
    spec = scene(preset, seed)
    height = 64
    size = height, round(height * spec.image_size[1] / spec.image_size[0])
    return clip_masks(spec.objects, scene_meshes(spec), spec.camera, range(0, FRAMES, 3), size)


def test_places_are_those_that_worlds_know() -> None:
    assert set(NAMES) == set(PLACES)


@pytest.mark.parametrize("preset", NAMES)
def test_a_scene_follows_from_its_seed_and_survives_json(preset: PlaceName) -> None:
    for seed in range(3):
        spec = scene(preset, seed)
        assert spec == compose(preset, "train", seed, 128, FRAMES)
        assert spec == SceneSpec.from_json(spec.to_json())
        assert spec != scene(preset, seed, "test")
        assert [thing.id for thing in spec.objects] == list(range(1, len(spec.objects) + 1))
        assert all(len(thing.poses) in (1, FRAMES) for thing in spec.objects)
        assert len(spec.camera.positions) == len(spec.camera.targets) == FRAMES


@pytest.mark.parametrize("preset", NAMES)
def test_splits_share_no_asset(preset: PlaceName) -> None:
    used = [{o.asset for seed in range(6) for o in scene(preset, seed, split).objects} for split in SPLITS]
    assert all(used) and not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_mask_only_places_need_neither_physics_nor_blender() -> None:
    program = (
        "import sys; from dataset_gen.run import Run; from dataset_gen.worker import make_world, run_versions;"
        "run = Run(1, 5, 'train', 'room', 128, 10, 1, True); make_world(run, 5); run_versions(run);"
        "sys.exit(any(name in sys.modules for name in ('pybullet', 'kubric', 'bpy', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True)


def test_images_have_several_shapes_and_rates() -> None:
    specs = [scene(preset, seed) for preset in NAMES for seed in range(12)]
    shapes = {round(spec.image_size[1] / spec.image_size[0], 1) for spec in specs}
    assert len(shapes) >= 4 and min(shapes) < 0.8 and max(shapes) > 1.7
    assert all(spec.image_size[1] % 2 == 0 and 10 <= spec.fps <= 30 for spec in specs)


def test_scenery_is_never_alone_and_some_scenes_have_no_occluders() -> None:
    bare = 0
    for preset in NAMES:
        for seed in range(12):
            things = scene(preset, seed).objects
            assert any(not thing.scenery for thing in things)
            bare += not any(thing.scenery and not thing.backdrop for thing in things)
    assert 36 * UNOCCLUDED / 3 < bare < 22


@pytest.mark.parametrize("preset", NAMES)
def test_subjects_leave_or_enter_in_a_good_share_of_the_scenes(preset: PlaceName) -> None:
    changes = hidden = seen = 0
    for seed in range(12):
        masks = clip(preset, seed)
        tracked = ~masks.scenery if masks.scenery is not None else np.ones(len(masks.visible), dtype=bool)
        present = masks.amodal[tracked].any(axis=(2, 3))
        seen += masks.visible[tracked].any()
        changes += (present.any(axis=1) & ~present.all(axis=1)).any()
        hidden += (masks.amodal[tracked] & ~masks.visible[tracked]).any()
    assert seen == 12 and changes >= 4 and hidden >= 4


@pytest.mark.parametrize("preset", NAMES)
def test_movers_stay_on_the_ground_and_keep_their_pace(preset: PlaceName) -> None:
    for seed in range(6):
        spec = scene(preset, seed)
        for thing in spec.objects:
            if len(thing.poses) > 1:
                places = np.array([pose.position for pose in thing.poses])
                assert np.abs(np.diff(places, axis=0)).max() * spec.fps < 40
                assert np.isfinite(places).all()
