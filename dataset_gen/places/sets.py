"""Scenes in the making: actors, props and scenery, and where there is room for more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.performances import Performance
from dataset_gen.assets import Asset, Split
from dataset_gen.looks import sample_material
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
        for role in self.roles:
            nearest = np.linalg.norm(role.path.positions - place, axis=1).min()
            if nearest < radius + min(role.actor.reach, max(0.3, role.actor.extent[1] / 2 + 0.1)):
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
