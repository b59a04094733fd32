"""Procedural shape families: each function returns the point sets of a shape's convex parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from dataset_gen.meshes import Points


def _block(size: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0)) -> Points:
    """Return the corners of a box with the given side lengths, centred on ``at``."""
    signs = np.array(np.meshgrid((-0.5, 0.5), (-0.5, 0.5), (-0.5, 0.5))).reshape(3, 8).T
    return signs * size + at


def _circle(radius: float, z: float, sides: int = 16, turn: float = 0.0) -> Points:
    angles = turn + np.arange(sides) * (2 * np.pi / sides)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(sides, z)], axis=1)


def unit_sphere(points: int) -> Points:
    """Return points spread evenly over a sphere of radius 1."""
    index = np.arange(points)
    z = 1 - (2 * index + 1) / points
    angle = index * np.pi * (3 - np.sqrt(5))
    return np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], axis=1)


def _lathe(*rings: tuple[float, float], sides: int = 16) -> Iterator[Points]:
    """Yield a frustum for each pair of neighbouring rings (radius, z)."""
    for lower, upper in pairwise(rings):
        yield np.concatenate([_circle(*lower, sides), _circle(*upper, sides)])


def _wall(*rings: tuple[float, float], thickness: float, sides: int = 12) -> Iterator[Points]:
    """Yield the wall of hollow frustums between neighbouring rings (outer radius, z), one part per side."""
    for (low, z0), (high, z1) in pairwise(rings):
        edges = [_circle(r, z, sides) for z, outer in ((z0, low), (z1, high)) for r in (outer, outer - thickness)]
        for side in range(sides):
            yield np.concatenate([edge[[side, (side + 1) % sides]] for edge in edges])


def _arc(radius: float, thickness: float, start: float, stop: float, segments: int) -> Iterator[Points]:
    """Yield a round bar bent about the y axis in the x-z plane, one part per segment."""
    bar = _circle(thickness / 2, 0.0, 6)
    out, along = radius + bar[:, 0], bar[:, 1]
    ends = [np.stack([out * np.cos(a), along, out * np.sin(a)], 1) for a in np.linspace(start, stop, segments + 1)]
    for first, last in pairwise(ends):
        yield np.concatenate([first, last])


def _box(rng: np.random.Generator) -> Iterator[Points]:
    x, y, z = rng.uniform(0.25, 1.0, 3)
    yield _block((x, y, z))


def _plank(rng: np.random.Generator) -> Iterator[Points]:
    yield _block((1.0, rng.uniform(0.15, 0.6), rng.uniform(0.06, 0.12)))


def _cylinder(rng: np.random.Generator) -> Iterator[Points]:
    yield from _lathe((1.0, 0.0), (1.0, rng.uniform(0.4, 5.0)), sides=20)


def _cone(rng: np.random.Generator) -> Iterator[Points]:
    yield from _lathe((1.0, 0.0), (rng.choice((0.05, rng.uniform(0.2, 0.7))), rng.uniform(0.8, 3.0)), sides=20)


def _prism(rng: np.random.Generator) -> Iterator[Points]:
    yield from _lathe((1.0, 0.0), (rng.uniform(0.6, 1.0), rng.uniform(0.4, 3.0)), sides=int(rng.integers(3, 7)))


def _ellipsoid(rng: np.random.Generator) -> Iterator[Points]:
    yield unit_sphere(120) * rng.uniform(0.4, 1.0, 3)


def _capsule(rng: np.random.Generator) -> Iterator[Points]:
    half = rng.uniform(0.6, 3.0)
    latitudes = np.linspace(0.0, np.pi / 2, 5)[:-1]
    caps = [_circle(np.cos(a), sign * (half + np.sin(a)), 14) for a in latitudes for sign in (-1, 1)]
    yield np.concatenate([*caps, [(0.0, 0.0, half + 1), (0.0, 0.0, -half - 1)]])


def _ring(rng: np.random.Generator) -> Iterator[Points]:
    yield from _arc(1.0, rng.uniform(0.2, 0.7), 0.0, 2 * np.pi, 14)


def _hook(rng: np.random.Generator) -> Iterator[Points]:
    thickness = rng.uniform(0.25, 0.5)
    yield from _arc(1.0, thickness, 0.0, rng.uniform(0.9, 1.5) * np.pi, 10)
    length = rng.uniform(0.5, 2.0)
    yield np.concatenate([_circle(thickness / 2, z, 6) for z in (-length, 0.0)]) + (1.0, 0.0, 0.0)


def _mug(rng: np.random.Generator) -> Iterator[Points]:
    height, foot, wall = rng.uniform(1.6, 3.0), rng.uniform(0.75, 1.0), rng.uniform(0.08, 0.16)
    yield from _lathe((foot, 0.0), (foot, wall), sides=12)
    yield from _wall((foot, wall), (1.0, height), thickness=wall)
    reach = rng.uniform(0.3, 0.42) * height
    for part in _arc(reach, rng.uniform(0.14, 0.24), -0.5 * np.pi, 0.5 * np.pi, 7):
        yield part + (0.5 * (1 + foot) - wall / 2, 0.0, height / 2)


def _bowl(rng: np.random.Generator) -> Iterator[Points]:
    depth, wall = rng.uniform(0.45, 1.0), rng.uniform(0.08, 0.15)
    angles = np.array((0.25, 0.6, 0.95, 1.3)) * np.pi / 2.6
    rings = [(float(np.sin(a)), depth * float(1 - np.cos(a))) for a in angles]
    yield from _lathe((rings[0][0], rings[0][1] - wall), rings[0], sides=12)
    yield from _wall(*rings, thickness=wall)


def _bottle(rng: np.random.Generator) -> Iterator[Points]:
    body, shoulder, neck = rng.uniform(1.5, 3.5), rng.uniform(0.4, 1.2), rng.uniform(0.25, 0.5)
    top = body + shoulder
    length = rng.uniform(0.4, 1.4)
    yield from _lathe((1.0, 0.0), (1.0, body), (neck, top), (neck, top + length))
    yield from _lathe((neck * 1.25, top + length), (neck * 1.25, top + length + 0.25))


def _lamp(rng: np.random.Generator) -> Iterator[Points]:
    height, wide = rng.uniform(2.0, 3.5), rng.uniform(0.8, 1.2)
    yield from _lathe((rng.uniform(0.5, 0.8), 0.0), (0.4, 0.2), (0.1, 0.3), (0.1, height), sides=12)
    yield from _lathe((wide, height), (rng.uniform(0.3, 0.7), height + rng.uniform(0.7, 1.3)))


def _legs(width: float, depth: float, height: float, thick: float) -> Iterator[Points]:
    """Yield four legs from z = 0 to ``height``, flush with the corners of a width x depth board."""
    for x in (-1, 1):
        for y in (-1, 1):
            yield _block((thick, thick, height), (x * (width - thick) / 2, y * (depth - thick) / 2, height / 2))


def _table(rng: np.random.Generator) -> Iterator[Points]:
    width, depth, height = 1.0, rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8)
    thick = rng.uniform(0.05, 0.1)
    yield from _legs(width, depth, height, thick)
    yield _block((width, depth, thick), (0.0, 0.0, height + thick / 2))


def _chair(rng: np.random.Generator) -> Iterator[Points]:
    width, depth, height = rng.uniform(0.45, 0.6), rng.uniform(0.45, 0.6), rng.uniform(0.35, 0.55)
    thick, back = rng.uniform(0.05, 0.09), rng.uniform(0.4, 0.6)
    yield from _legs(width, depth, height, thick)
    yield _block((width, depth, thick), (0.0, 0.0, height + thick / 2))
    at = (thick - depth) / 2
    if rng.random() < 0.5:
        yield _block((width, thick, back), (0.0, at, height + thick + back / 2))
        return
    for x in (-1, 1):
        yield _block((thick, thick, back), (x * (width - thick) / 2, at, height + thick + back / 2))
    for z in (0.45, 0.85):
        yield _block((width - 2 * thick, thick, back * 0.2), (0.0, at, height + thick + back * z))


def _l_shape(rng: np.random.Generator) -> Iterator[Points]:
    thick, wide, height = rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.6), rng.uniform(0.5, 1.0)
    yield _block((1.0, wide, thick))
    yield _block((thick, wide, height), ((1.0 - thick) / 2, 0.0, (height + thick) / 2))


def _u_shape(rng: np.random.Generator) -> Iterator[Points]:
    yield from _l_shape(rng)
    thick, wide, height = rng.uniform(0.2, 0.3), rng.uniform(0.2, 0.6), rng.uniform(0.4, 0.8)
    yield _block((thick, wide, height), ((thick - 1.0) / 2, 0.0, height / 2))


def _cross(rng: np.random.Generator) -> Iterator[Points]:
    thick = rng.uniform(0.18, 0.35)
    yield _block((1.0, thick, thick))
    yield _block((thick, rng.uniform(0.6, 1.0), thick))
    if rng.random() < 0.6:
        yield _block((thick, thick, rng.uniform(0.6, 1.0)))


def _star(rng: np.random.Generator) -> Iterator[Points]:
    points, inner, height = int(rng.integers(4, 8)), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.6)
    low, high = (_circle(inner, z, points) for z in (0.0, height))
    yield np.concatenate([low, high])
    tips = [_circle(1.0, z, points, np.pi / points) for z in (0.0, height)]
    for k in range(points):
        pair = [k, (k + 1) % points]
        yield np.concatenate([low[pair], high[pair], tips[0][[k]], tips[1][[k]]])


def _gear(rng: np.random.Generator) -> Iterator[Points]:
    teeth, height, inner = int(rng.integers(6, 12)), rng.uniform(0.3, 0.6), rng.uniform(0.65, 0.8)
    yield from _wall((inner, 0.0), (inner, height), thickness=rng.uniform(0.2, 0.4), sides=teeth)
    width = inner * np.pi / teeth
    for angle in (np.arange(teeth) + 0.5) * (2 * np.pi / teeth):
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        length = 1.0 - inner * np.cos(np.pi / teeth)
        yield _block((length, width, height), (1.0 - length / 2, 0.0, height / 2)) @ turn


def _frame(rng: np.random.Generator) -> Iterator[Points]:
    height, thick, deep = rng.uniform(0.5, 1.0), rng.uniform(0.08, 0.16), rng.uniform(0.08, 0.3)
    for side in (-1, 1):
        yield _block((1.0, deep, thick), (0.0, 0.0, side * (height - thick) / 2))
        yield _block((thick, deep, height - 2 * thick), (side * (1.0 - thick) / 2, 0.0, 0.0))


def _ladder(rng: np.random.Generator) -> Iterator[Points]:
    wide, thick, rungs = rng.uniform(0.25, 0.45), rng.uniform(0.05, 0.08), int(rng.integers(3, 6))
    for side in (-1, 1):
        yield _block((thick, thick, 1.0), (side * (wide - thick) / 2, 0.0, 0.0))
    for rung in range(rungs):
        yield _block((wide - 2 * thick, thick, thick), (0.0, 0.0, (rung + 0.5) / rungs - 0.5))


def _stairs(rng: np.random.Generator) -> Iterator[Points]:
    steps, wide, rise = int(rng.integers(3, 6)), rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.0)
    for step in range(steps):
        top = rise * (step + 1) / steps
        yield _block((1.0 / steps, wide, top), ((step + 0.5) / steps, 0.0, top / 2))


def _dumbbell(rng: np.random.Generator) -> Iterator[Points]:
    plate, grip, bar = rng.uniform(0.3, 0.9), rng.uniform(0.8, 2.0), rng.uniform(0.2, 0.45)
    yield from _lathe((1.0, 0.0), (1.0, plate))
    yield from _lathe((bar, plate), (bar, plate + grip), sides=12)
    yield from _lathe((1.0, plate + grip), (1.0, 2 * plate + grip))


FAMILIES: dict[str, Callable[[np.random.Generator], Iterator[Points]]] = {
    "bottle": _bottle,
    "bowl": _bowl,
    "box": _box,
    "capsule": _capsule,
    "chair": _chair,
    "cone": _cone,
    "cross": _cross,
    "cylinder": _cylinder,
    "dumbbell": _dumbbell,
    "ellipsoid": _ellipsoid,
    "frame": _frame,
    "gear": _gear,
    "hook": _hook,
    "l_shape": _l_shape,
    "ladder": _ladder,
    "lamp": _lamp,
    "mug": _mug,
    "plank": _plank,
    "prism": _prism,
    "ring": _ring,
    "stairs": _stairs,
    "star": _star,
    "table": _table,
    "u_shape": _u_shape,
}
"""Shape families by label. Each takes a random generator and yields one point set per convex part."""
