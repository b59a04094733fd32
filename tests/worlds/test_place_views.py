"""Views of worlds that are places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.worlds.helpers import moving_world
from vidamodal.types import InputError
from vidamodal.worlds.place_views import HEIGHTS, MOST_PIXELS, sample_view, shake, varied_camera
from vidamodal.worlds.sample import WorldBank, WorldConfig
from vidamodal.worlds.spec import CameraSpec, ObjectSpec, Pose, SceneSpec
from vidamodal.worlds.toy import toy_bank

FRAMES = 20


def place() -> SceneSpec:
    """A wide street with two that walk side by side, one that goes another way, and scenery before and behind them."""
    world = moving_world(FRAMES)
    walker = world.objects[0]
    objects = (
        _walking(walker, 1, (0.0, 1.0), (0.0, 0.05)),
        _walking(walker, 2, (0.6, 1.0), (0.0, 0.05)),
        _walking(walker, 3, (-1.0, -3.0), (0.0, 0.2)),
        replace(_walking(walker, 4, (3.0, 0.5), (0.0, 0.0)), scenery=True),
        replace(_walking(walker, 5, (-9.0, 0.0), (0.0, 0.0)), scenery=True, asset="backdrop/0000"),
    )
    path = tuple((7.0, 0.02 * t, 1.6) for t in range(FRAMES))
    camera = CameraSpec(30.0, 36.0, path, ((0.0, 0.5, 0.6),) * FRAMES)
    return replace(world, preset="street", objects=objects, size=100, width=200, frames=FRAMES, fps=15.0, camera=camera)


def _walking(thing: ObjectSpec, number: int, start: tuple[float, float], step: tuple[float, float]) -> ObjectSpec:
    poses = tuple(
        Pose((start[0] + step[0] * t, start[1] + step[1] * t, 0.6), (1.0, 0.0, 0.0, 0.0)) for t in range(FRAMES)
    )
    poses = poses if any(step) else poses[:1]
    return replace(thing, id=number, poses=poses, deformation=None, scale=(0.5, 0.5, 1.0))


def bank() -> WorldBank:
    meshes = dict(toy_bank(0).meshes)
    return WorldBank((place(),), {**meshes, "backdrop/0000": meshes["box"]})


def test_clips_of_places_have_the_shape_of_their_world_and_follow_from_the_generator() -> None:
    config = WorldConfig(frames=8, drop=0.0)
    for seed in range(8):
        clip, again = (bank().sample(np.random.default_rng(seed), config) for _ in range(2))
        frames, height, width = clip.visible.shape[1:]
        assert frames == 8 and height * width <= MOST_PIXELS * 1.02 and HEIGHTS[0] <= height <= HEIGHTS[1]
        assert width == pytest.approx(2 * height, abs=1)
        np.testing.assert_array_equal(clip.visible, again.visible)
        assert clip.disparity is not None and clip.disparity.shape == clip.visible.shape[1:]


def test_scenery_is_marked_and_backdrops_that_hide_nothing_are_left_out() -> None:
    clip = bank().sample(np.random.default_rng(0), WorldConfig(frames=8, drop=0.0))
    assert clip.scenery is not None
    assert clip.scenery.tolist() == [False, False, False, True]
    assert clip.exhaustive


def test_disparity_is_that_of_the_nearest_surface() -> None:
    clip = bank().sample(np.random.default_rng(1), WorldConfig(frames=4, drop=0.0))
    assert clip.disparity is not None
    assert (clip.disparity[:, 0] < clip.disparity[:, -1]).mean() > 0.9  # the floor is nearest at the lower border
    seen = clip.visible.any(axis=0)
    assert 1 / clip.disparity[seen].max() > 2.0 and 1 / clip.disparity[seen].min() < 20.0


def test_a_stretch_of_frames_lies_within_the_world() -> None:
    lengths = set()
    for seed in range(30):
        view = sample_view(place(), np.random.default_rng(seed), 8, 0.0)
        assert len(view.frames) == 8 and view.frames[0] >= 0 and view.frames[-1] < FRAMES
        lengths.add(view.frames[1] - view.frames[0])
    assert lengths == {1, 2}


def test_a_place_that_is_shorter_than_the_clip_is_refused() -> None:
    with pytest.raises(InputError, match="Generate the worlds with at least 21 frames"):
        sample_view(place(), np.random.default_rng(0), 21, 0.0)


def test_things_that_belong_together_are_dropped_together_and_a_target_stays() -> None:
    together = 0
    for seed in range(60):
        kept = {thing.id for thing in sample_view(place(), np.random.default_rng(seed), 8, 1.0).objects}
        assert (1 in kept) == (2 in kept) and 5 in kept
        assert kept & {1, 2, 3}
        together += 1 not in kept
    assert 5 < together < 55


def test_a_camera_is_moved_as_a_whole() -> None:
    camera = place().camera
    for seed in range(20):
        varied = varied_camera(camera, np.random.default_rng(seed))
        steps, before = (np.diff(np.array(one.positions), axis=0) for one in (varied, camera))
        np.testing.assert_allclose(steps, before, atol=1e-9)
        assert np.array(varied.positions)[:, 2].min() >= 0.25
        assert 0.8 < varied.focal_length / camera.focal_length < 1.25


def test_a_hand_shakes_slowly() -> None:
    path = shake(np.random.default_rng(0), 60, 0.01)
    assert path.shape == (60, 3) and path.std() == pytest.approx(0.01)
    assert np.abs(np.diff(path, axis=0)).max() < 0.01
    assert not shake(np.random.default_rng(0), 60, 0.0).any()


def test_views_are_spaced_within_the_length_of_the_world() -> None:
    views = [sample_view(place(), np.random.default_rng(seed), 5, 0.0, spacing=2).frames for seed in range(20)]
    assert {int(step) for frames in views for step in np.diff(frames)} == {
        2,
        4,
    }  # the frames of a video at the rate of the world or half of it
    (clip,) = {bank().sample(np.random.default_rng(0), WorldConfig(frames=5, spacing=(8,))).spacing}
    assert clip == 4
