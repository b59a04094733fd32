"""SceneSpec, the complete description of a scene in plain numbers, with an exact JSON form.

World axes are those of Blender: metres, z up. A camera looks along its local -z with +y up. Quaternions are
(w, x, y, z). This module depends on neither Kubric nor Blender nor files.
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
class Skeleton:
    """The joints of a skinned mesh at rest."""

    parents: Int[np.ndarray, " j"]
    """Number of the joint that carries each joint, which comes before it; -1 for the root."""
    pivots: Float[np.ndarray, "j 3"]
    """Positions of the joints in the coordinates of the mesh."""
    weights: Float[np.ndarray, "v j"]
    """How much each vertex follows each joint; the weights of a vertex add up to 1."""


@dataclass(frozen=True)
class Mesh:
    """Triangles: vertices in metres (v, 3) float32, faces (f, 3) int32 wound counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    skeleton: Skeleton | None = None


@dataclass(frozen=True)
class Pose:
    """Position and orientation of an object."""

    position: Vector
    """World coordinates in metres."""
    quaternion: Quaternion
    """Unit quaternion (w, x, y, z)."""


@dataclass(frozen=True)
class Material:
    """A principled surface: two linear RGB colours in [0, 1], mixed by a procedural texture ("plain", "noise", ...)."""

    color: Vector
    roughness: float
    metallic: float
    texture: str
    color2: Vector
    texture_scale: float


@dataclass(frozen=True)
class Hinge:
    """A limb: the vertices from ``start`` to ``stop`` (exclusive) turn about an axis through a pivot."""

    start: int
    stop: int
    pivot: Vector
    """In the coordinates of the mesh."""
    axis: Vector
    """Unit vector in the coordinates of the mesh."""
    angles: tuple[float, ...]
    """Angle in radians in each frame."""


@dataclass(frozen=True)
class Skin:
    """Motion of a skinned mesh (`Skeleton`): each joint turns relative to the joint that carries it."""

    rotations: tuple[tuple[Vector, ...], ...]
    """For each frame, the rotation vector of each joint: axis times angle in radians, in the axes of the mesh at
    rest."""


@dataclass(frozen=True)
class Deformation:
    """Change of a shape over time: its skeleton or its limbs turn, then it bends, then it is squashed."""

    hinges: tuple[Hinge, ...] = ()
    """Limbs in the order in which they turn: a shin comes before the thigh that carries it."""
    bend: tuple[float, ...] = ()
    """Curvature of the mesh's z axis towards x in radians per metre, for each frame; empty for none."""
    squash: tuple[float, ...] = ()
    """Stretch along z at constant volume, for each frame; empty for none."""
    skin: Skin | None = None
    """Motion of the skeleton; None for a mesh without one."""


@dataclass(frozen=True)
class Throw:
    """Motion of an object when the clip begins."""

    velocity: Vector
    """In metres per second."""
    spin: Vector
    """In radians per second about the world's axes."""


@dataclass(frozen=True)
class ObjectSpec:
    """One object of a scene; it has one pose if it stands still, else one per frame."""

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
    scenery: bool = False
    """True for a part of the surroundings that occludes others and that nobody tracks: a pole, a fence, a wall."""

    @property
    def backdrop(self) -> bool:
        """True for scenery that only gives a scene its depth: the walls of a room, the fronts of houses."""
        return self.scenery and self.asset.startswith("backdrop/")

    @property
    def still(self) -> bool:
        """True if neither pose nor shape changes over time."""
        return len(self.poses) == 1 and self.deformation is None

    def pose(self, frame: int) -> Pose:
        """Return the pose in a frame."""
        return self.poses[frame] if len(self.poses) > 1 else self.poses[0]


@dataclass(frozen=True)
class CameraSpec:
    """A pinhole camera: focal length and sensor width in millimetres, position and target in metres per frame."""

    focal_length: float
    sensor_width: float
    positions: tuple[Vector, ...]
    targets: tuple[Vector, ...]


@dataclass(frozen=True)
class LightSpec:
    """Sun (direction towards it, strength), environment map (name, rotation in radians, strength) and floor."""

    sun_direction: Vector
    sun_strength: float
    hdri: str
    hdri_rotation: float
    hdri_strength: float
    floor: Material


@dataclass(frozen=True)
class SceneSpec:
    """A whole scene; ``size`` is the height of the image in pixels."""

    seed: int
    split: str
    preset: str
    size: int
    frames: int
    fps: float
    objects: tuple[ObjectSpec, ...]
    camera: CameraSpec
    light: LightSpec
    width: int | None = None
    """Width of the image in pixels; None if the image is square."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.size, self.width or self.size

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values from which floats are restored exactly; what an object or scene lacks is omitted."""
        data = dataclasses.asdict(self)
        if self.width is None:
            del data["width"]
        for thing in data["objects"]:
            if not thing["scenery"]:
                del thing["scenery"]
            for name in ("throw", "deformation"):
                if thing[name] is None:
                    del thing[name]
            if "deformation" in thing and thing["deformation"]["skin"] is None:
                del thing["deformation"]["skin"]
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> SceneSpec:
        """Restore a scene from the values of ``to_json``.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value is unknown or has the wrong type.
        """
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
    return Deformation(hinges, tuple(data["bend"]), tuple(data["squash"]), _skin(data.get("skin")))


