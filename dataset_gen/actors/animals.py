"""Animals that walk, trot, gallop, hop, fly, graze, sit and lie: shapes by id, and their motion along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.anatomy import Body, Part, build_body
from dataset_gen.actors.animal_gaits import (
    GAITS,
    GRAVITY,
    Angles,
    BodyMotion,
    body_motion,
    footfall,
    leg_angles,
    stride_length,
    turned,
)
from dataset_gen.actors.animal_kinds import ANIMALS
from dataset_gen.actors.animal_postures import Posture, posture
from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.proportions import Habits
from dataset_gen.assets import Asset, Split
from dataset_gen.families import LICENCE, SOURCE, family_ids, require_kind, seeded
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, Hinge, Mesh, Pose, Vector, deform

_PITCH: Vector = (0.0, -1.0, 0.0)
_YAW: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Animal:
    """An animal: its asset, its body and what its kind does."""

    asset: Asset
    body: Body
    habits: Habits

    @property
    def hip(self) -> float:
        """Height of the hips in metres."""
        return self.body.anatomy.hind.joints[0][1]


@cache
def load_animal(asset_id: str) -> Animal:
    """Return the animal with an id. Raises InputError if it is in no split."""
    kind = require_kind(asset_id, ANIMALS)
    maker, habits = ANIMALS[kind]
    body = build_body(maker(seeded(asset_id)))
    floor = min(float(part.vertices[:, 2].min()) for part in body.parts)
    parts = tuple(
        Mesh(np.round(part.vertices - (0, 0, floor), DECIMALS).astype(np.float32), part.faces) for part in body.parts
    )
    return Animal(Asset(asset_id, kind, parts, LICENCE, SOURCE), body, habits)


class Animals:
    """The cast of animals (`Cast`)."""

    def ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split."""
        return [name for names in family_ids(ANIMALS, split).values() for name in names]

    def load(self, asset_id: str) -> Asset:
        """Return the asset with an id. Raises InputError if it is in no split."""
        return load_animal(asset_id).asset

    def actions(self, asset_id: str) -> Mapping[str, tuple[float, float]]:
        """Return what an animal can do, each with its lowest and highest speed in metres per second."""
        animal = load_animal(asset_id)
        speeds = dict.fromkeys(animal.habits.postures, (0.0, 0.0))
        for name in animal.habits.gaits:
            low, high = GAITS[name].froude
            top = animal.habits.top_speed
            speeds[name] = (
                min(float(np.sqrt(low * GRAVITY * animal.hip)), 0.8 * top),
                min(float(np.sqrt(high * GRAVITY * animal.hip)), top),
            )
        if animal.body.anatomy.wing:
            speeds["fly"] = (5.0, animal.habits.top_speed)
        return speeds

    def perform(self, asset_id: str, action: str, path: GroundPath, rng: np.random.Generator) -> Performance:
        """Return how an animal moves along a path; its lowest foot is on the floor unless it leaps or flies.

        Raises:
            InputError: The id is in no split, or the animal does not do this.
        """
        animal = load_animal(asset_id)
        if action not in self.actions(asset_id):
            raise InputError(
                f"{asset_id}: a {animal.asset.label} does not {action!r}. "
                f"Use one of {', '.join(self.actions(asset_id))}."
            )
        if action == "fly":
            return _fly(animal, path, rng)
        if action in GAITS:
            hinges, height, air = _travel(animal, action, path, rng)
        else:
            hinges, height, air = _stay(animal, action, path, rng)
        deformation = Deformation(hinges=tuple(hinges))
        return Performance(_poses(animal, deformation, path, height, air), deformation)


