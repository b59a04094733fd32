"""Toy worlds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vidamodal.worlds.toy import toy_bank


@pytest.mark.parametrize("name", ["box", "ball"])
def test_toy_meshes_are_closed_and_face_outward(name: str) -> None:
    mesh = toy_bank(0).meshes[name]
    edges = Counter((a, b) for f in mesh.faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True))
    assert set(edges.values()) == {1} and all((b, a) in edges for a, b in edges)
    assert set(mesh.faces.ravel().tolist()) == set(range(len(mesh.vertices)))
    corners = mesh.vertices[mesh.faces].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.einsum("fc,fc->f", normals, corners.mean(axis=1)).min() > 0


def test_toy_banks_follow_from_their_seed() -> None:
    assert toy_bank(1).worlds == toy_bank(1).worlds != toy_bank(2).worlds
