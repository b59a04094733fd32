"""Walking and running along a path: where the feet are, so that they do not slide, and how the body follows.

Positions are in metres. Arrays have one row a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.bodies import Body
from dataset_gen.actors.performances import GroundPath
from dataset_gen.actors.rig import (
    SIDES,
    SIGN,
    Limb,
    Posture,
    Rotations,
    Side,
    Vectors,
    about,
    apply,
    limb_lengths,
    reach,
)

LEG = ("thigh", "shin", "foot")


@dataclass(frozen=True)
class Gait:
    """How a person walks or runs."""

    stride: float
    """Distance of two steps in metres."""
    stance: float
    """Share of a stride in which a foot is on the floor: above 0.5 for walking, below for running."""
    phase: float
    """Strides made before frame 0."""
    width: float
    """Distance between the feet in metres."""
    lift: float
    """Height in metres to which a foot is lifted."""
    crouch: float
    """Share of the length of the leg by which the hips are lowered."""
    lean: float
    """Forward lean in radians."""
    twist: float
    """Turn of the hips in radians; the chest turns the other way."""


@dataclass(frozen=True)
class Footing:
    """Hips and ankles in the axes of the body: origin on the floor at the place of the path, x along the heading."""

    cycle: dict[Side, Float[np.ndarray, " t"]]
    """Strides made by each foot; it touches the floor at whole numbers."""
    hips: Vectors
    """Position of the pelvis joint."""
    ankles: dict[Side, Vectors]
    feet: dict[Side, Rotations]


def leg_length(body: Body) -> float:
    """Return the length of a leg from hip to ankle in metres."""
    return sum(limb_lengths(body, "left", LEG))


def footing(body: Body, path: GroundPath, gait: Gait) -> Footing:
    """Return where hips and feet are while a person follows a path."""
    turned = np.abs(np.diff(path.headings, prepend=path.headings[:1]))
    phase = gait.phase + (path.travelled + 0.3 * gait.width * np.cumsum(turned)) / gait.stride
    ground = _Ground(path, phase, gait.stride)
    cycle = {side: phase + (0.0 if side == "left" else 0.5) for side in SIDES}
    ankles, feet = {}, {}
    for side in SIDES:
        ankles[side], feet[side] = _foot(body, ground, cycle[side], gait, side)
    return Footing(cycle, _hips(body, ankles, cycle, gait), ankles, feet)


def stand_on(
    body: Body,
    hips: Vectors,
    pelvis: Rotations,
    ankles: dict[Side, Vectors],
    knees: Float[np.ndarray, " t"] | float = 0.12,
) -> dict[Side, Limb]:
    """Return the legs of a body whose hips and ankles are known; knees point forwards and ``knees`` outwards."""
    legs = {}
    for side in SIDES:
        hip = hips + apply(pelvis, body.pivot(f"{side}_thigh") - body.pivot("pelvis"))
        inward = pelvis.swapaxes(1, 2)
        splay = np.broadcast_to(SIGN[side] * np.asarray(knees), len(hips))
        knee = np.stack([np.ones(len(hips)), splay, np.zeros(len(hips))], axis=1)
        legs[side] = reach(apply(inward, ankles[side] - hip), limb_lengths(body, side, LEG), knee)
    return legs


class _Ground:
    """The path as a function of the strides made; it goes on straight before its start and after its end."""

    def __init__(self, path: GroundPath, phase: Float[np.ndarray, " t"], stride: float) -> None:
        self.phase = phase + 1e-7 * np.arange(len(phase))
        self.path, self.headings = path, np.unwrap(path.headings)
        self.stride = stride

    def at(self, phase: Float[np.ndarray, " t"]) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
        """Return positions and headings."""
        places = np.stack([np.interp(phase, self.phase, axis) for axis in self.path.positions.T], axis=1)
        headings = np.interp(phase, self.phase, self.headings)
        before = np.minimum(phase - self.phase[0], 0)[:, None]
        beyond = np.maximum(phase - self.phase[-1], 0)[:, None]
        start, end = self._direction(0), self._direction(-1)
        return places + self.stride * (before * start + beyond * end), headings

    def local(self, points: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "t 2"]:
        """Return points in the axes of the body in each frame."""
        x, y = (points - self.path.positions).T
        cosine, sine = np.cos(self.headings), np.sin(self.headings)
        return np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)

    def _direction(self, end: int) -> Float[np.ndarray, " 2"]:
        steps = np.diff(self.path.positions, axis=0)
        moving = steps[np.linalg.norm(steps, axis=1) > 1e-6]
        if not len(moving):
            return np.zeros(2)
        return np.asarray(moving[end] / np.linalg.norm(moving[end]))


def _foot(
    body: Body, ground: _Ground, cycle: Float[np.ndarray, " t"], gait: Gait, side: Side
) -> tuple[Vectors, Rotations]:
    """Return the position of an ankle and the orientation of the foot."""
    step, part = np.floor(cycle), cycle % 1
    ahead = gait.stance / 2 - (0.0 if side == "left" else 0.5)  # a foot stands where the body is in mid-stance
    swing = np.clip((part - gait.stance) / (1 - gait.stance), 0, 1)
    blend = (swing - np.sin(2 * np.pi * swing) / (2 * np.pi))[:, None]
    last, last_heading = ground.at(step + ahead)
    following, next_heading = ground.at(step + 1 + ahead)
    place = (1 - blend) * (last + _sideways(last_heading, gait, side)) + blend * (
        following + _sideways(next_heading, gait, side)
    )
    yaw = (1 - blend[:, 0]) * last_heading + blend[:, 0] * next_heading - ground.headings
    pitch = _pitch(part, gait)
    rest = body.pivot(f"{side}_foot")
    floor = np.concatenate([ground.local(place), np.zeros((len(place), 1))], axis=1)
    floor[:, 0] += rest[0]
    turn = about("z", yaw)
    foot = turn @ about("y", pitch)
    ankle = floor + (0.0, 0.0, rest[2]) + rolled(body, side, turn, pitch)
    ankle[:, 2] += gait.lift * np.sin(np.pi * swing) ** 1.5
    return ankle, foot


def rolled(body: Body, side: Side, turn: Rotations, pitch: Float[np.ndarray, " t"]) -> Vectors:
    """Return how an ankle moves as its foot rolls over the ball (heel up, positive pitch) or over the heel."""
    rest = body.pivot(f"{side}_foot")
    toe = float(body.mesh.vertices[:, 0].max()) * 0.6 - rest[0]
    ball = np.where(pitch[:, None] > 0, [[toe, 0.0, -rest[2]]], [[-0.3 * toe, 0.0, -rest[2]]])
    return apply(turn, ball - apply(about("y", pitch), ball))


def _sideways(headings: Float[np.ndarray, " t"], gait: Gait, side: Side) -> Float[np.ndarray, "t 2"]:
    left = np.stack([-np.sin(headings), np.cos(headings)], axis=1)
    return np.asarray(SIGN[side] * gait.width / 2 * left)


def _pitch(part: Float[np.ndarray, " t"], gait: Gait) -> Float[np.ndarray, " t"]:
    """Return the pitch of a foot: toes up when it lands, flat, then heel up until it swings forwards."""
    stance, running = gait.stance, gait.stance < 0.5
    times = [0.0, 0.2 * stance, 0.55 * stance, stance, stance + 0.25 * (1 - stance), 0.9, 1.0]
    values = [-0.1, 0.0, 0.0, 0.75, 1.1, 0.0, -0.1] if running else [-0.3, 0.0, 0.0, 0.6, 0.65, -0.2, -0.3]
    return np.asarray(np.interp(part, times, values))


def _hips(body: Body, ankles: dict[Side, Vectors], cycle: dict[Side, Float[np.ndarray, " t"]], gait: Gait) -> Vectors:
    """Return the pelvis over the feet: as high as the legs reach, and swaying to the foot that stands."""
    length = leg_length(body)
    rise = float(body.pivot("pelvis")[2] - body.pivot("left_thigh")[2])
    ankle = float(body.pivot("left_foot")[2])
    height = np.full(len(cycle["left"]), ankle + (0.995 - gait.crouch) * length)
    walking = gait.stance > 0.5
    for side in SIDES:
        stands = cycle[side] % 1 < gait.stance
        flat = np.linalg.norm(ankles[side][:, :2] - (0, SIGN[side] * abs(body.pivot("left_thigh")[1])), axis=1)
        highest = ankles[side][:, 2] + np.sqrt(np.maximum((0.99 * length) ** 2 - flat**2, (0.5 * length) ** 2))
        height = np.where(stands & walking, np.minimum(height, highest), height)
    if not walking:
        height = height + 0.035 * length * np.cos(4 * np.pi * (cycle["left"] - gait.stance / 2 - 0.25))
    padded = np.pad(height, 1, mode="edge")
    height = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    sway = 0.12 * gait.width * np.cos(2 * np.pi * (cycle["left"] - gait.stance / 2))
    return np.stack([np.zeros_like(height), sway, height + rise], axis=1)


def walk(body: Body, path: GroundPath, gait: Gait) -> tuple[Posture, Vectors]:
    """Return the posture of somebody who walks or runs along a path, arms swinging, and the place of the pelvis."""
    ground = footing(body, path, gait)
    left = 2 * np.pi * (ground.cycle["left"] - 0.04)
    running = gait.stance < 0.5
    twist = gait.twist * np.cos(left)
    pelvis = about("z", -twist) @ about("y", 0.4 * gait.lean) @ about("x", 0.04 * np.cos(left - 1.2))
    spine = about("y", 0.4 * gait.lean) @ about("z", twist)
    chest = about("z", 1.2 * twist) @ about("y", 0.2 * gait.lean)
    head = about("z", -1.2 * twist) @ about("y", np.full(len(left), -0.8 * gait.lean))
    arms = {}
    for side in SIDES:
        swing = -np.cos(left) * SIGN[side] * (0.75 if running else 0.4 + 1.5 * abs(gait.twist))
        swing = swing + (0.06 if not running else -0.2)
        out = SIGN[side] * (0.22 if running else 0.16)
        direction = np.stack([np.sin(swing), np.full_like(swing, out), -np.cos(swing)], axis=1)
        bend = 1.5 + 0.3 * swing if running else 0.25 + 0.3 * np.maximum(swing, 0)
        towards = np.array([[1.0, -0.35 * SIGN[side] if running else 0.0, 0.2]])
        arms[side] = Limb(direction, np.broadcast_to(towards, direction.shape), bend)
    inward = pelvis.swapaxes(1, 2)
    feet = {side: inward @ ground.feet[side] for side in SIDES}
    legs = stand_on(body, ground.hips, pelvis, ground.ankles)
    return Posture(pelvis, spine, chest, head, arms, legs, feet), ground.hips


def walking(body: Body, speed: float, rng: np.random.Generator, phase: float) -> Gait:
    """Sample how somebody walks at a speed in metres per second, with the strides made before frame 0."""
    leg = leg_length(body)
    relative = max(speed, 0.3) / np.sqrt(9.81 * leg)
    stride = leg * float(np.clip(2.45 * relative**0.5, 0.6, 2.0)) * rng.uniform(0.92, 1.08)
    hip = 2 * abs(float(body.pivot("left_thigh")[1]))
    return Gait(
        stride=stride,
        stance=rng.uniform(0.58, 0.64),
        phase=phase,
        width=hip * rng.uniform(0.55, 1.0),
        lift=leg * rng.uniform(0.06, 0.12),
        crouch=rng.uniform(0.0, 0.03),
        lean=rng.uniform(-0.02, 0.14),
        twist=rng.uniform(0.03, 0.14),
    )


def running(body: Body, speed: float, rng: np.random.Generator, phase: float) -> Gait:
    """Sample how somebody runs at a speed in metres per second, with the strides made before frame 0."""
    leg = leg_length(body)
    relative = max(speed, 1.0) / np.sqrt(9.81 * leg)
    stance = float(np.clip(0.48 - 0.12 * relative, 0.26, 0.42))
    stride = leg * float(np.clip(2.6 * relative**0.8 + 0.4, 1.2, 1.1 / stance)) * rng.uniform(0.95, 1.05)
    hip = 2 * abs(float(body.pivot("left_thigh")[1]))
    return Gait(
        stride=stride,
        stance=stance,
        phase=phase,
        width=hip * rng.uniform(0.3, 0.7),
        lift=leg * rng.uniform(0.22, 0.42),
        crouch=rng.uniform(0.05, 0.09),
        lean=rng.uniform(0.1, 0.32),
        twist=rng.uniform(0.1, 0.2),
    )
