"""Key poses, and postures between them.

A key pose describes a posture independently of the size of the body: places of hips and feet in lengths of the leg,
those of the hands in lengths of the arm. Sides count outwards, so that a pose is mirrored by exchanging left and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from dataset_gen.actors.bodies import Body
from dataset_gen.actors.gaits import leg_length, rolled, stand_on
from dataset_gen.actors.rig import SIDES, SIGN, Limb, Posture, Rotations, Side, Vectors, about, limb_lengths, reach
from vidamodal.worlds.spec import Vector

ARM = ("upper_arm", "forearm", "hand")


@dataclass(frozen=True)
class KeyPose:
    """A posture. Angles are roll, pitch and yaw in radians; positive pitch leans forwards, positive yaw turns left."""

    hips: Vector = (0.0, 0.0, 0.97)
    """Forwards, to the left and up, in lengths of the leg, over the place between the ankles; about 1 if standing."""
    pelvis: Vector = (0.0, 0.0, 0.0)
    back: Vector = (0.0, 0.0, 0.0)
    head: Vector = (0.0, 0.0, 0.0)
    left_hand: Vector = (0.08, 0.2, -0.93)
    """Forwards, outwards and up from the shoulder, in lengths of the arm, in the axes of the chest."""
    right_hand: Vector = (0.08, 0.2, -0.93)
    left_foot: Vector = (0.0, 0.0, 0.0)
    """Forwards, outwards and up in lengths of the leg from where the foot stands at rest."""
    right_foot: Vector = (0.0, 0.0, 0.0)
    pitches: tuple[float, float] = (0.0, 0.0)
    """Pitch of the left and the right foot; positive lifts the heel."""
    knees: float = 0.15
    """How far the knees point outwards."""

    def mirrored(self) -> KeyPose:
        """Return the pose with left and right exchanged."""

        def flip(angles: Vector) -> Vector:
            return -angles[0], angles[1], -angles[2]

        return replace(
            self,
            hips=(self.hips[0], -self.hips[1], self.hips[2]),
            pelvis=flip(self.pelvis),
            back=flip(self.back),
            head=flip(self.head),
            left_hand=self.right_hand,
            right_hand=self.left_hand,
            left_foot=self.right_foot,
            right_foot=self.left_foot,
            pitches=(self.pitches[1], self.pitches[0]),
        )

    def numbers(self) -> Float[np.ndarray, " k"]:
        """Return all values in the order of the fields."""
        return np.concatenate([np.atleast_1d(getattr(self, each.name)) for each in fields(self)])


_REST = KeyPose()


@dataclass(frozen=True)
class Moves:
    """The values of a key pose in each frame."""

    values: Float[np.ndarray, "t k"]

    def __getitem__(self, name: str) -> Float[np.ndarray, "t k"]:
        start = 0
        for each in fields(KeyPose):
            width = len(np.atleast_1d(getattr(_REST, each.name)))
            if each.name == name:
                return self.values[:, start : start + width]
            start += width
        raise KeyError(name)


def between(times: Sequence[float], poses: Sequence[KeyPose], moments: Float[np.ndarray, " t"]) -> Moves:
    """Return the moves that pass through key poses at increasing times and rest before the first and after the last."""
    values = np.stack([pose.numbers() for pose in poses])
    if len(poses) == 1:
        return Moves(np.repeat(values, len(moments), axis=0))
    curve = PchipInterpolator(times, values)
    return Moves(curve(np.clip(moments, times[0], times[-1])))


def posture(body: Body, moves: Moves) -> tuple[Posture, Vectors]:
    """Return the postures of a body, and the place of its pelvis in the axes of the body in metres."""
    leg = leg_length(body)
    pelvis, half = _rotation(moves["pelvis"]), _rotation(moves["back"] / 2)
    rest = body.pivot("pelvis")
    ankle, hip = body.pivot("left_foot"), body.pivot("left_thigh")
    hips = moves["hips"] * leg
    hips[:, 0] += ankle[0]
    hips[:, 2] += ankle[2] + rest[2] - hip[2]
    ankles, feet = {}, {}
    for number, side in enumerate(SIDES):
        pitch = moves["pitches"][:, number]
        flat = np.broadcast_to(np.eye(3), pelvis.shape)
        sides = np.array([1.0, SIGN[side], 1.0])
        stance = np.array([body.pivot(f"{side}_foot")[0], body.pivot(f"{side}_thigh")[1] * 0.9, ankle[2]])
        ankles[side] = stance + moves[f"{side}_foot"] * leg * sides + rolled(body, side, flat, pitch)
        feet[side] = pelvis.swapaxes(1, 2) @ about("y", pitch)
    arms = {side: arm_to(body, side, moves[f"{side}_hand"]) for side in SIDES}
    legs = stand_on(body, hips, pelvis, ankles, moves["knees"][:, 0])
    return Posture(pelvis, half, half, _rotation(moves["head"]), arms, legs, feet), hips


def arm_to(body: Body, side: Side, place: Vectors) -> Limb:
    """Return the arm whose wrist is at a place: forwards, outwards and up from the shoulder in lengths of the arm."""
    lengths = limb_lengths(body, side, ARM)
    sides = np.array([1.0, SIGN[side], 1.0])
    raised = np.clip(0.5 + place[:, 2:], 0, 1)
    low, high = np.array([[-0.7, 0.4, -0.5]]), np.array([[0.1, 1.0, -0.15]])
    return reach(place * sum(lengths) * sides, lengths, ((1 - raised) * low + raised * high) * sides)


def _rotation(angles: Float[np.ndarray, "t 3"]) -> Rotations:
    roll, pitch, yaw = angles.T
    return np.asarray(about("z", yaw) @ about("y", pitch) @ about("x", roll))
