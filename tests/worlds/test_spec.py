"""Scene files, rotations and deformations."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.helpers import limb, moving_world
from vidamodal.worlds.spec import (
    CameraSpec,
    Deformation,
    Hinge,
    LightSpec,
    Material,
    ObjectSpec,
    Pose,
    SceneSpec,
    Skin,
    Throw,
    deform,
    joint_transforms,
    place_object,
    rotation_matrices,
    rotation_matrix,
)
from vidamodal.worlds.toy import toy_bank


@settings(max_examples=60)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotation_matrices_are_proper_rotations(quaternion: tuple[float, float, float, float]) -> None:
    unit = tuple((np.array(quaternion) / np.linalg.norm(quaternion)).tolist())
    matrix = rotation_matrix(unit)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(matrix @ unit[1:], unit[1:], atol=1e-12)


def test_a_quarter_turn_about_z_maps_x_to_y() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_matrix((half, 0, 0, half)) @ (1, 0, 0), (0, 1, 0), atol=1e-12)


numbers = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.tuples(numbers, numbers, numbers)
materials = st.builds(Material, vectors, numbers, numbers, st.text(), vectors, numbers)
poses = st.builds(Pose, vectors, st.tuples(numbers, numbers, numbers, numbers))
objects = st.builds(
    ObjectSpec, st.integers(0), st.text(), st.text(), st.text(), vectors, numbers, materials,
    st.lists(poses, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
paths = st.lists(vectors, max_size=3).map(tuple)
specs = st.builds(
    SceneSpec, st.integers(0), st.text(), st.text(), st.integers(1), st.integers(1), numbers,
    st.lists(objects, max_size=3).map(tuple), st.builds(CameraSpec, numbers, numbers, paths, paths),
    st.builds(LightSpec, vectors, numbers, st.text(), numbers, numbers, materials),
)  # fmt: skip


@settings(max_examples=60)
@given(specs)
def test_a_scene_survives_json_exactly(spec: SceneSpec) -> None:
    again = SceneSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and repr(again) == repr(spec)


@pytest.mark.parametrize("spoil", [lambda d: d.pop("camera"), lambda d: d.update(colour=1)])
def test_a_scene_with_a_missing_or_unknown_key_is_refused(spoil: object) -> None:
    data = toy_bank(0).worlds[0].to_json()
    spoil(data)  # type: ignore[operator]
    with pytest.raises((KeyError, TypeError)):
        SceneSpec.from_json(data)


def test_moving_and_deforming_objects_survive_json() -> None:
    world = moving_world(5)
    thrown = replace(world.objects[2], throw=Throw((1.0, 2.0, 3.0), (0.1, 0.2, 0.3)))
    world = replace(world, objects=(*world.objects[:2], thrown))
    data = json.loads(json.dumps(world.to_json()))
    assert SceneSpec.from_json(data) == world
    assert "deformation" not in data["objects"][0] and "throw" not in data["objects"][1]


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    corners = vertices[faces]
    return float(np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


@settings(max_examples=40)
@given(st.floats(-1.5, 1.5), st.floats(0.5, 2), st.floats(-3, 3))
def test_deformation_preserves_volume_and_vertices_outside_the_limb(bend: float, squash: float, angle: float) -> None:
    mesh = toy_bank(0).meshes["ball"]
    vertices = mesh.vertices * 0.5
    half = len(vertices) // 2
    hinge = Hinge(half, len(vertices), (0.1, 0.2, 0.3), (0.0, 1.0, 0.0), (angle,))
    turned = deform(vertices, Deformation((hinge,)), 0)
    assert np.array_equal(turned[:half], vertices[:half])
    reach = np.linalg.norm(vertices[half:] - hinge.pivot, axis=1)
    assert np.allclose(np.linalg.norm(turned[half:] - hinge.pivot, axis=1), reach, atol=1e-6)
    assert np.allclose(turned[half:, 1], vertices[half:, 1], atol=1e-6)  # along the axis nothing moves
    squashed = deform(vertices, Deformation(squash=(squash,)), 0)
    assert np.isclose(volume(squashed, mesh.faces), volume(vertices, mesh.faces), rtol=1e-5)
    assert np.isclose(np.ptp(squashed[:, 2]), squash * np.ptp(vertices[:, 2]), rtol=1e-5)
    bent = deform(vertices, Deformation(bend=(bend,)), 0)
    assert np.isclose(volume(bent, mesh.faces), volume(vertices, mesh.faces), rtol=0.05)
    spine = np.array([[0.0, 0.0, z] for z in np.linspace(-0.5, 0.5, 200)])
    curve = deform(spine, Deformation(bend=(bend,)), 0)
    assert np.isclose(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum(), 1, rtol=1e-3)  # the axis keeps its length


def skin(*frames: tuple[tuple[float, float, float], ...]) -> Deformation:
    return Deformation(skin=Skin(frames))


STILL = (0.0, 0.0, 0.0)
angles = st.tuples(*[st.floats(-3, 3)] * 3)


@given(angles)
def test_a_rotation_vector_is_a_turn_about_its_axis(vector: tuple[float, float, float]) -> None:
    angle = float(np.linalg.norm(vector))
    axis = np.array(vector) / max(angle, 1e-12)
    quaternion = (np.cos(angle / 2), *(np.sin(angle / 2) * axis))
    np.testing.assert_allclose(rotation_matrices(np.array([vector]))[0], rotation_matrix(quaternion), atol=1e-9)


def test_a_skin_at_rest_changes_nothing() -> None:
    mesh = limb()
    out = deform(mesh.vertices, skin((STILL,) * 3), 0, mesh.skeleton)
    np.testing.assert_allclose(out, mesh.vertices, atol=1e-7)


def test_a_joint_moves_only_the_vertices_that_follow_it_or_its_children() -> None:
    mesh = limb()
    out = deform(mesh.vertices, skin((STILL, (0.0, np.pi / 2, 0.0), STILL)), 0, mesh.skeleton)
    np.testing.assert_allclose(out[:4], mesh.vertices[:4], atol=1e-7)  # carried by the root alone
    np.testing.assert_allclose(out[12:].mean(axis=0), (2, 0, 1), atol=1e-6)  # 2 m above the joint, now along x


@settings(max_examples=40)
@given(angles)
def test_turning_the_root_keeps_all_distances(turn: tuple[float, float, float]) -> None:
    mesh = limb()
    out = deform(mesh.vertices, skin((turn, STILL, STILL)), 0, mesh.skeleton)

    def distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - points, axis=2)

    np.testing.assert_allclose(distances(out), distances(mesh.vertices.astype(float)), atol=1e-6)


@settings(max_examples=40)
@given(st.tuples(angles, angles, angles))
def test_the_transform_of_a_joint_moves_what_follows_it_alone(turns: tuple[tuple[float, float, float], ...]) -> None:
    mesh = limb()
    assert mesh.skeleton is not None
    rotations, moves = joint_transforms(rotation_matrices(np.array(turns)), mesh.skeleton)
    out = deform(mesh.vertices, skin(turns), 0, mesh.skeleton)
    np.testing.assert_allclose(out[12:], mesh.vertices[12:] @ rotations[2].T + moves[2], atol=1e-6)


def test_a_skinned_object_turns_its_joints_before_it_is_placed() -> None:
    mesh, thing = limb(), toy_bank(0).worlds[0].objects[0]
    deformation = skin((STILL,) * 3, ((np.pi / 2, 0.0, 0.0), STILL, STILL))
    pose = Pose((0.0, 0.0, 5.0), (1.0, 0.0, 0.0, 0.0))
    thing = replace(thing, scale=(2.0, 2.0, 2.0), poses=(pose, pose), deformation=deformation)
    np.testing.assert_allclose(place_object(mesh, thing, 0)[12:].mean(axis=0), (0, 0, 11), atol=1e-5)
    np.testing.assert_allclose(place_object(mesh, thing, 1)[12:].mean(axis=0), (0, -6, 5), atol=1e-5)


def test_a_skin_without_its_skeleton_is_refused() -> None:
    mesh = limb()
    with pytest.raises(ValueError, match="2 joints, but the mesh has a skeleton of 3"):
        deform(mesh.vertices, skin((STILL, STILL)), 0, mesh.skeleton)
    with pytest.raises(ValueError, match="no skeleton"):
        deform(mesh.vertices, skin((STILL,) * 3), 0)
