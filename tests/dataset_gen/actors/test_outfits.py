"""Clothes and carried things."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dataset_gen.actors.bodies import load_body
from dataset_gen.actors.outfits import Dressed, dress
from dataset_gen.actors.people import People
from dataset_gen.meshes import is_closed


def outfits(number: int, count: int) -> Iterator[Dressed]:
    for seed in range(count):
        yield dress(load_body(number), "train", np.random.default_rng(seed))


@pytest.mark.parametrize("number", [0, 5, 11, 40, 59])
def test_dressed_bodies_are_closed_and_every_vertex_follows_its_joints(number: int) -> None:
    for dressed in outfits(number, 25):
        mesh = dressed.body.mesh
        assert is_closed(mesh)
        assert mesh.skeleton is not None
        np.testing.assert_allclose(mesh.skeleton.weights.sum(axis=1), 1, atol=1e-6)
        assert len(mesh.faces) < 3200


def test_outfits_differ_and_may_be_carried() -> None:
    dressed = list(outfits(30, 60))
    assert len({each.body.mesh.vertices.tobytes() for each in dressed}) == 60
    carrying = [each for each in dressed if each.holds]
    assert 8 < len(carrying) < 40
    assert {len(each.holds) for each in carrying} == {1, 2}


def test_clothes_only_push_the_skin_outwards() -> None:
    for dressed in outfits(20, 20):
        skin = dressed.body.mesh.vertices[: len(dressed.naked.mesh.vertices)]
        moved = np.linalg.norm(skin - dressed.naked.mesh.vertices, axis=1)
        assert moved.max() < 0.12
        hands = np.array(dressed.naked.skeleton.weights)[:, [7, 14]].sum(axis=1) > 0.95
        np.testing.assert_allclose(moved[hands], 0, atol=2e-3)


def test_people_with_full_hands_only_stand_walk_and_run() -> None:
    cast = People()
    tall = [person for person in cast.ids("train")[:80] if np.ptp(cast.load(person).mesh.vertices[:, 2]) > 1.2]
    standing = [set(cast.actions(person)) for person in tall]
    full = [actions for actions in standing if "fall" not in actions]
    assert full
    assert all(actions == {"walk", "run", "stand"} for actions in full)
