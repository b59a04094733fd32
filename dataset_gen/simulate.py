"""Letting a scene's objects fall until they lie still, and throwing others in: Kubric's PyBullet simulator.

Its import is cheap (no Blender). The steps are taken here, not by ``PyBullet.run``, which spends half of the time on
listing collisions and on keyframes that nobody reads. PyBullet cannot stretch a URDF's mesh unevenly, so each object's
convex parts are written out at their size. PyBullet's solver is deterministic: the same spec settles to the same poses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset_gen.assets import Asset, dump_obj
from dataset_gen.kubric_compat import kubric_imports
from dataset_gen.library import OFFLINE, Library
from dataset_gen.rounding import DECIMALS
from vidamodal.worlds.spec import Mesh, ObjectSpec, Pose, SceneSpec, Vector, place

with kubric_imports():
    import kubric as kb
    from kubric.simulator.pybullet import PyBullet, pb

STEP_RATE = 240
"""Steps a second."""

STEPS = 5 * STEP_RATE
"""Steps that the objects have to fall and come to rest."""

BOUNCE = 0.4
"""Restitution where objects are thrown."""

STILL = 2e-3
"""An object that moves or turns by less (metres, quaternion) through a clip stands still."""

ARENA = 2.3
"""Unseen walls stand this far (metres) from the middle while the objects settle, so that none rolls away."""

SUNK = -0.05
"""An object whose lowest point lies deeper than this (metres) was pushed into the floor and is left out."""

_URDF = """<robot name="{name}"><link name="base">
<contact><lateral_friction value="0.8"/><rolling_friction value="0.01"/><spinning_friction value="0.01"/></contact>
<inertial><origin xyz="0 0 0"/><mass value="{mass}"/>
<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
<collision><geometry><mesh filename="{name}.obj"/></geometry></collision>
</link></robot>
"""


def settle(spec: SceneSpec, library: Library = OFFLINE) -> SceneSpec:
    """The scene with its objects where they come to rest and go, numbered 1..n; a third of a second of computing.

    What is thrown comes in when the heap lies still, and from then on every object that moves has a pose a frame.
    Creatures keep the poses that they have.
    """
    shapes = {thing.asset: library.asset(thing.asset) for thing in spec.objects}
    heap = [thing for thing in spec.objects if thing.throw is None and thing.deformation is None]
    thrown = [thing for thing in spec.objects if thing.throw is not None]
    with tempfile.TemporaryDirectory() as folder:
        scene = kb.Scene()
        simulator = PyBullet(scene, folder)
        arena = _arena()
        scene += arena
        indices = _add(scene, simulator, heap, shapes, Path(folder))
        if thrown:
            _free(simulator, heap, indices, shapes)
        for _ in range(STEPS if heap else 0):
            pb.stepSimulation(physicsClientId=simulator.physics_client)
        if thrown:
            for wall in arena[1:]:
                pb.removeBody(wall.linked_objects[simulator], physicsClientId=simulator.physics_client)
            flying = _add(scene, simulator, thrown, shapes, Path(folder))
            _free(simulator, thrown, flying, shapes)
            moved = _play(simulator, heap + thrown, indices + flying, spec)
        else:
            moved = [_at_rest(thing, simulator, index) for thing, index in zip(heap, indices, strict=True)]
    settled = {thing.id: thing for thing in moved if _lowest(thing, shapes) > SUNK}
    kept = [settled.get(thing.id, thing) for thing in spec.objects if thing.id in settled or thing.deformation]
    return replace(spec, objects=tuple(replace(thing, id=k + 1) for k, thing in enumerate(kept)))


def _add(
    scene: kb.Scene, simulator: PyBullet, things: Sequence[ObjectSpec], shapes: Mapping[str, Asset], folder: Path
) -> list[int]:
    bodies = [_body(thing, shapes[thing.asset], folder) for thing in things]
    scene += bodies
    return [body.linked_objects[simulator] for body in bodies]


def _free(
    simulator: PyBullet, things: Sequence[ObjectSpec], indices: Sequence[int], shapes: Mapping[str, Asset]
) -> None:
    """Let objects tumble, roll and bounce: Kubric's inertia of 1 kg m^2 is that of something far larger."""
    for thing, index in zip(things, indices, strict=True):
        extent = np.ptp(shapes[thing.asset].mesh.vertices, axis=0) * thing.scale
        inertia = thing.mass / 12 * (np.sum(extent**2) - extent**2)
        client = {"physicsClientId": simulator.physics_client}
        pb.changeDynamics(  # without the mass it would take the object for a fixed one
            index, -1, mass=thing.mass, localInertiaDiagonal=inertia.tolist(), restitution=BOUNCE, **client
        )
        if thing.throw is not None:
            pb.resetBaseVelocity(index, thing.throw.velocity, thing.throw.spin, **client)


