"""People who ride or push a vehicle: a track of their own, tied to that of the vehicle."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.vehicle_frames import Mount
from dataset_gen.actors.vehicles import load_vehicle
from dataset_gen.assets import Asset, Split
from dataset_gen.places.casting import CASTS, PUSHED, Actor, actor
from dataset_gen.places.paths import beside, stand
from vidamodal.worlds.spec import Pose, rotation_matrix

PELVIS = 0.055
"""Height of a rider's pelvis above the saddle, as a share of the rider's height."""

LEAST_HEIGHT = 1.45
"""Height in metres of the smallest rider."""

_TRIES = 30


class Stage(Protocol):
    """What a rider needs of a scene."""

    split: Split
    motion: np.random.Generator

    def perform(self, actor: Actor, performance: Performance, path: GroundPath) -> None:
        """Add an actor with its poses."""
        ...


def add_people(scene: Stage, vehicle: Actor, action: str, path: GroundPath, performance: Performance) -> None:
    """Add whoever rides or pushes a vehicle that has just been added; nobody if it is parked or has a cabin."""
    mount = load_vehicle(vehicle.asset.id).frame.mount
    if action != "drive":
        return
    if vehicle.asset.label in PUSHED:
        _push(scene, vehicle, path)
    elif mount is not None:
        _ride(scene, mount, path, performance)


def _push(scene: Stage, vehicle: Actor, path: GroundPath) -> None:
    person, speed = _adult(scene), _speed(path)
    action, _ = person.choose(scene.motion, True, speed)
    behind = beside(path, -float(vehicle.extent[0]) / 2 - 0.32, 0.0)
    scene.perform(person, person.cast.perform(person.asset.id, action, behind, scene.motion), behind)


def _ride(scene: Stage, mount: Mount, path: GroundPath, performance: Performance) -> None:
    person = _adult(scene)
    pedals = mount.crank > 0 and "cycle" in person.actions
    still = stand(path.positions[0], 0.0, len(path.positions), path.fps)
    action = "stand" if mount.stands or "cycle" not in person.actions else "cycle"
    ridden = person.cast.perform(person.asset.id, action, path if pedals else still, scene.motion)
    lift = 0.0 if mount.stands else PELVIS * float(person.extent[2])
    seat = np.array(mount.seat) + (0.0, 0.0, lift)
    pivot = np.zeros(3) if mount.stands else _pelvis(person.asset)
    poses = tuple(_seated(pose, seat, pivot) for pose in performance.poses)
    if len(poses) == 1:
        poses = poses * len(path.positions)
    scene.perform(person, Performance(poses, ridden.deformation), path)


def _seated(vehicle: Pose, seat: Float[np.ndarray, " 3"], pivot: Float[np.ndarray, " 3"]) -> Pose:
    """Return the pose of a rider whose pivot is on the seat of a vehicle; the rider leans with it."""
    turn = rotation_matrix(vehicle.quaternion)
    x, y, z = (np.array(vehicle.position) + turn @ (seat - pivot)).tolist()
    return Pose((x, y, z), vehicle.quaternion)


def _pelvis(asset: Asset) -> Float[np.ndarray, " 3"]:
    """Return the root of a person's skeleton, which deformation leaves in its place."""
    skeleton = asset.mesh.skeleton
    assert skeleton is not None  # all people have one
    return np.asarray(skeleton.pivots[int(np.argmin(skeleton.parents))], dtype=np.float64)


def _adult(scene: Stage) -> Actor:
    person = actor(scene.motion, CASTS["person"], scene.split)
    for _ in range(_TRIES):
        if person.extent[2] >= LEAST_HEIGHT and "cycle" in person.actions:
            break
        person = actor(scene.motion, CASTS["person"], scene.split)
    return person


def _speed(path: GroundPath) -> float:
    return float(path.travelled[-1]) * path.fps / max(len(path.positions) - 1, 1)
