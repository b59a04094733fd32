"""Physics of a scene with Kubric's PyBullet simulator: a heap falls and comes to rest, other objects are thrown in.

Importing this module is cheap, since it needs no Blender. PyBullet's solver is deterministic: the same spec settles to
the same poses. This module steps the solver itself: ``PyBullet.run`` spends half of its time on collision lists and
keyframes that are not needed. PyBullet cannot scale a URDF's mesh per axis, so the parts are written at their size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset_gen.assets import Asset
from dataset_gen.kubric_compat import kubric_imports
from dataset_gen.library import OFFLINE, Library
from dataset_gen.meshes import dump_obj
from dataset_gen.rounding import DECIMALS
from vidamodal.worlds.spec import Mesh, ObjectSpec, Pose, SceneSpec, Vector, place

with kubric_imports():
    import kubric as kb
    from kubric.simulator.pybullet import PyBullet, pb

STEP_RATE = 240
"""Simulation steps per second."""

SETTLING_STEPS = 5 * STEP_RATE
"""Steps in which the heap falls and comes to rest."""

RESTITUTION = 0.4
"""Restitution of objects in scenes with thrown objects."""

MOTION_TOLERANCE = 2e-3
"""An object whose pose changes by less (metres, quaternion components) during the clip counts as still."""

ARENA_HALF_WIDTH = 2.3
"""Distance in metres of invisible walls from the centre. They keep objects from rolling away while the heap settles."""

MIN_HEIGHT = -0.05
"""An object whose lowest point is below this height (metres) was pushed into the floor and is removed."""

_URDF = """<robot name="{name}"><link name="base">
<contact><lateral_friction value="0.8"/><rolling_friction value="0.01"/><spinning_friction value="0.01"/></contact>
<inertial><origin xyz="0 0 0"/><mass value="{mass}"/>
<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
<collision><geometry><mesh filename="{name}.obj"/></geometry></collision>
</link></robot>
"""


def settle(spec: SceneSpec, library: Library = OFFLINE) -> SceneSpec:
    """Simulate a scene and return it with its objects at rest, or with a pose per frame, and with ids 1 to n.

    Thrown objects enter when the heap is at rest; in scenes with them, every moving object has a pose per frame.
    Creatures keep their poses. A scene takes a third of a second.

    Args:
        spec: The unsettled scene.
        library: Source of the shapes.
    """
    shapes = {item.asset: library.asset(item.asset) for item in spec.objects}
    heap = [item for item in spec.objects if item.throw is None and item.deformation is None]
    thrown = [item for item in spec.objects if item.throw is not None]
    with tempfile.TemporaryDirectory() as folder:
        simulation = _Simulation(shapes, Path(folder))
        indices = simulation.add(heap)
        if thrown:
            simulation.set_dynamics(heap, indices)
        simulation.step(SETTLING_STEPS if heap else 0)
        if thrown:
            simulation.remove_walls()
            thrown_indices = simulation.add(thrown)
            simulation.set_dynamics(thrown, thrown_indices)
            moved = simulation.play(heap + thrown, indices + thrown_indices, spec)
        else:
            moved = [replace(item, poses=(simulation.pose(index),)) for item, index in zip(heap, indices, strict=True)]
    settled = {item.id: item for item in moved if _lowest(item, shapes) > MIN_HEIGHT}
    kept = [settled.get(item.id, item) for item in spec.objects if item.id in settled or item.deformation]
    return replace(spec, objects=tuple(replace(item, id=k + 1) for k, item in enumerate(kept)))


class _Simulation:
    """Kubric's scene and simulator with the arena."""

    def __init__(self, shapes: Mapping[str, Asset], folder: Path) -> None:
        self.shapes, self.folder = shapes, folder
        self.scene = kb.Scene()
        self.simulator = PyBullet(self.scene, str(folder))
        self.client = {"physicsClientId": self.simulator.physics_client}
        self.arena = _arena()
        self.scene += self.arena

    def add(self, items: Sequence[ObjectSpec]) -> list[int]:
        """Add objects and return their indices in PyBullet."""
        bodies = [_body(item, self.shapes[item.asset], self.folder) for item in items]
        self.scene += bodies
        return [body.linked_objects[self.simulator] for body in bodies]

    def remove_walls(self) -> None:
        for wall in self.arena[1:]:
            pb.removeBody(wall.linked_objects[self.simulator], **self.client)

    def set_dynamics(self, items: Sequence[ObjectSpec], indices: Sequence[int]) -> None:
        """Set realistic inertia, restitution and velocities: Kubric's inertia of 1 kg m^2 is far too large."""
        for item, index in zip(items, indices, strict=True):
            extent = np.ptp(self.shapes[item.asset].mesh.vertices, axis=0) * item.scale
            inertia = item.mass / 12 * (np.sum(extent**2) - extent**2)
            dynamics = {"mass": item.mass, "localInertiaDiagonal": inertia.tolist(), "restitution": RESTITUTION}
            pb.changeDynamics(index, -1, **dynamics, **self.client)  # without the mass, PyBullet would fix the object
            if item.throw is not None:
                pb.resetBaseVelocity(index, item.throw.velocity, item.throw.spin, **self.client)

    def step(self, steps: int) -> None:
        for _ in range(steps):
            pb.stepSimulation(**self.client)

    def play(self, items: Sequence[ObjectSpec], indices: Sequence[int], spec: SceneSpec) -> list[ObjectSpec]:
        """Simulate the clip and return the objects with their pose in every frame."""
        paths: list[list[Pose]] = [[] for _ in items]
        for _ in range(spec.frames):
            for poses, index in zip(paths, indices, strict=True):
                poses.append(self.pose(index))
            self.step(round(STEP_RATE / spec.fps))
        return [replace(item, poses=_merge_if_still(poses)) for item, poses in zip(items, paths, strict=True)]

    def pose(self, index: int) -> Pose:
        """Return the present pose of an object."""
        position, rotation = self.simulator.get_position_and_rotation(index)
        x, y, z = np.round(position, DECIMALS).tolist()
        a, b, c, d = np.round(np.array(rotation) / np.linalg.norm(rotation), DECIMALS).tolist()
        return Pose((x, y, z), (a, b, c, d))