def _skin(data: dict[str, Any] | None) -> Skin | None:
    return None if data is None else Skin(tuple(tuple(map(tuple, frame)) for frame in data["rotations"]))


def rotation_matrix(quaternion: Quaternion) -> Float[np.ndarray, "3 3"]:
    """Return the rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def place(mesh: Mesh, scale: Vector, pose: Pose) -> Float[np.ndarray, "v 3"]:
    """Return the world coordinates of a mesh's vertices in metres: scaled, then rotated, then moved."""
    return np.asarray(
        (mesh.vertices * np.asarray(scale)) @ rotation_matrix(pose.quaternion).T + np.asarray(pose.position)
    )


def place_object(mesh: Mesh, thing: ObjectSpec, frame: int) -> Float[np.ndarray, "v 3"]:
    """Return the world coordinates of an object's vertices in one frame in metres."""
    vertices = mesh.vertices
    if thing.deformation is not None:
        vertices = deform(vertices, thing.deformation, frame, mesh.skeleton)
    return place(Mesh(vertices, mesh.faces), thing.scale, thing.pose(frame))


def deform(
    vertices: Float[np.ndarray, "v 3"], deformation: Deformation, frame: int, skeleton: Skeleton | None = None
) -> Float[np.ndarray, "v 3"]:
    """Return the deformed vertices of a mesh in one frame, in the coordinates of the mesh.

    Args:
        vertices: Vertices at rest.
        deformation: Change of the shape over time.
        frame: Frame of the clip.
        skeleton: Joints of the mesh, which a deformation with a skin needs.

    Raises:
        ValueError: The deformation has a skin, but there is no skeleton or it has another number of joints.
    """
    out = vertices.astype(np.float64)
    if deformation.skin is not None:
        out = _skinned(out, deformation.skin.rotations[frame], skeleton)
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


def joint_transforms(
    rotations: Float[np.ndarray, "j 3 3"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "j 3 3"], Float[np.ndarray, "j 3"]]:
    """Return the rotation and translation that move what is rigidly attached to each joint.

    Args:
        rotations: Rotation of each joint relative to the joint that carries it, in the axes of the mesh at rest.
        skeleton: Joints at rest.
    """
    pivots = np.asarray(skeleton.pivots, dtype=np.float64)
    local = np.zeros((len(rotations), 4, 4))
    local[:, :3, :3], local[:, 3, 3] = rotations, 1
    local[:, :3, 3] = pivots - np.einsum("jab,jb->ja", rotations, pivots)
    for joint, parent in enumerate(skeleton.parents.tolist()):
        if parent >= 0:
            local[joint] = local[parent] @ local[joint]
    return local[:, :3, :3], local[:, :3, 3]


def rotation_matrices(vectors: Float[np.ndarray, "j 3"]) -> Float[np.ndarray, "j 3 3"]:
    """Return the rotation matrices of rotation vectors (axis times angle in radians) by Rodrigues' formula."""
    angles = np.linalg.norm(vectors, axis=1)
    x, y, z = vectors.T / np.maximum(angles, 1e-12)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, versine = np.sin(angles)[:, None, None], (1 - np.cos(angles))[:, None, None]
    matrices: Float[np.ndarray, "j 3 3"] = np.eye(3) + sine * cross + versine * (cross @ cross)
    return matrices


def _skinned(
    vertices: Float[np.ndarray, "v 3"], rotations: tuple[Vector, ...], skeleton: Skeleton | None
) -> Float[np.ndarray, "v 3"]:
    """Blend the motions of the joints linearly by the weights of each vertex."""
    if skeleton is None or len(skeleton.parents) != len(rotations):
        joints = "no skeleton" if skeleton is None else f"a skeleton of {len(skeleton.parents)} joints"
        raise ValueError(f"the deformation turns {len(rotations)} joints, but the mesh has {joints}")
    turns, moves = joint_transforms(rotation_matrices(np.array(rotations, dtype=np.float64)), skeleton)
    motions = np.concatenate([turns.reshape(-1, 9), moves], axis=1)
    blended = motions.T @ np.asarray(skeleton.weights, dtype=np.float64).T  # one contiguous row a coefficient
    turned = (blended[:9].reshape(3, 3, -1) * vertices.T).sum(axis=1) + blended[9:]
    return np.ascontiguousarray(turned.T)
