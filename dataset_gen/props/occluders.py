"""Static occluders of streets, rooms and fields, by kind: each function yields closed solids in metres.

Walls, fences and frames extend along y, so that they face +x.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataset_gen.families import Maker
from dataset_gen.meshes import convex_hull
from dataset_gen.solids import bar, blob, box, ellipsoid, lathe, panel, tube
from vidamodal.worlds.spec import Mesh


def _pole(rng: np.random.Generator) -> Iterator[Mesh]:
    height, radius = rng.uniform(2.0, 5.0), rng.uniform(0.04, 0.14)
    yield bar((0, 0, 0), (0, 0, height), radius, radius * rng.uniform(0.6, 1.0), 8)
    if rng.random() < 0.3:
        yield lathe([(radius * 2, 0.0), (radius * 2, 0.15), (radius, 0.25)])


def _bollard(rng: np.random.Generator) -> Iterator[Mesh]:
    height, radius = rng.uniform(0.7, 1.2), rng.uniform(0.06, 0.16)
    yield lathe(
        [
            (radius * 1.3, 0),
            (radius * 1.3, 0.08),
            (radius, 0.1),
            (radius * 0.85, height),
            (0.3 * radius, height + radius),
        ]
    )


def _lamp_post(rng: np.random.Generator) -> Iterator[Mesh]:
    height, radius = rng.uniform(3.2, 7.0), rng.uniform(0.05, 0.09)
    yield lathe([(radius * 2.2, 0), (radius * 1.9, 0.5), (radius, 0.7), (radius * 0.7, height)], sides=8)
    if rng.random() < 0.5:
        arm = rng.uniform(0.6, 1.6)
        for side in (-1, 1) if rng.random() < 0.4 else (1,):
            yield tube(
                [(0, 0, height - 0.1), (0, side * arm * 0.5, height + 0.25), (0, side * arm, height + 0.3)],
                [radius * 0.7] * 3,
                6,
                (1, 0, 0),
            )
            yield box((0.16, 0.5, 0.1), (0, side * arm, height + 0.24))
    else:
        yield lathe(
            [(0.08, height), (0.2, height + 0.15), (0.24, height + 0.5), (0.3, height + 0.52), (0.02, height + 0.7)]
        )


def _sign(rng: np.random.Generator) -> Iterator[Mesh]:
    height, radius = rng.uniform(1.9, 3.0), rng.uniform(0.025, 0.045)
    yield bar((0, 0, 0), (0, 0, height), radius)
    size = rng.uniform(0.25, 0.45)
    sides = int(rng.choice((3, 4, 8, 16)))
    angles = np.pi / 2 + (np.arange(sides) + (0.5 if sides == 8 else 0.0)) * (2 * np.pi / sides)
    middle = height - 0.6 * size
    rim = np.stack([np.zeros(sides), size * np.cos(angles), middle + size * np.sin(angles)], axis=1)
    if sides == 4 and rng.random() < 0.6:
        yield box((0.03, rng.uniform(0.5, 1.4), rng.uniform(0.35, 0.7)), (radius, 0, middle - 0.1))
    else:
        yield convex_hull(np.concatenate([rim + (radius, 0, 0), rim + (radius + 0.03, 0, 0)]))


def _tree(rng: np.random.Generator) -> Iterator[Mesh]:
    form = rng.choice(("crown", "conifer", "bare"), p=(0.6, 0.2, 0.2))
    height, radius = rng.uniform(3.5, 8.0), rng.uniform(0.1, 0.35)
    if form == "conifer":
        yield bar((0, 0, 0), (0, 0, height * 0.3), radius, radius * 0.8, 8)
        layers, wide = int(rng.integers(3, 6)), height * rng.uniform(0.18, 0.28)
        for k in range(layers):
            low, reach = height * (0.15 + 0.75 * k / layers), wide * (1 - 0.75 * k / layers)
            yield lathe([(reach, low), (reach * 0.35, low + height * 0.14), (0.01, low + height * 0.27)], sides=10)
        return
    fork = height * rng.uniform(0.3, 0.5)
    lean = rng.normal(0, 0.15, 2)
    top = np.array((*lean, fork))
    yield tube([(0, 0, 0), (*lean * 0.4, fork * 0.5), top], [radius * 1.3, radius, radius * 0.8], 8)
    count = int(rng.integers(5, 9))
    for k in range(count):
        angle = 2 * np.pi * (k + rng.uniform(-0.2, 0.2)) / count
        reach = height * rng.uniform(0.12, 0.24) * (0.3 if k == 0 else 1)
        tip = top + (reach * np.cos(angle), reach * np.sin(angle), height * rng.uniform(0.15, 0.4))
        yield bar(top - (0, 0, 0.1), tip, radius * 0.5, radius * 0.2, 5)
        if form == "bare":
            for _ in range(3):
                twig = tip + rng.normal(0, height * 0.07, 3) + (0, 0, height * 0.08)
                middle = top + (tip - top) * rng.uniform(0.4, 1.0)
                yield bar(middle, twig, radius * 0.18, radius * 0.06, 4)
        else:
            yield blob(rng, tip, height * rng.uniform(0.11, 0.19) * np.array((1, 1, rng.uniform(0.7, 1.0))), 0.25, 34)


def _bush(rng: np.random.Generator) -> Iterator[Mesh]:
    height, wide = rng.uniform(0.5, 1.8), rng.uniform(0.5, 1.4)
    for k in range(int(rng.integers(6, 10))):
        radius = height * rng.uniform(0.24, 0.4)
        y = 0.0 if k == 0 else rng.uniform(-1, 1) * wide * 0.6
        at = (rng.normal(0, wide * 0.2), y, rng.uniform(0.4, 1.7) * radius)
        yield _grounded(blob(rng, at, radius * rng.uniform(0.85, 1.2, 3), 0.3, 44))


def _grounded(mesh: Mesh) -> Mesh:
    """Return a mesh whose parts below the floor are flattened onto it."""
    return Mesh(np.maximum(mesh.vertices, (-np.inf, -np.inf, 0.0)), mesh.faces)


def _hedge(rng: np.random.Generator) -> Iterator[Mesh]:
    long, height, deep = rng.uniform(2.0, 5.0), rng.uniform(0.6, 1.8), rng.uniform(0.4, 0.9)
    yield box((deep * 0.8, long, height * 0.85), taper=(0.85, 1.0))
    count = int(rng.integers(7, 12))
    for k in range(count):
        at = (0, long * ((k + 0.5) / count - 0.5), height * rng.uniform(0.72, 0.8))
        yield blob(rng, at, (deep / 2, long / count * 0.8, height * rng.uniform(0.2, 0.28)), 0.2, 24)


def _picket_fence(rng: np.random.Generator) -> Iterator[Mesh]:
    height, wide, gap = rng.uniform(0.7, 1.5), rng.uniform(0.06, 0.11), rng.uniform(0.05, 0.12)
    count = int(rng.integers(16, 30))
    pitch, pointed = wide + gap, rng.random() < 0.6
    for k in range(count):
        y = (k - (count - 1) / 2) * pitch
        yield box((0.022, wide, height), (0, y, 0.04))
        if pointed:
            yield box((0.022, wide, wide * 0.7), (0, y, height + 0.04), (1.0, 0.05))
    for z in (0.25, 0.75):
        yield box((0.03, count * pitch, 0.08), (-0.024, 0, z * height))


def _rail_fence(rng: np.random.Generator) -> Iterator[Mesh]:
    height, long, rails = rng.uniform(0.8, 1.4), rng.uniform(3.0, 6.0), int(rng.integers(2, 5))
    radius, posts = rng.uniform(0.03, 0.06), int(rng.integers(3, 5))
    for k in range(posts):
        y = (k / (posts - 1) - 0.5) * long
        yield bar((0, y, 0), (0, y, height), radius * 1.4, None, 8)
    for k in range(rails):
        z = height * (k + 0.7) / rails
        sag = rng.normal(0, 0.03, 2)
        yield bar((radius, -long / 2 - 0.2, z + sag[0]), (radius, long / 2 + 0.2, z + sag[1]), radius)


def _grid_fence(rng: np.random.Generator) -> Iterator[Mesh]:
    height, long = rng.uniform(1.0, 2.2), rng.uniform(1.6, 3.2)
    pitch, wire = rng.uniform(0.08, 0.2), rng.uniform(0.006, 0.018)
    rows = 2 if rng.random() < 0.5 else int(height / rng.uniform(0.15, 0.4))
    columns = int(long / pitch)
    for k in range(columns + 1):
        y = (k / columns - 0.5) * long
        yield bar((0, y, 0.05), (0, y, height), wire, None, 4)
    for k in range(rows + 1):
        z = 0.06 + (height - 0.08) * k / rows
        yield bar((wire, -long / 2, z), (wire, long / 2, z), wire, None, 4)
    for side in (-1, 1):
        yield bar((0, side * long / 2, 0), (0, side * long / 2, height + 0.05), 0.03)


def _wall(rng: np.random.Generator) -> Iterator[Mesh]:
    long, height, deep = rng.uniform(1.0, 4.0), rng.uniform(0.5, 2.4), rng.uniform(0.12, 0.35)
    yield box((deep, long, height))
    if rng.random() < 0.5:
        yield box((deep + 0.08, long + 0.08, 0.07), (0, 0, height))


def _brick_pier(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, height = rng.uniform(0.3, 0.7), rng.uniform(1.0, 2.6)
    yield box((wide, wide, height))
    yield box((wide + 0.12, wide + 0.12, 0.1), (0, 0, height))
    if rng.random() < 0.4:
        yield ellipsoid((0, 0, height + 0.1 + wide * 0.3), wide * 0.35, 50)
    else:
        yield box((wide + 0.06, wide + 0.06, wide * 0.3), (0, 0, height + 0.1), (0.1, 0.1))


def _column(rng: np.random.Generator) -> Iterator[Mesh]:
    radius, height = rng.uniform(0.15, 0.45), rng.uniform(2.4, 5.0)
    if rng.random() < 0.3:
        yield box((2 * radius, 2 * radius, height))
        return
    yield box((radius * 2.8, radius * 2.8, 0.2))
    yield lathe(
        [(radius * 1.2, 0.2), (radius, 0.35), (radius * 0.85, height - 0.4), (radius * 1.2, height - 0.2)], sides=14
    )
    yield box((radius * 2.8, radius * 2.8, 0.2), (0, 0, height - 0.2))


def _window_frame(rng: np.random.Generator) -> Iterator[Mesh]:
    """Yield a piece of wall with a window that has a frame and often bars."""
    wide, high, sill = rng.uniform(0.8, 1.8), rng.uniform(0.9, 1.6), rng.uniform(0.4, 1.0)
    deep, wall = rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.9)
    yield box((deep, wide + 2 * wall, sill))
    yield box((deep, wide + 2 * wall, rng.uniform(0.2, 0.6)), (0, 0, sill + high))
    for side in (-1, 1):
        yield box((deep, wall, high), (0, side * (wide + wall) / 2, sill))
    frame = rng.uniform(0.04, 0.08)
    for k in range(int(rng.integers(0, 3))):
        count = k + 1
        yield box((frame, frame, high), (0, ((k + 1) / (count + 1) - 0.5) * wide, sill))
    if rng.random() < 0.5:
        yield box((frame, wide, frame), (0, 0, sill + high * rng.uniform(0.4, 0.7)))
    yield box((deep + 0.1, wide + 0.1, 0.05), (0.05, 0, sill - 0.02))


def _door_frame(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high, deep = rng.uniform(0.75, 1.4), rng.uniform(1.95, 2.3), rng.uniform(0.1, 0.3)
    wall = rng.uniform(0.08, 0.8)
    for side in (-1, 1):
        yield box((deep, wall, high), (0, side * (wide + wall) / 2, 0))
    yield box((deep, wide + 2 * wall, rng.uniform(0.08, 0.5)), (0, 0, high))
    if rng.random() < 0.5:  # a door that stands open
        angle, leaf = rng.uniform(0.3, 1.6), wide * 0.95
        x, y = np.sin(angle) * leaf, -wide / 2 + np.cos(angle) * leaf
        yield panel((0, -wide / 2), (x, y), 0.02, high - 0.02, 0.04)


def _bench(rng: np.random.Generator) -> Iterator[Mesh]:
    long, seat, deep = rng.uniform(1.1, 2.0), rng.uniform(0.4, 0.48), rng.uniform(0.35, 0.5)
    for k in range(3):
        yield box((deep / 3.6, long, 0.04), ((k - 1) * deep / 3, 0, seat))
    for side in (-1, 1):
        y = side * (long / 2 - 0.15)
        yield box((0.06, 0.06, seat), (deep * 0.38, y, 0))
        yield box((0.06, 0.06, seat + 0.02), (-deep * 0.38, y, 0))
        yield box((deep * 0.8, 0.06, 0.05), (0, y, seat - 0.05))
    if rng.random() < 0.75:
        high = rng.uniform(0.3, 0.45)
        for side in (-1, 1):
            y = side * (long / 2 - 0.15)
            yield bar((-deep * 0.4, y, seat), (-deep * 0.4 - 0.12, y, seat + high), 0.025, None, 5)
        for z in (0.35, 0.75):
            yield box((0.03, long, 0.1), (-deep * 0.4 - 0.12 * z, 0, seat + high * z))


def _parked_boxes(rng: np.random.Generator) -> Iterator[Mesh]:
    at = 0.0
    for _ in range(int(rng.integers(2, 5))):
        wide, deep, high = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.8)
        yield box((deep, wide, high), (rng.normal(0, 0.1), at, 0))
        if rng.random() < 0.5:
            top = rng.uniform(0.2, 0.5)
            yield box((deep * rng.uniform(0.5, 0.95), wide * rng.uniform(0.5, 0.95), top), (0, at, high))
        at += wide * rng.uniform(0.8, 1.2)


def _wheelie_bin(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high = rng.uniform(0.45, 0.6), rng.uniform(0.85, 1.05)
    for k in range(int(rng.integers(1, 4))):
        y = k * (wide + 0.1)
        yield box((wide * 0.85, wide * 0.8, high), (0, y, 0.06), (1.25, 1.2))
        yield box((wide * 1.15, wide * 1.02, 0.06), (0.02, y, high + 0.06), (0.9, 0.9))
        yield bar((-wide * 0.55, y - wide * 0.4, 0.1), (-wide * 0.55, y + wide * 0.4, 0.1), 0.1, None, 10)


def _bus_shelter(rng: np.random.Generator) -> Iterator[Mesh]:
    long, deep, high = rng.uniform(2.4, 4.0), rng.uniform(1.1, 1.6), rng.uniform(2.2, 2.6)
    for y in (-long / 2, long / 2):
        for x in (-deep / 2, deep / 2):
            yield bar((x, y, 0), (x, y, high), 0.04)
    yield box((deep + 0.3, long + 0.3, 0.1), (0, 0, high))
    if rng.random() < 0.6:
        yield box((deep * 0.7, 0.05, high * 0.75), (-deep * 0.15, -long / 2, 0.2))
    yield box((0.35, long * 0.6, 0.06), (-deep * 0.3, 0, 0.45))
    for y in (-long * 0.25, long * 0.25):
        yield bar((-deep * 0.3, y, 0), (-deep * 0.3, y, 0.46), 0.03)
    for z in (0.9, 1.4):
        yield bar((-deep / 2, -long / 2, z), (-deep / 2, long / 2, z), 0.025)


def _rock(rng: np.random.Generator) -> Iterator[Mesh]:
    size = rng.uniform(0.3, 1.1)
    for k in range(int(rng.integers(1, 4))):
        radii = size * rng.uniform(0.5, 1.1, 3) * (1.0 if k == 0 else 0.55)
        at = (0, 0 if k == 0 else rng.uniform(-1, 1) * size, radii[2] * rng.uniform(0.2, 0.5))
        yield _grounded(blob(rng, at, radii, 0.16, 34))


def _tall_grass(rng: np.random.Generator) -> Iterator[Mesh]:
    height, wide, deep = rng.uniform(0.4, 1.8), rng.uniform(0.4, 1.4), rng.uniform(0.15, 0.5)
    for _ in range(int(rng.integers(45, 80))):
        x, y = rng.uniform(-0.5, 0.5, 2) * (deep, wide)
        long, bend, away = height * rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.4), rng.uniform(0, 2 * np.pi)
        reach = bend * long * np.array((np.cos(away), np.sin(away)))
        path = [(x, y, 0.0), (x + reach[0] * 0.3, y + reach[1] * 0.3, long * 0.6), (x + reach[0], y + reach[1], long)]
        thick = rng.uniform(0.006, 0.016)
        yield tube(path, [thick, thick * 0.8, thick * 0.1], 3, (np.sin(away), -np.cos(away), 0), rounded=False)


OCCLUDERS: dict[str, Maker] = {
    "bench": _bench,
    "bollard": _bollard,
    "brick_pier": _brick_pier,
    "bus_shelter": _bus_shelter,
    "bush": _bush,
    "column": _column,
    "door_frame": _door_frame,
    "grid_fence": _grid_fence,
    "hedge": _hedge,
    "lamp_post": _lamp_post,
    "parked_boxes": _parked_boxes,
    "picket_fence": _picket_fence,
    "pole": _pole,
    "rail_fence": _rail_fence,
    "rock": _rock,
    "sign": _sign,
    "tall_grass": _tall_grass,
    "tree": _tree,
    "wall": _wall,
    "wheelie_bin": _wheelie_bin,
    "window_frame": _window_frame,
}
"""Static occluders by kind."""
