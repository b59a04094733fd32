"""Clothes, hair and carried things as closed meshes that follow the joints of a body.

Tight clothes push the skin outwards. Wide ones and things are pieces of their own. All lengths are in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from dataset_gen.actors.bodies import JOINT, JOINTS, Body
from dataset_gen.actors.key_poses import ARM, KeyPose, between, posture
from dataset_gen.actors.rig import SIGN, Side, limb_lengths, rotation_vectors
from dataset_gen.meshes import convex_hull
from dataset_gen.shapes import unit_sphere
from vidamodal.worlds.spec import Mesh, Vector, joint_transforms, rotation_matrices

Points = Float[np.ndarray, "p 3"]
Weights = Float[np.ndarray, "p j"]


@dataclass(frozen=True)
class Piece:
    """A closed mesh with the weights of its vertices."""

    vertices: Points
    faces: Int[np.ndarray, "f 3"]
    weights: Weights


@dataclass(frozen=True)
class Tailor:
    """A body with the measures that clothes need."""

    body: Body
    normals: Points
    """Outward unit normals of the vertices."""

    def share(self, *names: str) -> Float[np.ndarray, " v"]:
        """Return how much each vertex follows joints; names without a side stand for both sides."""
        columns = [JOINT[joint] for joint in JOINTS if joint.removeprefix("left_").removeprefix("right_") in names]
        return np.asarray(self.body.skeleton.weights[:, columns].sum(axis=1))

    def slab(self, height: float, thickness: float = 0.03) -> tuple[float, float, float]:
        """Return the foremost and rearmost x and the greatest y of trunk and thighs at a height."""
        points = self.body.mesh.vertices
        trunk = self.share("pelvis", "spine", "chest", "thigh", "clavicle") > 0.6
        near = trunk & (np.abs(points[:, 2] - height) < thickness * self.body.height)
        chosen = points[near] if near.any() else points[trunk]
        return float(chosen[:, 0].max()), float(chosen[:, 0].min()), float(np.abs(chosen[:, 1]).max())


def measure(body: Body) -> Tailor:
    """Measure a body."""
    vertices, faces = body.mesh.vertices.astype(np.float64), body.mesh.faces
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return Tailor(body, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def trousers(tailor: Tailor, loose: float, flare: float) -> Float[np.ndarray, " v"]:
    """Return how far trousers stand off the skin: ``loose`` at the thighs and ``flare`` more at the ankles."""
    z = tailor.body.mesh.vertices[:, 2]
    ankle, hip = tailor.body.pivot("left_foot")[2], tailor.body.pivot("left_thigh")[2]
    down = np.clip((hip - z) / (hip - ankle), 0, 1)
    legs = tailor.share("thigh", "shin") + 0.7 * tailor.share("pelvis")
    return np.asarray(np.clip(legs, 0, 1) * (loose + flare * down**2) * (z > 1.1 * ankle))


def jacket(tailor: Tailor, loose: float, sleeves: float) -> Float[np.ndarray, " v"]:
    """Return how far a jacket stands off the skin of trunk and arms."""
    trunk = tailor.share("spine", "chest", "clavicle") + 0.8 * tailor.share("pelvis")
    return np.asarray(loose * np.clip(trunk, 0, 1) + sleeves * tailor.share("upper_arm", "forearm"))


def hair(tailor: Tailor, thick: float, down: float) -> Float[np.ndarray, " v"]:
    """Return how far hair, a cap or a helmet stands off the skull, down to ``down`` (0 crown, 1 chin)."""
    points = tailor.body.mesh.vertices
    head = tailor.share("head")
    top, chin = points[:, 2].max(), tailor.body.pivot("head")[2]
    depth = (top - points[:, 2]) / (top - chin)
    front = (points[:, 0] - points[head > 0.9, 0].mean()) / np.ptp(points[head > 0.9, 0])
    covered = np.clip((down - depth - 0.9 * np.clip(front, -0.1, 0.5)) / 0.15, 0, 1)
    return np.asarray(thick * covered * (head > 0.9))


def skirt(tailor: Tailor, top: float, hem: float, flare: float, margin: float) -> Piece:
    """Return a skirt, or the lower part of a dress or a coat.

    Args:
        tailor: The measured body.
        top: Height of its upper end.
        hem: Height of its lower end.
        flare: Radius at the hem in radii at the hips.
        margin: Distance from the skin.
    """
    body = tailor.body
    hip, knee = body.pivot("left_thigh")[2], body.pivot("left_shin")[2]
    heights = np.linspace(top, hem, 8)
    angles = np.arange(20) * 2 * np.pi / 20
    widest = tailor.slab(hip - 0.02 * body.height)
    rings = []
    for height in heights:
        front, back, side = tailor.slab(height) if height > hip else widest
        grow = 1 + (flare - 1) * np.clip((hip - height) / max(hip - hem, 0.01), 0, 1)
        x = (front + back) / 2 + ((front - back) / 2 * grow + margin) * np.cos(angles)
        y = (side * grow + margin) * np.sin(angles)
        rings.append(np.stack([x, y, np.full(20, height)], axis=1))
    points = np.concatenate(rings)
    weights = np.zeros((len(points), len(JOINTS)))
    down = np.clip((hip + 0.02 - points[:, 2]) / (0.55 * (hip - knee)), 0, 1)
    below = 0.55 * np.clip((knee - points[:, 2]) / (0.6 * knee), 0, 1)
    left = np.clip(0.5 + points[:, 1] / (1.2 * side), 0, 1)
    chest = np.clip((points[:, 2] - body.pivot("spine")[2]) / (0.12 * body.height), 0, 1)
    for part, share in (("left", left), ("right", 1 - left)):
        weights[:, JOINT[f"{part}_thigh"]] = 0.96 * down * share * (1 - below)
        weights[:, JOINT[f"{part}_shin"]] = 0.96 * down * share * below
    weights[:, JOINT["chest"]] = chest * (1 - 0.96 * down)
    weights[:, JOINT["pelvis"]] = (1 - chest) * (1 - 0.96 * down)
    return Piece(points, loft_faces(8, 20), weights)


def loft_faces(rings: int, points: int) -> Int[np.ndarray, "f 3"]:
    """Return the faces of a closed tube through rings whose points run counter-clockwise as seen from the first end."""
    ring, point = np.divmod(np.arange((rings - 1) * points), points)
    here, right = ring * points + point, ring * points + (point + 1) % points
    sides = np.concatenate(
        [np.stack([here, here + points, right], 1), np.stack([right, here + points, right + points], 1)]
    )
    fan = np.arange(1, points - 1)
    first = np.stack([np.zeros_like(fan), fan, fan + 1], 1)
    last = (rings - 1) * points + np.stack([np.zeros_like(fan), fan + 1, fan], 1)
    return np.concatenate([sides, first, last]).astype(np.int32)


def hull_piece(points: Points, shares: dict[str, float]) -> Piece:
    """Return the convex hull of points that follows joints with fixed shares."""
    mesh = convex_hull(points)
    weights = np.zeros((len(mesh.vertices), len(JOINTS)))
    for joint, share in shares.items():
        weights[:, JOINT[joint]] = share
    return Piece(mesh.vertices, mesh.faces, weights)


def ellipsoid(centre: Sequence[float] | Points, radii: Sequence[float] | float, points: int = 60) -> Points:
    """Return points of an ellipsoid."""
    return np.asarray(unit_sphere(points) * radii + np.asarray(centre))


def cuboid(centre: Sequence[float] | Points, sides: Sequence[float] | Points, rounding: float = 0.15) -> Points:
    """Return points of a box with rounded corners; ``rounding`` is in shares of the sides."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    inner = 1 - rounding
    corners = np.concatenate([signs * scale for scale in ((1, inner, inner), (inner, 1, inner), (inner, inner, 1))])
    return np.asarray(corners * np.asarray(sides) / 2 + np.asarray(centre))


