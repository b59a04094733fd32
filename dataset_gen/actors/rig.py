"""From postures, the directions of a body's limbs, to the rotations of its joints.

Arrays have one row a frame. The axes are those of the body: x forwards, y to the left, z up. A rotation of a posture is
a matrix relative to the joint that carries it, and the identity at rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dataset_gen.actors.bodies import JOINT, JOINTS, Body

Side = Literal["left", "right"]
Rotations = Float[np.ndarray, "t 3 3"]
Vectors = Float[np.ndarray, "t 3"]

SIDES: tuple[Side, ...] = ("left", "right")
SIGN = {"left": 1.0, "right": -1.0}
"""Direction of a side along y."""

SHORTEST_BEND = 0.08
"""Least angle in radians between the two parts of a limb, so that it never bends backwards."""


SOFT_REACH = 0.94
"""Share of a limb's length up to which it reaches its target exactly; farther targets are approached smoothly."""


@dataclass
class Limb:
    """An arm or a leg: the direction of its upper part, and the direction towards which the lower part is bent."""

    direction: Vectors
    """Unit vectors from shoulder to elbow or from hip to knee, in the axes of the chest or the pelvis."""
    towards: Vectors
    """Direction in which the lower part bends; only its part across ``direction`` counts."""
    bend: Float[np.ndarray, " t"]
    """Angle between upper and lower part in radians."""


@dataclass
class Posture:
    """The posture of a body in each frame."""

    pelvis: Rotations
    spine: Rotations
    chest: Rotations
    head: Rotations
    arms: dict[Side, Limb]
    legs: dict[Side, Limb]
    feet: dict[Side, Rotations]
    """Orientation of each foot in the axes of the pelvis; the identity is the rest pose."""
    hands: dict[Side, Rotations] = field(default_factory=dict)
    """Rotation of each hand relative to the forearm."""


def about(axis: Literal["x", "y", "z"], angles: Float[np.ndarray, " t"] | float) -> Rotations:
    """Return rotations about an axis: x turns left to up, y up to forwards, z forwards to left."""
    angles = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    cosine, sine = np.cos(angles), np.sin(angles)
    zero, one = np.zeros_like(angles), np.ones_like(angles)
    rows = {
        "x": [one, zero, zero, zero, cosine, -sine, zero, sine, cosine],
        "y": [cosine, zero, sine, zero, one, zero, -sine, zero, cosine],
        "z": [cosine, -sine, zero, sine, cosine, zero, zero, zero, one],
    }[axis]
    return np.asarray(np.stack(rows, axis=1).reshape(-1, 3, 3))


def unit(vectors: Float[np.ndarray, "*t 3"]) -> Float[np.ndarray, "*t 3"]:
    """Return vectors of length 1."""
    lengths: Float[np.ndarray, "*t 1"] = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return np.asarray(vectors / lengths)


def apply(rotations: Rotations, vectors: Vectors) -> Vectors:
    """Rotate one vector a frame."""
    return np.asarray(np.einsum("tij,tj->ti", rotations, np.broadcast_to(vectors, (len(rotations), 3))))


def reach(target: Vectors, lengths: tuple[float, float], elbow: Vectors) -> Limb:
    """Return the limb whose end is at a target.

    Args:
        target: Wanted position of the limb's end relative to its root. Those at the end of its reach are approached.
        lengths: Lengths of upper and lower part.
        elbow: Direction into which elbow or knee points.
    """
    upper, lower = lengths
    distance = np.linalg.norm(target, axis=1)
    longest = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(SHORTEST_BEND))
    near, rest = SOFT_REACH * longest, (1 - SOFT_REACH) * longest
    beyond = np.maximum(distance - near, 0)
    distance = np.minimum(distance, near) + rest * (1 - np.exp(-beyond / rest))  # so that the joint does not snap
    distance = np.maximum(distance, abs(upper - lower) * 1.05 + 1e-3)
    inner = np.arccos(np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1))
    cosine = (upper**2 + lower**2 - distance**2) / (2 * upper * lower)
    along = unit(target)
    out = unit(elbow - (elbow * along).sum(axis=1, keepdims=True) * along)
    direction = np.cos(inner)[:, None] * along + np.sin(inner)[:, None] * out
    return Limb(direction, -out, np.pi - np.arccos(np.clip(cosine, -1, 1)))