def _travel(
    animal: Animal, action: str, path: GroundPath, rng: np.random.Generator
) -> tuple[list[Hinge], Angles, Angles]:
    """Return hinges, height of the body, and 1 where it flies, for a gait."""
    gait, travelled = GAITS[action], path.travelled
    seconds = max(len(travelled) - 1, 1) / path.fps
    speed = float(travelled[-1] / seconds)
    stride = stride_length(speed, animal.hip)
    phase = rng.random() + travelled / stride
    motion = body_motion(gait, phase, stride, speed, animal.hip)
    airborne = motion.height > 0
    hinges = _leg_hinges(animal, motion)
    hinges += _tail_and_neck(animal, phase, len(travelled) / path.fps, rng, np.zeros_like(phase), 0.02 + gait.rock)
    standing = np.max([foot.stands for foot in motion.feet.values()], axis=0)
    return _with_body(animal, hinges, motion), motion.height, np.where(airborne | (standing == 0), 1.0, 0.0)


def _stay(
    animal: Animal, action: str, path: GroundPath, rng: np.random.Generator
) -> tuple[list[Hinge], Angles, Angles]:
    """Return hinges, height of the body, and zeros, for an animal that stays in its place."""
    frames = len(path.headings)
    seconds = frames / path.fps
    change = _change(frames, path.fps, rng)
    pose = posture(animal.body, action)
    motion = BodyMotion(pose.height * change, pose.pitch * change, np.zeros_like(change))
    hinges = _leg_hinges(animal, motion, pose, change)
    breath = rng.random() + np.arange(frames) / path.fps * rng.uniform(0.3, 0.6)
    hinges += _tail_and_neck(animal, breath, seconds, rng, pose.neck * change, 0.03, head=pose.head * change)
    return _with_body(animal, hinges, motion), motion.height, np.zeros(frames)


def _change(frames: int, fps: float, rng: np.random.Generator) -> Angles:
    """Return how far an animal has assumed a posture in each frame: all the time, or it begins or ends it."""
    if rng.random() < 0.6:
        return np.ones(frames)
    time = np.arange(frames) / fps
    start = rng.uniform(-0.5, max(time[-1] - 0.5, 0.0))
    along = np.clip((time - start) / rng.uniform(0.8, 1.6), 0, 1)
    eased = along * along * (3 - 2 * along)
    return np.asarray(eased if rng.random() < 0.5 else 1 - eased)


def _leg_hinges(
    animal: Animal, motion: BodyMotion, pose: Posture | None = None, change: Angles | None = None
) -> list[Hinge]:
    """Return the hinges of all legs, below the body's own turn and the bend of its back."""
    body, hinges = animal.body, []
    spine, centre = spine_pivot(body), body_pivot(body)
    for name, leg in body.legs.items():
        foot = motion.feet.get(name)
        points = np.array(leg.joints)
        x, z = points[3, 0] + np.zeros_like(motion.height), points[3, 1] + np.zeros_like(motion.height)
        cannon = np.arctan2(*(points[3] - points[2])[::-1]) + np.zeros_like(x)
        level = np.zeros_like(x)
        if foot is not None:
            leaning = np.arctan2(foot.x, points[0, 1])
            x, z = x + foot.x, z + foot.z + np.maximum(motion.height, 0) * (1 - foot.stands)
            cannon, level = cannon + 0.8 * leaning + foot.fold, foot.droop
            if name.startswith("fore") and not foot.stands.any() and not foot.x.any():
                z = z + 0.25 * points[0, 1]  # a foreleg that the gait does not use
        if pose is not None and change is not None:
            aim = pose.feet.get(name[:4])
            if aim is not None:
                x, z = x + (aim.x - x) * change, z + (aim.z - z) * change
                cannon, level = cannon + _short_way(aim.cannon - cannon) * change, level + aim.foot * change
        x, z = turned(x, z - motion.height, -motion.pitch, centre)
        bend = motion.pitch
        if name.startswith("hind"):
            x, z = turned(x, z, -motion.arch, spine)
            bend = bend + motion.arch
        angles = leg_angles(leg, x, z, cannon - bend, level - bend)
        links = ("thigh", "shin", "cannon", "foot")
        for link, joint, angle in reversed(list(zip(links, leg.joints, angles, strict=True))):
            hinges.append(hinge(body.ranges[f"{name}.{link}"], joint, _PITCH, angle))
    return hinges