def _merge_if_still(poses: Sequence[Pose]) -> tuple[Pose, ...]:
    """Return a single pose for an object that did not move, so that it is placed only once."""
    first = np.array([*poses[0].position, *poses[0].quaternion])
    moved = max(np.abs(np.array([*pose.position, *pose.quaternion]) - first).max() for pose in poses)
    return tuple(poses) if moved > MOTION_TOLERANCE else (poses[0],)


def _arena() -> list[kb.Cube]:
    """Return a thick floor with its top at z = 0, and four walls."""
    half = ARENA_HALF_WIDTH
    walls = [((side * (half + 1.0), 0.0, 5.0), (1.0, half + 2.0, 5.0)) for side in (-1, 1)]
    walls += [((y, x, z), (b, a, c)) for (x, y, z), (a, b, c) in walls]
    floor = ((0.0, 0.0, -1.0), (half + 2.0, half + 2.0, 1.0))
    return [kb.Cube(position=position, scale=scale, static=True) for position, scale in (floor, *walls)]


def _body(item: ObjectSpec, shape: Asset, folder: Path) -> kb.FileBasedObject:
    name = str(item.id)
    urdf = folder / f"{name}.urdf"
    urdf.write_text(_URDF.format(name=name, mass=item.mass), "ascii")
    (folder / f"{name}.obj").write_text(_collision_obj(shape, item.scale), "ascii")
    pose = item.poses[0]
    return kb.FileBasedObject(
        asset_id=name,
        simulation_filename=str(urdf),
        position=pose.position,
        quaternion=pose.quaternion,
        mass=item.mass,
    )


def _collision_obj(shape: Asset, scale: Vector) -> str:
    """Return the scaled convex parts, one OBJ group each: PyBullet takes the hull of every group."""
    return dump_obj({f"part_{k}": Mesh(p.vertices * np.array(scale), p.faces) for k, p in enumerate(shape.parts)})


def _lowest(item: ObjectSpec, shapes: Mapping[str, Asset]) -> float:
    """Return the lowest height that an object reaches, in metres."""
    return float(min(place(shapes[item.asset].mesh, item.scale, pose)[:, 2].min() for pose in item.poses))
