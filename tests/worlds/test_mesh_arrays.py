"""Meshes as named arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.worlds.helpers import limb
from vidamodal.worlds.mesh_arrays import mesh_from_arrays, mesh_to_arrays


@pytest.mark.parametrize("skinned", [True, False])
def test_a_mesh_and_its_skeleton_are_restored_from_a_file(tmp_path: Path, skinned: bool) -> None:
    mesh = limb() if skinned else dataclasses.replace(limb(), skeleton=None)
    save_file(mesh_to_arrays("limb/0001", mesh), tmp_path / "meshes.safetensors")
    read = mesh_from_arrays("limb/0001", load_file(tmp_path / "meshes.safetensors"))
    np.testing.assert_array_equal(read.vertices, mesh.vertices)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    if mesh.skeleton is None:
        assert read.skeleton is None
    else:
        assert read.skeleton is not None
        for name in ("parents", "pivots", "weights"):
            np.testing.assert_allclose(getattr(read.skeleton, name), getattr(mesh.skeleton, name), atol=1e-6)


def test_a_mesh_without_skeleton_has_two_arrays_of_unchanged_bytes() -> None:
    mesh = dataclasses.replace(limb(), skeleton=None)
    arrays = mesh_to_arrays("limb", mesh)
    assert sorted(arrays) == ["limb/faces", "limb/vertices"]
    assert arrays["limb/vertices"].tobytes() == mesh.vertices.tobytes()