def rod(
    start: Sequence[float] | Points, stop: Sequence[float] | Points, radius: float, end: float | None = None
) -> Points:
    """Return points of a rod with rounded ends, whose radius may change to ``end``."""
    last = radius if end is None else end
    return np.concatenate([ellipsoid(start, radius, 20), ellipsoid(stop, last, 20)])


def hanging_hair(tailor: Tailor, length: float, width: float) -> Piece:
    """Return long hair down the back of the head to the shoulders or below."""
    body = tailor.body
    head = body.mesh.vertices[tailor.share("head") > 0.9]
    top, size = head[:, 2].max(), np.ptp(head[:, 0])
    back = float(head[:, 0].min())
    crown = ellipsoid((back + 0.45 * size, 0, top - 0.45 * size), (0.5 * size, 0.44 * size, 0.46 * size), 40)
    lower = ellipsoid((back + 0.12 * size, 0, top - 0.6 * size - length), (0.14 * size, width * size, 0.12 * size), 30)
    return hull_piece(np.concatenate([crown, lower]), {"head": 1.0})


def to_rest(body: Body, joint: str, side: Side, place: Vector, points: Points) -> Points:
    """Return where points lie at rest that a joint carries to where they are on a standing body.

    Args:
        body: The body.
        joint: Joint that carries the points.
        side: Arm whose wrist is at ``place``; the other hangs.
        place: See ``key_poses.arm_to``.
        points: Coordinates on the standing body.
    """
    turns, moves = _standing(body, side, place)
    return np.asarray((points - moves[JOINT[joint]]) @ turns[JOINT[joint]])


