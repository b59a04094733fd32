"""The rasteriser against a slow ray caster."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from tests.worlds.helpers import CAMERA, SIZE, blob, random_depth, scene
from vidamodal.occlusion.order import order_from_depth
from vidamodal.worlds.rasterize import (
    NEAR,
    camera_axes,
    floor_depth,
    floor_disparity,
    project,
    rasterize,
    visible_and_amodal,
)
from vidamodal.worlds.sample import random_camera
from vidamodal.worlds.spec import (
    CameraSpec,
)


@settings(max_examples=40)
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


@settings(max_examples=40)
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


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(20, 60), st.integers(20, 60), st.integers(1, 3))
def test_a_wide_image_is_the_middle_of_a_square_one(seed: int, height: int, width: int, count: int) -> None:
    """The sensor is as wide as the longer side, so a rectangle is what remains of a square that is cut."""
    rng = np.random.default_rng(seed)
    vertices, faces = scene(rng, count)
    camera = random_camera(rng, 3, "orbit")
    height, width = height // 2 * 2, width // 2 * 2
    side = max(height, width)
    rows, columns = (side - height) // 2, (side - width) // 2
    if (side - height) % 2 or (side - width) % 2:
        return
    square = rasterize(vertices, faces, camera, 1, side)
    cut = square[:, rows : rows + height, columns : columns + width]
    np.testing.assert_array_equal(rasterize(vertices, faces, camera, 1, (height, width)), cut)
    np.testing.assert_array_equal(
        floor_disparity(camera, 1, (height, width)),
        floor_disparity(camera, 1, side)[rows : rows + height, columns : columns + width],
    )


def test_disparity_of_the_floor_is_one_over_its_depth() -> None:
    depth, disparity = floor_depth(CAMERA, 0, (30, 50)), floor_disparity(CAMERA, 0, (30, 50))
    near = np.isfinite(depth)
    assert near.any()
    np.testing.assert_allclose(disparity[near], 1 / depth[near], rtol=1e-5)
    assert disparity.min() >= 0


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_what_reaches_behind_the_camera_is_cut_and_not_left_out(seed: int) -> None:
    """A long box beside the camera: its far part looks as if the box began just before the camera."""
    rng = np.random.default_rng(seed)
    eye, target = np.array(CAMERA.positions[0]), np.array(CAMERA.targets[0])
    _, axes = camera_axes(CAMERA, 0)
    aside = axes[0] * rng.choice((-1, 1)) * rng.uniform(0.4, 1.0) + axes[1] * rng.uniform(-0.3, 0.3)
    way = (target - eye) / np.linalg.norm(target - eye)
    box = ConvexHull(np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) * 0.2)
    body = blob(rng)

    def beside(start: float) -> np.ndarray:
        points = box.points.copy()
        along = np.where(points[:, 2] < 0, start, 6.0)
        return eye + aside + points[:, :1] * axes[0] + points[:, 1:2] * axes[1] + along[:, None] * way

    faces = _outward(box)
    cut, whole = (
        rasterize([beside(start), body.vertices + target], [faces, body.faces], CAMERA, 0, SIZE)[0]
        for start in (-3.0, NEAR * 1.01)
    )
    differs = np.isfinite(cut) != np.isfinite(whole)
    assert np.isfinite(whole).any() and differs.mean() < 0.01


def _outward(hull: ConvexHull) -> np.ndarray:
    faces = hull.simplices.copy()
    corners = hull.points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flip = np.einsum("fc,fc->f", normals, hull.equations[:, :3]) < 0
    faces[flip] = faces[flip][:, ::-1]
    return faces