def _short_way(angle: Angles) -> Angles:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _tail_and_neck(
    animal: Animal,
    phase: Angles,
    seconds: float,
    rng: np.random.Generator,
    bow: Angles,
    nod: float,
    head: Angles | float = 0.0,
) -> list[Hinge]:
    """Return hinges of tail, trunk and neck: they sway with the stride, and the head looks about."""
    body, habits = animal.body, animal.habits
    time = np.linspace(0, seconds, len(phase))
    hinges = []
    wag, raise_ = rng.uniform(*habits.wag), rng.uniform(*habits.tail)
    pace = rng.uniform(0.6, 1.4) if wag < 0.4 else rng.uniform(1.5, 3.0)
    for k in reversed(range(max(len(body.anatomy.tail) - 1, 0))):
        joint, limb = body.anatomy.tail[k][:2], body.ranges[f"tail{k}"]
        sway = wag * np.sin(2 * np.pi * (pace * time - 0.15 * k) + 1.0) * (1 + k) * 0.6
        hinges.append(hinge(limb, joint, _YAW, sway))
        hinges.append(hinge(limb, joint, _PITCH, -raise_ * (0.5 if k else 1.0) + 0.06 * np.sin(2 * np.pi * phase + k)))
    curl = rng.uniform(-0.15, 0.35)
    for k in reversed(range(max(len(body.anatomy.trunk) - 1, 0))):
        swing = curl * (k > 1) + 0.12 * np.sin(2 * np.pi * (0.4 * time - 0.12 * k) + curl * 9)
        hinges.append(hinge(body.ranges[f"trunk{k}"], body.anatomy.trunk[k][:2], _PITCH, swing))
    look = rng.uniform(0, 0.35) * smooth_noise(time, rng)
    lift = rng.uniform(*habits.neck)
    nodding = nod * np.sin(4 * np.pi * phase + 1.0)
    (low, middle, _), skull = body.anatomy.neck, body.anatomy.head[0]
    level = -0.7 * (bow + lift + nodding)
    hinges += [
        hinge(body.ranges["head"], skull[:2], _YAW, look),
        hinge(
            body.ranges["head"], skull[:2], _PITCH, head + level * (np.abs(bow) < 0.3) + 0.1 * smooth_noise(time, rng)
        ),
        hinge(body.ranges["neck1"], middle[:2], _PITCH, 0.15 * bow + 0.4 * lift),
        hinge(body.ranges["neck0"], low[:2], _YAW, 0.6 * look),
        hinge(body.ranges["neck0"], low[:2], _PITCH, 0.85 * bow + 0.6 * lift + nodding),
    ]
    return hinges


def smooth_noise(time: Angles, rng: np.random.Generator) -> Angles:
    """Return a slow wave of two incommensurate sines between -1 and 1."""
    first, second = rng.uniform(0.15, 0.6, 2)
    shifts = rng.uniform(0, 2 * np.pi, 2)
    return np.asarray(
        0.6 * np.sin(2 * np.pi * first * time + shifts[0]) + 0.4 * np.sin(2 * np.pi * second * 1.7 * time + shifts[1])
    )


def _with_body(animal: Animal, hinges: list[Hinge], motion: BodyMotion) -> list[Hinge]:
    """Add the bend of the back and the pitch of the whole body."""
    body = animal.body
    if motion.arch.any():
        hinges.append(hinge(body.ranges["rear"], spine_pivot(body), _PITCH, motion.arch))
    if motion.pitch.any():
        hinges.append(hinge(body.ranges["all"], body_pivot(body), _PITCH, motion.pitch))
    return hinges