def grip(body: Body, side: Side, place: Vector) -> Float[np.ndarray, " 3"]:
    """Return the middle of the fist of a standing body whose wrist is at a place."""
    turns, moves = _standing(body, side, place)
    hand = JOINT[f"{side}_hand"]
    fist = body.mesh.vertices[body.skeleton.weights[:, hand] > 0.9].mean(axis=0)
    return np.asarray(turns[hand] @ fist + moves[hand])


def wrist(body: Body, side: Side, place: Vector) -> Float[np.ndarray, " 3"]:
    """Return the wrist at a place of `key_poses.arm_to` in the axes of the chest at rest."""
    length = sum(limb_lengths(body, side, ARM))
    return np.asarray(body.pivot(f"{side}_upper_arm") + np.array(place) * length * (1.0, SIGN[side], 1.0))


def _standing(body: Body, side: Side, place: Vector) -> tuple[Float[np.ndarray, "j 3 3"], Float[np.ndarray, "j 3"]]:
    pose = KeyPose(left_hand=place) if side == "left" else KeyPose(right_hand=place)
    made, _ = posture(body, between([0.0], [pose], np.zeros(1)))
    return joint_transforms(rotation_matrices(rotation_vectors(body, made)[0]), body.skeleton)


def dressed_mesh(tailor: Tailor, offsets: Float[np.ndarray, " v"], pieces: Sequence[Piece]) -> Mesh:
    """Return the body with its skin pushed outwards and with pieces added; the skeleton is extended to them."""
    body = tailor.body
    vertices = [body.mesh.vertices + offsets[:, None] * tailor.normals, *(piece.vertices for piece in pieces)]
    starts = np.cumsum([0, *(len(part) for part in vertices[:-1])])
    faces = [body.mesh.faces, *(piece.faces for piece in pieces)]
    weights = np.concatenate([body.skeleton.weights, *(piece.weights for piece in pieces)])
    skeleton = type(body.skeleton)(body.skeleton.parents, body.skeleton.pivots, weights)
    return Mesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate([part + start for part, start in zip(faces, starts, strict=True)]).astype(np.int32),
        skeleton,
    )
