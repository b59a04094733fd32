"""SceneSpec: all it takes to make a scene again. Plain numbers, pure, with an exact JSON form.

World axes are Blender's: metres, z up. A camera looks along its local -z with +y up.
Quaternions are (w, x, y, z). Nothing here knows Kubric, Blender or files.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles: vertices in metres (v, 3) float32, faces (f, 3) int32 wound counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


@dataclass(frozen=True)
class Pose:
    """Where an object stands: position in metres, rotation as a unit quaternion (w, x, y, z)."""

    position: Vector
    quaternion: Quaternion


@dataclass(frozen=True)
class Material:
    """A principled surface: linear RGB in [0, 1], and a procedural texture mixed in ("plain", "noise", ...)."""

    color: Vector
    roughness: float
    metallic: float
    texture: str
    color2: Vector
    texture_scale: float


@dataclass(frozen=True)
class Hinge:
    """A limb: the vertices from ``start`` to ``stop`` (exclusive) turn about an axis through a pivot.

    Pivot and axis are in the mesh's own coordinates, the axis of length 1, the angles in radians, one a frame.
    """

    start: int
    stop: int
    pivot: Vector
    axis: Vector
    angles: tuple[float, ...]


@dataclass(frozen=True)
class Deformation:
    """How a shape changes from frame to frame: its limbs turn, then it bends, then it is squashed.

    Hinges turn in their order, so that a shin comes before the thigh that takes it along. ``bend`` is by how many
    radians the mesh's z axis curves towards x over a metre; ``squash`` stretches it along z and narrows the sides, so
    that the volume stays. Either is empty or has one number a frame.
    """

    hinges: tuple[Hinge, ...] = ()
    bend: tuple[float, ...] = ()
    squash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Throw:
    """How an object moves when the clip begins: velocity in m/s, spin in rad/s about the world's axes."""

    velocity: Vector
    spin: Vector


@dataclass(frozen=True)
class ObjectSpec:
    """One object: its asset, a scale per axis, a surface and its poses (one if it stands still, else one a frame)."""

    id: int
    asset: str
    label: str
    licence: str
    scale: Vector
    mass: float
    material: Material
    poses: tuple[Pose, ...]
    throw: Throw | None = None
    deformation: Deformation | None = None

    @property
    def still(self) -> bool:
        """Whether it looks the same in all frames but for the camera."""
        return len(self.poses) == 1 and self.deformation is None

    def pose(self, frame: int) -> Pose:
        return self.poses[frame] if len(self.poses) > 1 else self.poses[0]


@dataclass(frozen=True)
class CameraSpec:
    """A pinhole: focal length and sensor width in millimetres, position and target per frame in metres."""

    focal_length: float
    sensor_width: float
    positions: tuple[Vector, ...]
    targets: tuple[Vector, ...]


@dataclass(frozen=True)
class LightSpec:
    """The sun (direction it shines from, strength) and the environment map (name, rotation in radians, strength)."""

    sun_direction: Vector
    sun_strength: float
    hdri: str
    hdri_rotation: float
    hdri_strength: float
    floor: Material


@dataclass(frozen=True)
class SceneSpec:
    """A whole scene: seed 0 is a seed. ``size`` is the side of the square image in pixels."""

    seed: int
    split: str
    preset: str
    size: int
    frames: int
    fps: float
    objects: tuple[ObjectSpec, ...]
    camera: CameraSpec
    light: LightSpec

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; floats survive exactly. What an object does not do is left out."""
        data = dataclasses.asdict(self)
        for thing in data["objects"]:
            for name in ("throw", "deformation"):
                if thing[name] is None:
                    del thing[name]
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> SceneSpec:
        """The inverse of ``to_json``. Raises KeyError or TypeError for anything else."""
        objects = tuple(
            ObjectSpec(
                **{
                    **o,
                    "scale": tuple(o["scale"]),
                    "material": _material(o["material"]),
                    "poses": tuple(Pose(tuple(p["position"]), tuple(p["quaternion"])) for p in o["poses"]),
                    "throw": _throw(o.get("throw")),
                    "deformation": _deformation(o.get("deformation")),
                }
            )
            for o in data["objects"]
        )
        camera = data["camera"]
        light = data["light"]
        return SceneSpec(
            **{
                **data,
                "objects": objects,
                "camera": CameraSpec(
                    camera["focal_length"],
                    camera["sensor_width"],
                    tuple(tuple(p) for p in camera["positions"]),
                    tuple(tuple(p) for p in camera["targets"]),
                ),
                "light": LightSpec(
                    **{**light, "sun_direction": tuple(light["sun_direction"]), "floor": _material(light["floor"])}
                ),
            }
        )


def _material(data: dict[str, Any]) -> Material:
    return Material(**{**data, "color": tuple(data["color"]), "color2": tuple(data["color2"])})


def _throw(data: dict[str, Any] | None) -> Throw | None:
    return None if data is None else Throw(tuple(data["velocity"]), tuple(data["spin"]))


def _deformation(data: dict[str, Any] | None) -> Deformation | None:
    if data is None:
        return None
    hinges = tuple(
        Hinge(h["start"], h["stop"], tuple(h["pivot"]), tuple(h["axis"]), tuple(h["angles"])) for h in data["hinges"]
    )
    return Deformation(hinges, tuple(data["bend"]), tuple(data["squash"]))


def rotation_matrix(quaternion: Quaternion) -> Float[np.ndarray, "3 3"]:
    """Rotation of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def place(mesh: Mesh, scale: Vector, pose: Pose) -> Float[np.ndarray, "v 3"]:
    """World coordinates in metres of a mesh's vertices: scaled, then rotated, then moved."""
    return np.asarray(
        (mesh.vertices * np.asarray(scale)) @ rotation_matrix(pose.quaternion).T + np.asarray(pose.position)
    )


def place_object(mesh: Mesh, thing: ObjectSpec, frame: int) -> Float[np.ndarray, "v 3"]:
    """World coordinates in metres of an object's vertices in a frame, whatever it does."""
    vertices = mesh.vertices if thing.deformation is None else deform(mesh.vertices, thing.deformation, frame)
    return place(Mesh(vertices, mesh.faces), thing.scale, thing.pose(frame))


def deform(vertices: Float[np.ndarray, "v 3"], deformation: Deformation, frame: int) -> Float[np.ndarray, "v 3"]:
    """A mesh's vertices as they stand in a frame, in the mesh's own coordinates."""
    out = vertices.astype(np.float64)
    for hinge in deformation.hinges:
        limb = slice(hinge.start, hinge.stop)
        half = hinge.angles[frame] / 2
        turn = rotation_matrix((np.cos(half), *(np.sin(half) * np.asarray(hinge.axis))))
        out[limb] = (out[limb] - hinge.pivot) @ turn.T + hinge.pivot
    if deformation.bend and abs(curvature := deformation.bend[frame]) > 1e-6:
        x, y, z = out.T
        angle, radius = curvature * z, 1 / curvature
        out = np.stack([radius - (radius - x) * np.cos(angle), y, (radius - x) * np.sin(angle)], axis=1)
    if deformation.squash:
        stretch = deformation.squash[frame]
        out = out * (stretch**-0.5, stretch**-0.5, stretch)
    return out