def spine_pivot(body: Body) -> tuple[float, float]:
    """Return x and z of the point about which the back bends."""
    return body.anatomy.torso[len(body.anatomy.torso) // 2][:2]


def body_pivot(body: Body) -> tuple[float, float]:
    """Return x and z of the point about which the whole body pitches: above the origin."""
    return 0.0, spine_pivot(body)[1]


def hinge(limb: Part, joint: tuple[float, float], axis: Vector, angles: Angles) -> Hinge:
    """Return a hinge in the plane of symmetry; its axis may be that of a limb beside it."""
    rounded = tuple(np.round(angles, DECIMALS).tolist())
    return Hinge(*limb, round_vector(np.array((joint[0], 0.0, joint[1]))), axis, rounded)


def _poses(animal: Animal, deformation: Deformation, path: GroundPath, height: Angles, air: Angles) -> tuple[Pose, ...]:
    """Return poses in which the lowest point is on the floor, or not below it in the air."""
    vertices = animal.asset.mesh.vertices
    poses = []
    for t, heading in enumerate(path.headings):
        lowest = deform(vertices, deformation, t)[:, 2].min() + height[t]
        lift = height[t] - (min(lowest, 0.0) if air[t] else lowest)
        poses.append(pose_at((*path.positions[t], lift), float(heading)))
    return tuple(poses)


def pose_at(position: Sequence[float] | Float[np.ndarray, " 3"], heading: float, roll: float = 0.0) -> Pose:
    """Return the pose of a thing with a heading that leans to the right by ``roll`` (radians)."""
    a, b = heading / 2, roll / 2
    turn = (np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a) * np.sin(b), np.sin(a) * np.cos(b))
    w, x, y, z = np.round(turn, DECIMALS).tolist()
    return Pose(round_vector(np.asarray(position)), (w, x, y, z))


def _fly(animal: Animal, path: GroundPath, rng: np.random.Generator) -> Performance:
    """Return a flight with beating or gliding wings at a height of a few metres."""
    body = animal.body
    time = np.arange(len(path.headings)) / path.fps
    beat, rate, glide = rng.uniform(0.5, 0.9), rng.uniform(2.0, 3.5), rng.random() < 0.25
    beat, wave = (0.08 if glide else beat), 2 * np.pi * rate * (0.2 if glide else 1.0) * time + rng.uniform(0, 6)
    hinges = []
    x, z, high, wide = body.anatomy.torso[2 * len(body.anatomy.torso) // 3]
    length = (body.anatomy.wing or (0.0, 0.0))[0]
    for side, sign in enumerate((1, -1)):
        axis = (float(sign), 0.0, 0.0)
        for part, y, angle in (
            ("hand", wide * 0.5 + length, 0.7 * beat * np.sin(wave - 0.9) - 0.1),
            ("arm", wide * 0.5, beat * np.sin(wave) + 0.15),
        ):
            pivot = round_vector(np.array((x, sign * y, z + high * 0.5)))
            rounded = tuple(np.round(angle, DECIMALS).tolist())
            hinges.append(Hinge(*body.ranges[f"wing{side}.{part}"], pivot, axis, rounded))
    for name, leg in body.legs.items():
        tuck = footfall(GAITS["strut"], "", time, 1.0, 1.0).x - 1.3
        hinges.append(hinge(body.ranges[f"{name}.shin"], leg.joints[1], _PITCH, tuck))
    hinges += _tail_and_neck(animal, time, float(time[-1]), rng, np.full_like(time, -0.5), 0.0, head=0.4)
    altitude, climb = rng.uniform(0.6, 4.0), rng.uniform(-0.4, 0.4)
    heights = np.maximum(altitude + climb * time - 0.02 * np.sin(wave), 0.3)
    turns = np.gradient(np.unwrap(path.headings)) * path.fps if len(time) > 1 else np.zeros_like(time)
    poses = tuple(
        pose_at((*path.positions[t], heights[t]), float(path.headings[t]), float(np.clip(-turns[t] * 0.5, -0.6, 0.6)))
        for t in range(len(time))
    )
    return Performance(poses, Deformation(hinges=tuple(hinges)))
