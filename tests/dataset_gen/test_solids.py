"""Solids are closed and face outwards."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.meshes import is_closed
from dataset_gen.solids import bar, blob, box, ellipsoid, lathe, moved, panel, torus, tube, volume
from vidamodal.worlds.spec import Mesh

length = st.floats(0.01, 3.0)


def spline(points: list[tuple[float, float, float]]) -> list[np.ndarray]:
    """Return a path whose neighbouring points differ."""
    path = [np.array(point) + (0, 0, k * 1.5) for k, point in enumerate(points)]
    assert all(np.linalg.norm(b - a) > 0.1 for a, b in pairwise(path))
    return path


@settings(max_examples=40)
@given(
    st.lists(st.tuples(*[st.floats(-0.5, 0.5)] * 3), min_size=2, max_size=6),
    length,
    st.integers(3, 12),
    st.booleans(),
)
def test_tubes_are_closed(points: list[tuple[float, float, float]], radius: float, sides: int, rounded: bool) -> None:
    mesh = tube(spline(points), [(radius, radius / 2)] * len(points), sides, rounded=rounded)
    assert is_closed(mesh) and volume(mesh) > 0


@settings(max_examples=30)
@given(length, length, length, st.integers(0, 100))
def test_solids_have_the_volume_of_their_shape(x: float, y: float, z: float, seed: int) -> None:
    for mesh, expected, share in (
        (box((x, y, z)), x * y * z, 1e-6),
        (ellipsoid((1, 2, 3), (x, y, z), 200), 4 / 3 * np.pi * x * y * z, 0.1),
        (lathe([(x, 0), (x, z)], sides=40), np.pi * x * x * z, 0.02),
        (bar((0, 0, 0), (x, y, z), 0.1, sides=40), np.pi * 0.01 * np.linalg.norm((x, y, z)), 0.02),
        (torus((0, 0, 0), x + 1, 0.3, (x, y, z), 60, 20), 2 * np.pi**2 * (x + 1) * 0.09, 0.03),
        (panel((0, 0), (x, y), 0.5, 0.5 + z, 0.1), float(np.hypot(x, y)) * z * 0.1, 1e-6),
    ):
        assert is_closed(mesh)
        assert volume(mesh) == pytest.approx(expected, rel=share)
    rough = blob(np.random.default_rng(seed), (0, 0, 0), (x, y, z), 0.3)
    assert is_closed(rough) and volume(rough) > 0


def test_a_bar_may_run_in_any_direction() -> None:
    for axis in np.eye(3):
        assert volume(bar((0, 0, 0), axis, 0.2, sides=60)) == pytest.approx(np.pi * 0.04, rel=0.01)


def test_moved_solids_turn_about_z_and_keep_their_faces() -> None:
    mesh = box((2.0, 1.0, 1.0), (3.0, 0.0, 0.0))
    (turned,) = moved([mesh], (0, 0, 1), np.pi / 2)
    assert np.allclose(turned.vertices.mean(axis=0), (0.0, 3.0, 1.5))
    assert np.allclose(np.ptp(turned.vertices, axis=0), (1.0, 2.0, 1.0))
    assert isinstance(turned, Mesh) and turned.faces is mesh.faces
