"""Letting a scene's objects fall until they lie still: Kubric's PyBullet simulator.

Its import is cheap (no Blender). The steps are taken here, not by ``PyBullet.run``, which spends half of the time on
listing collisions and on keyframes that nobody reads. PyBullet cannot stretch a URDF's mesh unevenly, so each object's
convex parts are written out at their size. PyBullet's solver is deterministic: the same spec settles to the same poses.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset_gen.assets import asset
from dataset_gen.kubric_compat import kubric_imports
from dataset_gen.sample import DECIMALS
from vidamodal.worlds.spec import ObjectSpec, Pose, SceneSpec, place

with kubric_imports():
    import kubric as kb
    from kubric.simulator.pybullet import PyBullet, pb

STEPS = 1200
"""Steps of 1/240 s that the objects have to fall and come to rest."""

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


def settle(spec: SceneSpec) -> SceneSpec:
    """The scene with its objects where they come to rest, numbered 1..n; about a third of a second of computing."""
    with tempfile.TemporaryDirectory() as folder:
        scene = kb.Scene()
        simulator = PyBullet(scene, folder)
        scene += _arena()
        bodies = [_body(thing, Path(folder)) for thing in spec.objects]
        scene += bodies
        indices = [body.linked_objects[simulator] for body in bodies]
        for _ in range(STEPS):
            pb.stepSimulation(physicsClientId=simulator.physics_client)
        settled = [_at_rest(thing, simulator, index) for thing, index in zip(spec.objects, indices, strict=True)]
    kept = [thing for thing in settled if _lowest(thing) > SUNK]
    return replace(spec, objects=tuple(replace(thing, id=k + 1) for k, thing in enumerate(kept)))


def _arena() -> list[kb.Cube]:
    """A thick floor with its top at z = 0, and four walls."""
    walls = [((side * (ARENA + 1.0), 0.0, 5.0), (1.0, ARENA + 2.0, 5.0)) for side in (-1, 1)]
    walls += [((y, x, z), (b, a, c)) for (x, y, z), (a, b, c) in walls]
    floor = ((0.0, 0.0, -1.0), (ARENA + 2.0, ARENA + 2.0, 1.0))
    return [kb.Cube(position=position, scale=scale, static=True) for position, scale in (floor, *walls)]


def _body(thing: ObjectSpec, folder: Path) -> kb.FileBasedObject:
    name = str(thing.id)
    urdf = folder / f"{name}.urdf"
    urdf.write_text(_URDF.format(name=name, mass=thing.mass), "ascii")
    (folder / f"{name}.obj").write_text(_obj(thing), "ascii")
    pose = thing.poses[0]
    return kb.FileBasedObject(
        asset_id=name,
        simulation_filename=str(urdf),
        position=pose.position,
        quaternion=pose.quaternion,
        mass=thing.mass,
    )


def _obj(thing: ObjectSpec) -> str:
    """The convex parts at their size, one OBJ group each: PyBullet takes the hull of every group."""
    lines: list[str] = []
    count = 1
    for k, part in enumerate(asset(thing.asset).parts):
        lines.append(f"o part_{k}")
        lines += ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in part.vertices * np.array(thing.scale)]
        lines += ["f {} {} {}".format(*face) for face in part.faces + count]
        count += len(part.vertices)
    return "\n".join(lines) + "\n"


def _at_rest(thing: ObjectSpec, simulator: PyBullet, index: int) -> ObjectSpec:
    position, rotation = simulator.get_position_and_rotation(index)
    x, y, z = np.round(position, DECIMALS).tolist()
    a, b, c, d = np.round(np.array(rotation) / np.linalg.norm(rotation), DECIMALS).tolist()
    return replace(thing, poses=(Pose((x, y, z), (a, b, c, d)),))


def _lowest(thing: ObjectSpec) -> float:
    return float(place(asset(thing.asset).mesh, thing.scale, thing.poses[0])[:, 2].min())
