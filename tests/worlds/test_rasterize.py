"""The rasteriser against a slow ray caster."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.helpers import CAMERA, SIZE, blob, random_depth
from vidamodal.occlusion.order import order_from_depth
from vidamodal.worlds.rasterize import project, rasterize, visible_and_amodal
from vidamodal.worlds.spec import (
    CameraSpec,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 2))
def test_masks_and_depth_equal_those_of_a_ray_caster(seed: int, count: int, frame: int) -> None:
    fast, slow = random_depth(seed, count, frame)
    assert fast.shape == slow.shape == (count, SIZE, SIZE)
    assert (np.isfinite(fast) != np.isfinite(slow)).sum(axis=(1, 2)).max() <= 2
    both = np.isfinite(fast) & np.isfinite(slow)
    np.testing.assert_allclose(fast[both], slow[both], rtol=1e-4)


def test_the_ray_caster_hits_objects_that_overlap() -> None:
    """The comparison above would say nothing about scenes in which nothing is hit."""
    hits = [np.isfinite(random_depth(seed)[1]) for seed in range(8)]
    assert sum(h.sum() for h in hits) > 8 * 100
    assert sum((h.sum(axis=0) >= 2).sum() for h in hits) > 8 * 20


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_visible_masks_partition_the_union_of_amodal_masks_by_depth(seed: int, count: int) -> None:
    depth, _ = random_depth(seed, count)
    visible, amodal = visible_and_amodal(depth)
    assert visible.sum(axis=0).max() <= 1
    assert not (visible & ~amodal).any()
    np.testing.assert_array_equal(visible.any(axis=0), amodal.any(axis=0))
    np.testing.assert_array_equal(amodal, np.isfinite(depth))
    for k, mask in enumerate(visible):
        assert (depth[k][mask] <= depth[:, mask].min(axis=0)).all()


def test_an_empty_scene() -> None:
    depth = rasterize([], [], CAMERA, 0, SIZE)
    visible, amodal = visible_and_amodal(depth)
    assert depth.shape == visible.shape == amodal.shape == (0, SIZE, SIZE)
    assert order_from_depth(depth, []) == ()


def test_objects_behind_the_camera_or_beside_the_image_are_not_rendered() -> None:
    body = blob(np.random.default_rng(0))
    eye, target = np.array(CAMERA.positions[0]), np.array(CAMERA.targets[0])
    places = {"ahead": target, "behind": 2 * eye - target, "beside": target + (3.0, 10.0, 0.0)}
    vertices = [body.vertices * 0.3 + where for where in places.values()]
    depth = rasterize(vertices, [body.faces] * 3, CAMERA, 0, SIZE)
    assert np.isfinite(depth[0]).any() and not np.isfinite(depth[1:]).any()


def test_projection_of_known_points() -> None:
    """35 mm over a 32 mm sensor: a point one unit aside at depth d lies 35 / 32 / d image sides from the middle."""
    camera = CameraSpec(35.0, 32.0, ((0.0, -4.0, 0.0),), ((0.0, 0.0, 0.0),))
    xy, depth = project(np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 3, 0]]), camera, 0, 64)
    step = 35 / 32 / 4 * 64
    np.testing.assert_allclose(xy, 32 + step * np.array([[0, 0], [1, 0], [0, -1], [0, 0]]), atol=1e-9)
    np.testing.assert_allclose(depth, [4, 4, 4, 7])