def _play(
    simulator: PyBullet, things: Sequence[ObjectSpec], indices: Sequence[int], spec: SceneSpec
) -> list[ObjectSpec]:
    """The objects with their poses in every frame of the clip."""
    steps = round(STEP_RATE / spec.fps)
    seen: list[list[Pose]] = [[] for _ in things]
    for _ in range(spec.frames):
        for poses, thing, index in zip(seen, things, indices, strict=True):
            poses += _at_rest(thing, simulator, index).poses
        for _ in range(steps):
            pb.stepSimulation(physicsClientId=simulator.physics_client)
    return [replace(thing, poses=_still(poses)) for thing, poses in zip(things, seen, strict=True)]


def _still(poses: Sequence[Pose]) -> tuple[Pose, ...]:
    """One pose for an object that nothing touched, so that it need not be placed anew in every frame."""
    first = np.array([*poses[0].position, *poses[0].quaternion])
    moved = max(np.abs(np.array([*pose.position, *pose.quaternion]) - first).max() for pose in poses)
    return tuple(poses) if moved > STILL else (poses[0],)


def _arena() -> list[kb.Cube]:
    """A thick floor with its top at z = 0, and four walls."""
    walls = [((side * (ARENA + 1.0), 0.0, 5.0), (1.0, ARENA + 2.0, 5.0)) for side in (-1, 1)]
    walls += [((y, x, z), (b, a, c)) for (x, y, z), (a, b, c) in walls]
    floor = ((0.0, 0.0, -1.0), (ARENA + 2.0, ARENA + 2.0, 1.0))
    return [kb.Cube(position=position, scale=scale, static=True) for position, scale in (floor, *walls)]


def _body(thing: ObjectSpec, shape: Asset, folder: Path) -> kb.FileBasedObject:
    name = str(thing.id)
    urdf = folder / f"{name}.urdf"
    urdf.write_text(_URDF.format(name=name, mass=thing.mass), "ascii")
    (folder / f"{name}.obj").write_text(_obj(shape, thing.scale), "ascii")
    pose = thing.poses[0]
    return kb.FileBasedObject(
        asset_id=name,
        simulation_filename=str(urdf),
        position=pose.position,
        quaternion=pose.quaternion,
        mass=thing.mass,
    )


def _obj(shape: Asset, scale: Vector) -> str:
    """The convex parts at their size, one OBJ group each: PyBullet takes the hull of every group."""
    return dump_obj({f"part_{k}": Mesh(p.vertices * np.array(scale), p.faces) for k, p in enumerate(shape.parts)})


def _at_rest(thing: ObjectSpec, simulator: PyBullet, index: int) -> ObjectSpec:
    position, rotation = simulator.get_position_and_rotation(index)
    x, y, z = np.round(position, DECIMALS).tolist()
    a, b, c, d = np.round(np.array(rotation) / np.linalg.norm(rotation), DECIMALS).tolist()
    return replace(thing, poses=(Pose((x, y, z), (a, b, c, d)),))


def _lowest(thing: ObjectSpec, shapes: Mapping[str, Asset]) -> float:
    return float(min(place(shapes[thing.asset].mesh, thing.scale, pose)[:, 2].min() for pose in thing.poses))
