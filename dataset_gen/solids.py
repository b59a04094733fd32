"""Closed solids from which animals, vehicles and props are built: boxes, tubes along a path, rings and leafy blobs.

Coordinates are in metres, and faces are wound counter-clockwise seen from outside. Solids may overlap: the visible
surface of a thing is that of all its solids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from dataset_gen.meshes import Points, convex_hull
from dataset_gen.shapes import unit_sphere
from vidamodal.worlds.spec import Mesh

Place = Sequence[float] | Float[np.ndarray, " 3"]
"""Three coordinates in metres."""

_BOX_FACES = np.array(
    [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6],
     [1, 3, 5], [3, 7, 5]]
)  # fmt: skip


def box(size: Place, at: Place = (0, 0, 0), taper: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    """Return a box.

    Args:
        size: Lengths along x, y and z.
        at: Centre of the bottom face.
        taper: Ratio of the top face's length to that of the bottom face, along x and y.
    """
    corners = np.array([(x, y, z) for z in (0.0, 1.0) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    corners[4:, :2] *= taper
    return Mesh(corners * size + np.asarray(at), _BOX_FACES.astype(np.int32))


def skin_rings(rings: Float[np.ndarray, "k s 3"], tips: Float[np.ndarray, "2 3"] | None = None) -> Mesh:
    """Return the closed surface through rings of equally many points.

    Args:
        rings: Points of each ring, all in the same direction of turn. Each ring is star-shaped about its centre.
        tips: Points in which the first and the last ring are closed; by default the rings' centres.
    """
    count, sides = rings.shape[:2]
    ends = rings[[0, -1]].mean(axis=1) if tips is None else tips
    index = np.arange(count * sides).reshape(count, sides)
    turned = np.roll(index, -1, axis=1)
    low, high, low_next, high_next = index[:-1], index[1:], turned[:-1], turned[1:]
    wall = [np.stack([low, low_next, high], axis=-1), np.stack([low_next, high_next, high], axis=-1)]
    first, last = count * sides, count * sides + 1
    caps = [
        np.stack([np.full(sides, first), turned[0], index[0]], axis=-1),
        np.stack([np.full(sides, last), index[-1], turned[-1]], axis=-1),
    ]
    faces = np.concatenate([part.reshape(-1, 3) for part in (*wall, *caps)])
    return outward(Mesh(np.concatenate([rings.reshape(-1, 3), ends]), faces.astype(np.int32)))


def outward(mesh: Mesh) -> Mesh:
    """Return a closed mesh with its faces turned outwards."""
    return Mesh(mesh.vertices, mesh.faces if volume(mesh) > 0 else mesh.faces[:, ::-1].copy())


def volume(mesh: Mesh) -> float:
    """Return the enclosed volume in cubic metres; it is negative if the faces look inwards."""
    corners = (mesh.vertices - mesh.vertices[0])[mesh.faces].astype(np.float64)
    return float(np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def tube(
    path: Sequence[Place] | Points,
    radii: Sequence[float] | Sequence[tuple[float, float]],
    sides: int = 8,
    side: Place = (0.0, 1.0, 0.0),
    rounded: bool = True,
) -> Mesh:
    """Return a tube with elliptic cross-sections along a path.

    Args:
        path: Centres of the cross-sections.
        radii: Radius at each centre, or its radii along ``side`` and at right angles to ``side`` and the path.
        sides: Number of points of a cross-section.
        side: First axis of the cross-sections; the path does not run along it.
        rounded: True for round ends beyond the first and last centres, False for flat ones.
    """
    centres = np.asarray(path, dtype=np.float64)
    radius = np.asarray(radii, dtype=np.float64)
    radius = np.stack([radius, radius], axis=1) if radius.ndim == 1 else radius
    tangents = np.gradient(centres, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    ends = centres[[0, -1]]
    if rounded:
        reach = radius.min(axis=1)
        caps = []
        for end, sign in ((0, -1), (-1, 1)):
            ring = centres[end] + sign * 0.7 * reach[end] * tangents[end]
            caps.append((ring[None], radius[end][None] * 0.72, tangents[end][None]))
        ends = ends + np.array((-reach[:1], reach[-1:])) * tangents[[0, -1]]
        (before, small, back), (after, thin, ahead) = caps
        centres = np.concatenate([before, centres, after])
        radius = np.concatenate([small, radius, thin])
        tangents = np.concatenate([back, tangents, ahead])
    across = np.asarray(side, dtype=np.float64) - tangents * (tangents @ np.asarray(side))[:, None]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(tangents, across)
    angles = np.arange(sides) * (2 * np.pi / sides) + np.pi / sides
    rings = (
        centres[:, None]
        + (radius[:, :1] * across)[:, None] * np.cos(angles)[:, None]
        + (radius[:, 1:] * other)[:, None] * np.sin(angles)[:, None]
    )
    return skin_rings(rings, ends)


def bar(start: Place, stop: Place, radius: float, end: float | None = None, sides: int = 6) -> Mesh:
    """Return a round bar with flat ends; ``radius`` and ``end`` are the radii at its ends."""
    way = np.asarray(stop, dtype=np.float64) - start
    side = (0.0, 1.0, 0.0) if abs(way[1]) < 0.9 * np.linalg.norm(way) else (1.0, 0.0, 0.0)
    return tube([start, stop], [radius, radius if end is None else end], sides, side, rounded=False)


def lathe(profile: Sequence[tuple[float, float]], at: Place = (0, 0, 0), sides: int = 12) -> Mesh:
    """Return a solid of revolution about a vertical axis through ``at`` from its profile of (radius, z)."""
    angles = np.arange(sides) * (2 * np.pi / sides)
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(sides)], axis=1)
    rings = np.stack([circle * max(radius, 1e-4) + (0, 0, z) for radius, z in profile])
    return skin_rings(rings + np.asarray(at))


def ellipsoid(centre: Place, radii: Place | float, points: int = 40) -> Mesh:
    """Return an ellipsoid with axes along x, y and z."""
    return convex_hull(unit_sphere(points) * np.asarray(radii) + np.asarray(centre))


def blob(rng: np.random.Generator, centre: Place, radii: Place | float, rough: float = 0.2, points: int = 30) -> Mesh:
    """Return an ellipsoid with a bumpy surface, like a crown of leaves; ``rough`` is the greatest change of radius."""
    ball = convex_hull(unit_sphere(points))
    bumps = 1 + rng.uniform(-rough, rough, (len(ball.vertices), 1))
    return Mesh(ball.vertices * bumps * np.asarray(radii) + np.asarray(centre), ball.faces)


def torus(
    centre: Place, radius: float, thickness: float, axis: Place = (0, 1, 0), segments: int = 20, sides: int = 5
) -> Mesh:
    """Return a ring of radius ``radius`` and tube radius ``thickness`` about an axis."""
    normal = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    first = np.cross(normal, (0.0, 0.0, 1.0) if abs(normal[2]) < 0.9 else (1.0, 0.0, 0.0))
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    around = np.arange(segments) * (2 * np.pi / segments)
    out = np.cos(around)[:, None] * first + np.sin(around)[:, None] * second
    turn = np.arange(sides) * (2 * np.pi / sides)
    points = (
        np.asarray(centre)
        + out[:, None] * (radius + thickness * np.cos(turn))[:, None]
        + normal * (thickness * np.sin(turn))[:, None]
    )
    index = np.arange(segments * sides).reshape(segments, sides)
    ahead, beside = np.roll(index, -1, axis=0), np.roll(index, -1, axis=1)
    both = np.roll(ahead, -1, axis=1)
    faces = np.stack([index, ahead, beside, ahead, both, beside], axis=-1).reshape(-1, 3)
    return outward(Mesh(points.reshape(-1, 3), faces.astype(np.int32)))


def panel(start: tuple[float, float], stop: tuple[float, float], low: float, high: float, thick: float) -> Mesh:
    """Return an upright panel between two places on the floor, from height ``low`` to ``high``."""
    way = np.subtract(stop, start)
    normal = np.array((-way[1], way[0])) / np.linalg.norm(way) * thick / 2
    corners = [np.asarray(p) + sign * normal for p, sign in ((start, 1), (stop, 1), (stop, -1), (start, -1))]
    return skin_rings(np.array([[(*corner, z) for corner in corners] for z in (low, high)]))


def moved(meshes: Sequence[Mesh], by: Place = (0, 0, 0), turn: float = 0.0) -> Iterator[Mesh]:
    """Yield meshes turned about the z axis by an angle in radians, then moved."""
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    for mesh in meshes:
        yield Mesh(mesh.vertices @ rotation.T + np.asarray(by), mesh.faces)
