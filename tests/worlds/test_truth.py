"""Ground truth of scenes: depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.dataset_gen.helpers import toy_scene
from tests.worlds.helpers import SIZE
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.worlds.rasterize import FLOOR_HALF_WIDTH, camera_axes
from vidamodal.worlds.sample import clip_masks, random_camera
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import object_depths, scene_depth, true_tracks


def test_depth_is_that_of_the_nearest_object_the_floor_or_the_sky() -> None:
    spec, meshes = toy_scene(0), toy_bank(3).meshes
    depth = scene_depth(spec, meshes)
    assert depth.shape == (3, 64, 64) and depth.dtype == np.float16
    for t, alone in enumerate(object_depths(spec, meshes)):
        inside = np.isfinite(alone).any(axis=0)
        assert inside.any() and np.isinf(depth[t, 0]).all()  # the sky
        assert (depth[t][inside] <= alone.min(axis=0)[inside].astype(np.float16)).all()
        position, (right, up, forward) = camera_axes(spec.camera, t)
        y, x = np.nonzero(~inside & np.isfinite(depth[t]))
        assert len(y) > 500
        ray = forward + ((x + 0.5 - 32) / 70)[:, None] * right - ((y + 0.5 - 32) / 70)[:, None] * up
        points = position + depth[t, y, x].astype(float)[:, None] * ray
        near = depth[t, y, x] < 10
        assert np.abs(points[near, 2]).max() < 0.01 and np.abs(points[:, :2]).max() < 1.01 * FLOOR_HALF_WIDTH


def test_clips_and_true_tracks_have_the_same_masks() -> None:
    bank = toy_bank(5)
    spec = replace(bank.worlds[0], size=SIZE)
    clip = clip_masks(spec.objects, bank.meshes, spec.camera, spec.frames, spec.size)
    tracks = true_tracks(spec, bank.meshes, "clip.mp4", {"seed": spec.seed})
    assert [t.id for t in tracks.tracks] == [o.id for o in spec.objects] and tracks.exhaustive
    for k, track in enumerate(tracks.tracks):
        assert track.amodal is not None
        for t in range(spec.frames):
            visible, amodal = track.visible[t], track.amodal[t]
            assert visible is not None and amodal is not None
            np.testing.assert_array_equal(visible.decode(), clip.visible[k, t])
            np.testing.assert_array_equal(amodal.decode(), clip.amodal[k, t])


def test_amodal_masks_continue_on_the_canvas() -> None:
    """A canvas shows what a wider sensor of the same pixels would."""
    bank = toy_bank(5)
    world = replace(bank.worlds[0], size=48, frames=2, camera=random_camera(np.random.default_rng(2), 2, "orbit"))
    near = replace(world.camera, focal_length=90.0)  # so near that most objects are cut
    world = replace(world, camera=near)
    plain, padded = (true_tracks(world, bank.meshes, "x.mp4", canvas=margin) for margin in (0, 20))
    assert padded.video.canvas == (20, 20, 20, 20) and plain.video.canvas is None
    beyond = 0
    for track, wide in zip(plain.tracks, padded.tracks, strict=True):
        assert track.amodal_full is None and wide.amodal_full is not None and wide.amodal is not None
        assert (track.visible, track.amodal) == (wide.visible, wide.amodal)
        for cut, full in zip(wide.amodal, wide.amodal_full, strict=True):
            assert cut is not None and full is not None
            assert np.array_equal(full.decode()[20:68, 20:68], cut.decode())
            beyond += full.area() - cut.area()
    assert beyond > 500
    assert loads_tracks(dumps_tracks(padded), "f") == padded


def test_scenery_has_no_track_and_makes_a_scene_partial_where_it_occludes() -> None:
    bank = toy_bank(5)
    spec = replace(bank.worlds[0], size=SIZE, width=2 * SIZE)
    whole = true_tracks(spec, bank.meshes, "clip.mp4")
    assert whole.exhaustive and (whole.video.height, whole.video.width) == (SIZE, 2 * SIZE)
    exhaustive = set()
    for k, thing in enumerate(spec.objects):
        objects = tuple(replace(o, scenery=o.id == thing.id) for o in spec.objects)
        tracks = true_tracks(replace(spec, objects=objects), bank.meshes, "clip.mp4")
        assert [track.id for track in tracks.tracks] == [o.id for o in spec.objects if o.id != thing.id]
        assert list(tracks.tracks) == [track for track in whole.tracks if track.id != thing.id]
        occludes = any(thing.id == front for pairs in whole.order or () for front, _ in pairs)
        assert not (occludes and tracks.exhaustive), k
        exhaustive.add(tracks.exhaustive)
    assert exhaustive == {True, False}


def test_a_wide_canvas_continues_the_amodal_masks() -> None:
    bank = toy_bank(5)
    world = replace(bank.worlds[0], size=48, width=80)
    world = replace(world, camera=replace(world.camera, focal_length=90.0))
    for track in true_tracks(world, bank.meshes, "x.mp4", canvas=10).tracks:
        assert track.amodal is not None and track.amodal_full is not None
        full, cut = track.amodal_full[0], track.amodal[0]
        assert full is not None and cut is not None
        assert full.decode().shape == (68, 100)
        np.testing.assert_array_equal(full.decode()[10:58, 10:90], cut.decode())
