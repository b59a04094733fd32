"""Ground truth of scenes: depth."""

from __future__ import annotations

import numpy as np

from tests.dataset_gen.helpers import (
    toy_scene,
)
from vidamodal.worlds.rasterize import FLOOR_HALF_WIDTH, camera_axes
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import object_depths, scene_depth


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
