"""Creatures: shapes, splits and gaits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.creature_kinds import KINDS
from dataset_gen.creatures import Gait, animate, creature_ids, is_creature, load_creature
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh, deform


@settings(max_examples=25)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 299), st.floats(0, 1), st.floats(0.02, 0.2))
def test_creatures_keep_their_volume_and_stand_on_the_floor(kind: str, number: int, phase: float, pace: float) -> None:
    creature = load_creature(f"{kind}/{number:04d}")
    mesh = creature.asset.mesh
    assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(1, abs=1e-4)
    hops = kind == "jelly"
    gait = Gait((0.3, -0.2), 0.7, 0.05, pace, phase, leap=0.4 if hops else 0.0)
    poses, deformation = animate(creature, (1.2, 1.1, 1.3), gait, 12)
    rest = volume(mesh, mesh.vertices)
    shapes = []
    for t, pose in enumerate(poses):
        vertices = deform(mesh.vertices, deformation, t)
        shapes.append(vertices)
        assert volume(mesh, vertices) == pytest.approx(rest, rel=0.05)
        lowest = 1.3 * vertices[:, 2].min() + pose.position[2]
        assert -1e-4 < lowest < (0.41 if hops else 1e-4)
    assert np.ptp(np.stack(shapes), axis=0).max() > 1e-3
    steps = np.diff([pose.position[:2] for pose in poses], axis=0)
    assert np.allclose(np.linalg.norm(steps, axis=1), 0.05, atol=1e-4)


def volume(mesh: Mesh, vertices: np.ndarray) -> float:
    corners = vertices[mesh.faces].astype(float)
    return float(np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def test_limbs_stay_joined() -> None:
    """The vertices of a limb keep their distance from its pivot at every angle."""
    creature = load_creature("biped/0003")
    _, deformation = animate(creature, (1.0, 1.0, 1.0), Gait((0, 0), 0.0, 0.05, 0.1, 0.0), 10)
    assert len(deformation.hinges) == 8
    for hinge in deformation.hinges:
        alone = replace(deformation, hinges=(hinge,))
        rest = creature.asset.mesh.vertices[hinge.start : hinge.stop]
        reach = np.linalg.norm(rest - hinge.pivot, axis=1)
        assert reach.min() < 0.1
        for t in range(10):
            limb = deform(creature.asset.mesh.vertices, alone, t)[hinge.start : hinge.stop]
            assert np.allclose(np.linalg.norm(limb - hinge.pivot, axis=1), reach, atol=1e-5)


def test_splits_share_no_creature() -> None:
    ids = [name for split in ("train", "validation", "test") for name in creature_ids(split)]
    assert len(set(ids)) == len(ids) == 300 * len(KINDS)
    assert all(map(is_creature, ids)) and not is_creature("mug/0001")


@pytest.mark.parametrize("name", ["biped", "biped/1", "biped/0300", "biped/../1", "cat/0001", "biped/00x1"])
def test_unknown_creatures_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        load_creature(name)