def rotation_vectors(body: Body, posture: Posture) -> Float[np.ndarray, "t j 3"]:
    """Return the rotation vectors of a body's joints for a `Skin`."""
    count = len(posture.pelvis)
    out = np.broadcast_to(np.eye(3), (len(JOINTS), count, 3, 3)).copy()
    for name in ("pelvis", "spine", "chest", "head"):
        out[JOINT[name]] = getattr(posture, name)
    for side in SIDES:
        shrug = _shrug(posture.arms[side], side)
        upper, lower = _limb_rotations(body, posture.arms[side], *_joints(side, "upper_arm", "forearm", "hand"))
        out[JOINT[f"{side}_clavicle"]] = shrug
        out[JOINT[f"{side}_upper_arm"]] = shrug.swapaxes(1, 2) @ upper
        out[JOINT[f"{side}_forearm"]] = upper.swapaxes(1, 2) @ lower
        out[JOINT[f"{side}_hand"]] = posture.hands.get(side, np.eye(3))
        upper, lower = _limb_rotations(body, posture.legs[side], *_joints(side, "thigh", "shin", "foot"))
        out[JOINT[f"{side}_thigh"]] = upper
        out[JOINT[f"{side}_shin"]] = upper.swapaxes(1, 2) @ lower
        out[JOINT[f"{side}_foot"]] = lower.swapaxes(1, 2) @ posture.feet[side]
    return np.asarray(_to_vectors(out).swapaxes(0, 1))


def bent_back(body: Body, side: Side, angle: float, count: int) -> Rotations:
    """Return the rotations of a hand whose back is bent towards the forearm, as of one that leans on its palm."""
    along = unit(body.pivot(f"{side}_hand") - body.pivot(f"{side}_forearm"))
    axis = unit(np.cross(along, (0.0, 0.0, 1.0)))  # the backs of the hands are on top at rest
    turn = Rotation.from_rotvec(axis * angle).as_matrix()
    return np.broadcast_to(turn, (count, 3, 3))


def limb_lengths(body: Body, side: Side, joints: tuple[str, str, str]) -> tuple[float, float]:
    """Return the lengths of upper and lower part of a limb between three joints."""
    a, b, c = (body.pivot(f"{side}_{name}") for name in joints)
    return float(np.linalg.norm(b - a)), float(np.linalg.norm(c - b))


def _joints(side: Side, *names: str) -> list[str]:
    return [f"{side}_{name}" for name in names]


def _shrug(arm: Limb, side: Side) -> Rotations:
    """Raise the collarbone with an arm that is lifted above the horizontal, and lower it a little with one at rest."""
    lift = 0.45 * np.clip(arm.direction[:, 2] + 0.1, 0, 1) - 0.1 * np.clip(-arm.direction[:, 2], 0, 1)
    forwards = 0.3 * np.clip(arm.direction[:, 0], 0, 1)
    return np.asarray(about("z", -SIGN[side] * forwards) @ about("x", SIGN[side] * lift))


def _limb_rotations(body: Body, limb: Limb, root: str, middle: str, end: str) -> tuple[Rotations, Rotations]:
    """Return the rotations of upper and lower part relative to chest or pelvis."""
    upper0 = unit(body.pivot(middle) - body.pivot(root))
    lower0 = unit(body.pivot(end) - body.pivot(middle))
    axis0 = unit(np.cross(upper0, lower0))
    axis = unit(np.cross(limb.direction, limb.towards))
    bend = np.maximum(limb.bend, SHORTEST_BEND)[:, None]
    direction = unit(limb.direction)
    lower = np.cos(bend) * direction + np.sin(bend) * np.cross(axis, direction)
    return _turn(upper0, axis0, direction, axis), _turn(lower0, axis0, lower, axis)


def _turn(
    direction0: Float[np.ndarray, " 3"], axis0: Float[np.ndarray, " 3"], direction: Vectors, axis: Vectors
) -> Rotations:
    """Return the rotation that turns a direction and an axis across it to others."""
    rest = np.stack([direction0, axis0, np.cross(direction0, axis0)], axis=-1)
    wanted = np.stack([direction, axis, np.cross(direction, axis)], axis=-1)
    return np.asarray(wanted @ rest.T)


def _to_vectors(matrices: Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3"]:
    """Return the rotation vectors of matrices."""
    vectors = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(vectors.reshape(matrices.shape[:-1]))
