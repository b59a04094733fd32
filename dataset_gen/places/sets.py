"""Scenes in the making: actors, props and scenery, and where there is room for more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.vehicle_kinds import VEHICLES
from dataset_gen.assets import Asset, Split
from dataset_gen.looks import sample_material
from dataset_gen.places.casting import Actor
from dataset_gen.places.crews import add_people
from dataset_gen.places.plots import Role
from dataset_gen.places.shots import Shot
from vidamodal.worlds.spec import CameraSpec, Mesh, ObjectSpec, Pose, Skin, Vector

METRES, TURNS = 3, 4
"""Decimal places of positions, and of quaternions and angles: enough for images, and small as text."""


@dataclass
class Place:
    """The objects of a scene so far."""

    split: Split
    shot: Shot
    layout: np.random.Generator
    look: np.random.Generator
    motion: np.random.Generator
    objects: list[ObjectSpec] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    blocked: list[tuple[Float[np.ndarray, " 2"], float]] = field(default_factory=list)
    """Places of things that stand, with their reach in metres."""
    meshes: dict[str, Mesh] = field(default_factory=dict)
    """Meshes of all assets by id."""

    def act(self, role: Role) -> None:
        """Add an actor that plays a role."""
        performance = role.actor.cast.perform(role.actor.asset.id, role.action, role.path, self.motion)
        self.roles.append(role)
        self._add(role.actor.asset, performance, scenery=False)
        if role.actor.asset.label in VEHICLES:
            add_people(self, role.actor, role.action, role.path, performance)

    def perform(self, actor: Actor, performance: Performance, path: GroundPath) -> None:
        """Add an actor with its poses, who belongs to another."""
        self.roles.append(Role(actor, "", path))
        self._add(actor.asset, performance, scenery=False)

    def put(self, asset: Asset, place: Vector, heading: float, scenery: bool, scale: Vector = (1.0, 1.0, 1.0)) -> None:
        """Add a thing that stands still."""
        self._add(asset, Performance((turned(place, heading),)), scenery, scale)
        if not (scenery and asset.id.startswith("backdrop/")):
            reach = float(np.hypot(*np.ptp(asset.mesh.vertices[:, :2], axis=0))) / 2
            self.blocked.append((np.array(place[:2]), reach))

    def move(self, asset: Asset, poses: tuple[Pose, ...], scenery: bool = False) -> None:
        """Add a rigid thing with its pose in every frame."""
        self._add(asset, Performance(poses), scenery)

    def is_free(self, place: Float[np.ndarray, " 2"], radius: float, among_props: bool = True) -> bool:
        """Return True if no actor comes within a radius of a place, and nothing stands there."""
        if any(distance_to(role, place) < radius + role.actor.half_width for role in self.roles):
            return False
        return not among_props or all(np.linalg.norm(place - at) > 0.7 * (radius + reach) for at, reach in self.blocked)

    def _add(self, asset: Asset, performance: Performance, scenery: bool, scale: Vector = (1.0, 1.0, 1.0)) -> None:
        number = len(self.objects) + 1
        small = compact(performance)
        self.meshes[asset.id] = asset.mesh
        self.objects.append(
            ObjectSpec(
                number, asset.id, asset.label, asset.licence, scale, 1.0, sample_material(self.look), small.poses,
                deformation=small.deformation, scenery=scenery,
            )
        )  # fmt: skip


def distance_to(role: Role, place: Float[np.ndarray, " 2"]) -> float:
    """Return how near the middle line of an actor ever comes to a place, in metres."""
    half = max(float(role.actor.extent[0]) / 2 - role.actor.half_width, 0.0)
    ahead = np.stack([np.cos(role.path.headings), np.sin(role.path.headings)], axis=1)
    apart = place - role.path.positions
    along = np.clip((apart * ahead).sum(axis=1), -half, half)
    return float(np.linalg.norm(apart - along[:, None] * ahead, axis=1).min())


def collide(one: Role, other: Role) -> bool:
    """Return True if two actors are in the same place at some moment; people may walk shoulder to shoulder."""
    small = max(*one.actor.extent[:2], *other.actor.extent[:2]) < 1.3
    apart = one.path.positions - other.path.positions
    if small:
        wide = (min(one.actor.extent[:2]) + min(other.actor.extent[:2])) / 2
        return bool((np.linalg.norm(apart, axis=1) < min(0.32, 0.6 * wide)).any())
    return bool((np.abs(apart) < _footprint(one) + _footprint(other)).all(axis=1).any())


def _footprint(role: Role) -> Float[np.ndarray, "t 2"]:
    """Return half the extent of an actor along x and y in each frame in metres."""
    cos, sin = np.abs(np.cos(role.path.headings)), np.abs(np.sin(role.path.headings))
    length, width = role.actor.extent[0] / 2 + 0.05, role.actor.half_width
    return np.stack([cos * length + sin * width, sin * length + cos * width], axis=1)


def compact(performance: Performance) -> Performance:
    """Round a performance to millimetres and a tenth of a milliradian; a thing that stands still gets one pose."""
    poses = tuple(_rounded_pose(pose) for pose in performance.poses)
    if len(set(poses)) == 1 and performance.deformation is None:
        poses = poses[:1]
    deformation = performance.deformation
    if deformation is not None and deformation.skin is not None:
        turns = np.round(np.array(deformation.skin.rotations), METRES) + 0.0
        skin = Skin(tuple(tuple(map(tuple, frame)) for frame in turns.tolist()))
        deformation = replace(deformation, skin=skin)
    return Performance(poses, deformation)


def turned(place: Vector, heading: float) -> Pose:
    """Return the pose of a thing that stands upright and faces a heading in radians."""
    return Pose(place, (float(np.cos(heading / 2)), 0.0, 0.0, float(np.sin(heading / 2))))


def _rounded_pose(pose: Pose) -> Pose:
    x, y, z = (round(float(value), METRES) for value in pose.position)
    a, b, c, d = (round(float(value), TURNS) for value in pose.quaternion)
    return Pose((x, y, z), (a, b, c, d))


def clear_of_camera(camera: CameraSpec, place: Float[np.ndarray, " 2"], radius: float) -> bool:
    """Return True if a camera never comes nearer to a place than a radius in metres."""
    ground = np.array(camera.positions)[:, :2]
    return bool(np.linalg.norm(ground - place, axis=1).min() > radius)
