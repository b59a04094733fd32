"""From directions of limbs to rotations of joints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.actors.bodies import JOINT, load_body
from dataset_gen.actors.gaits import LEG
from dataset_gen.actors.key_poses import ARM, KeyPose, Moves, between, posture
from dataset_gen.actors.rig import SHORTEST_BEND, SIDES, about, limb_lengths, reach, rotation_vectors
from vidamodal.worlds.spec import joint_transforms, rotation_matrices

directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: float(np.linalg.norm(v)) > 0.3)


@settings(max_examples=50)
@given(directions, st.floats(0.5, 0.93))
def test_a_limb_reaches_its_target(direction: tuple[float, float, float], far: float) -> None:
    target = np.array([direction]) / np.linalg.norm(direction) * far
    limb = reach(target, (0.5, 0.5), np.array([[0.3, 0.5, -0.7]]))
    axis = np.cross(limb.direction, limb.towards)
    axis /= np.linalg.norm(axis)
    bend = limb.bend[:, None]
    lower = np.cos(bend) * limb.direction + np.sin(bend) * np.cross(axis, limb.direction)
    np.testing.assert_allclose(0.5 * limb.direction + 0.5 * lower, target, atol=1e-6)


def test_a_limb_out_of_reach_is_straight_but_never_bends_backwards() -> None:
    limb = reach(np.array([[0.0, 0.0, -3.0]]), (0.5, 0.5), np.array([[1.0, 0.0, 0.0]]))
    assert limb.bend[0] == pytest.approx(SHORTEST_BEND, abs=0.01)


@pytest.mark.parametrize(("axis", "start", "end"), [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)])
def test_axes_turn_as_documented(axis: str, start: int, end: int) -> None:
    turned = about(axis, np.pi / 2)[0] @ np.eye(3)[start]  # type: ignore[arg-type]
    np.testing.assert_allclose(turned, np.eye(3)[end], atol=1e-12)


def joints(moves: Moves) -> np.ndarray:
    """Positions of the joints of a body in the first frame."""
    body = load_body(3)
    made, _ = posture(body, moves)
    turns, shifts = joint_transforms(rotation_matrices(rotation_vectors(body, made)[0]), body.skeleton)
    return np.einsum("jab,jb->ja", turns, body.skeleton.pivots) + shifts


@settings(max_examples=30)
@given(st.floats(0.5, 0.95), st.floats(-0.2, 0.3))
def test_knees_bend_forwards_and_lengths_are_kept(height: float, ahead: float) -> None:
    places = joints(between([0.0], [KeyPose(hips=(0, 0, height), left_foot=(ahead, 0, 0))], np.zeros(1)))
    body = load_body(3)
    for side in SIDES:
        hip, knee, ankle = (places[JOINT[f"{side}_{name}"]] for name in LEG)
        assert knee[0] >= (hip[0] + ankle[0]) / 2
        upper, lower = limb_lengths(body, side, LEG)
        assert np.linalg.norm(knee - hip) == pytest.approx(upper, abs=1e-6)
        assert np.linalg.norm(ankle - knee) == pytest.approx(lower, abs=1e-6)


def test_elbows_of_hanging_arms_point_backwards() -> None:
    places = joints(between([0.0], [KeyPose(left_hand=(0.2, 0.2, -0.8), right_hand=(0.2, 0.2, -0.8))], np.zeros(1)))
    for side in SIDES:
        shoulder, elbow, wrist = (places[JOINT[f"{side}_{name}"]] for name in ARM)
        assert elbow[0] < (shoulder[0] + wrist[0]) / 2


def test_a_mirrored_pose_exchanges_the_sides() -> None:
    pose = KeyPose(back=(0.2, 0.1, 0.3), left_hand=(0.5, 0.3, 0.2), right_foot=(0.2, 0.1, 0.3), pitches=(0.1, 0.4))
    assert pose.mirrored().mirrored() == pose
    assert pose.mirrored().right_hand == pose.left_hand
    here, there = joints(between([0.0], [pose], np.zeros(1))), joints(between([0.0], [pose.mirrored()], np.zeros(1)))
    mirror = np.array((1, -1, 1))
    left, right = JOINT["left_hand"], JOINT["right_hand"]
    np.testing.assert_allclose(here[left] * mirror, there[right], atol=0.01)
