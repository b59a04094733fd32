"""Furniture by kind: each function yields closed solids in metres. Seats face +x, as do screens and shelves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataset_gen.families import Maker
from dataset_gen.solids import bar, blob, box, ellipsoid, lathe, tube
from vidamodal.worlds.spec import Mesh


def _legs(deep: float, wide: float, high: float, radius: float, splay: float = 0.0) -> Iterator[Mesh]:
    """Yield four legs below a board of ``deep`` along x and ``wide`` along y; they lean outwards by ``splay``."""
    for x in (-1, 1):
        for y in (-1, 1):
            top = (x * (deep / 2 - radius), y * (wide / 2 - radius), high)
            yield bar((top[0] + x * splay, top[1] + y * splay, 0.0), top, radius * 0.8, radius, 5)


def _dining_chair(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, seat = rng.uniform(0.38, 0.46), rng.uniform(0.38, 0.48), rng.uniform(0.42, 0.48)
    back, lean = rng.uniform(0.35, 0.6), rng.uniform(0.02, 0.12)
    yield from _legs(deep, wide, seat, rng.uniform(0.014, 0.024), rng.uniform(0, 0.06))
    yield box((deep, wide, rng.uniform(0.025, 0.07)), (0, 0, seat))
    x, top = -deep / 2 + 0.02, seat + back
    posts = [(x - lean * z / back, z + seat) for z in (0.0, back)]
    for side in (-1, 1):
        y = side * (wide / 2 - 0.02)
        yield bar((posts[0][0], y, seat), (posts[1][0], y, top), 0.016, None, 5)
    form = rng.integers(3)
    if form == 0:
        for share in (0.35, 0.65, 0.95):
            yield box((0.02, wide - 0.03, 0.06), (x - lean * share, 0, seat + back * share - 0.05))
    elif form == 1:
        yield box((0.022, wide - 0.02, 0.08), (posts[1][0], 0, top - 0.07))
        for y in np.linspace(-0.32, 0.32, 4) * wide:
            yield bar((x, y, seat), (posts[1][0], y, top - 0.03), 0.009, None, 4)
    else:
        yield tube(
            [(x - lean * 0.35, 0, seat + back * 0.35), (x - lean, 0, top)], [(wide / 2, 0.014)] * 2, 8, rounded=False
        )


def _armchair(rng: np.random.Generator) -> Iterator[Mesh]:
    yield from _upholstered(rng, rng.uniform(0.75, 1.0))


def _sofa(rng: np.random.Generator) -> Iterator[Mesh]:
    yield from _upholstered(rng, rng.uniform(1.4, 2.4))


def _upholstered(rng: np.random.Generator, wide: float) -> Iterator[Mesh]:
    deep, seat, back = rng.uniform(0.75, 0.95), rng.uniform(0.36, 0.45), rng.uniform(0.75, 1.0)
    foot, arm = rng.uniform(0.03, 0.14), rng.uniform(0.1, 0.22)
    yield from _legs(deep * 0.9, wide * 0.95, foot + 0.02, 0.03)
    yield box((deep, wide, seat - foot), (0, 0, foot))
    yield tube(
        [(-deep / 2 + 0.12, 0, seat - 0.1), (-deep / 2 + 0.04, 0, back - 0.1)],
        [(wide / 2, 0.12), (wide / 2 - 0.02, 0.1)],
        12,
    )
    for side in (-1, 1):
        y = side * (wide - arm) / 2
        yield box((deep * 0.95, arm, seat + rng.uniform(0.12, 0.22) - foot), (0, y, foot), (0.95, 0.9))
        yield bar((-deep * 0.42, y, seat + 0.17), (deep * 0.42, y, seat + 0.17), arm * 0.55, None, 8)
    cushions = max(1, round(wide / 0.8))
    inside = wide - 2 * arm
    for k in range(cushions):
        y = ((k + 0.5) / cushions - 0.5) * inside
        yield box((deep * 0.7, inside / cushions * 0.96, 0.14), (0.08, y, seat - 0.02), (0.95, 0.95))


def _office_chair(rng: np.random.Generator) -> Iterator[Mesh]:
    seat, reach = rng.uniform(0.42, 0.52), rng.uniform(0.26, 0.34)
    for angle in np.arange(5) * 2 * np.pi / 5:
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        yield bar((0, 0, 0.12), (x, y, 0.08), 0.03, 0.02, 5)
        yield ellipsoid((x, y, 0.035), (0.03, 0.03, 0.035), 14)
    yield bar((0, 0, 0.1), (0, 0, seat), 0.028)
    yield tube([(-0.18, 0, seat + 0.03), (0.2, 0, seat + 0.03)], [(0.24, 0.04)] * 2, 10)
    high = rng.uniform(0.45, 0.7)
    yield bar((-0.18, 0, seat), (-0.27, 0, seat + 0.25), 0.025)
    yield tube(
        [(-0.25, 0, seat + 0.18), (-0.29, 0, seat + high * 0.6), (-0.27, 0, seat + high)],
        [(0.2, 0.035), (0.22, 0.035), (0.17, 0.03)],
        10,
    )
    if rng.random() < 0.7:
        for y in (-0.26, 0.26):
            yield tube([(0.0, y * 0.8, seat), (0.0, y, seat + 0.1), (0.0, y, seat + 0.2)], [0.016] * 3, 5, (1, 0, 0))
            yield box((0.24, 0.06, 0.03), (0, y, seat + 0.2))


def _stool(rng: np.random.Generator) -> Iterator[Mesh]:
    high, wide = rng.uniform(0.4, 0.8), rng.uniform(0.28, 0.4)
    yield from _legs(wide * 0.8, wide * 0.8, high, 0.016, rng.uniform(0.0, 0.08))
    yield lathe([(wide / 2, high), (wide / 2, high + 0.04)], sides=14)
    if high > 0.55:
        z, half = high * 0.35, wide * 0.44
        for side in (-1, 1):
            yield bar((side * half, -half, z), (side * half, half, z), 0.01, None, 4)
            yield bar((-half, side * half, z), (half, side * half, z), 0.01, None, 4)


def _dining_table(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high, thick = rng.uniform(0.8, 2.2), rng.uniform(0.7, 0.78), rng.uniform(0.02, 0.06)
    if rng.random() < 0.35:  # a round table on a column
        radius = wide * 0.4
        yield lathe([(radius, high - thick), (radius, high)], sides=20)
        yield lathe([(radius * 0.55, 0), (0.05, 0.06), (0.04, high - thick)], sides=10)
        return
    deep = rng.uniform(0.7, 1.0)
    yield box((deep, wide, thick), (0, 0, high - thick))
    yield from _legs(deep * 0.95, wide * 0.96, high - thick, rng.uniform(0.02, 0.045))
    yield box((deep * 0.85, wide * 0.86, 0.07), (0, 0, high - thick - 0.07))


def _coffee_table(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.45, 0.7), rng.uniform(0.6, 1.3), rng.uniform(0.32, 0.5)
    yield box((deep, wide, 0.04), (0, 0, high - 0.04))
    yield from _legs(deep, wide, high - 0.04, 0.022, rng.uniform(0, 0.05))
    if rng.random() < 0.4:
        yield box((deep * 0.9, wide * 0.9, 0.025), (0, 0, high * 0.3))


def _desk(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.55, 0.8), rng.uniform(1.1, 1.7), rng.uniform(0.7, 0.77)
    yield box((deep, wide, 0.04), (0, 0, high - 0.04))
    yield box((deep * 0.9, 0.4, high - 0.1), (0, wide / 2 - 0.22, 0.06))
    for x in (-1, 1):
        yield bar((x * (deep / 2 - 0.04), -wide / 2 + 0.05, 0), (x * (deep / 2 - 0.04), -wide / 2 + 0.05, high), 0.022)
    if rng.random() < 0.6:
        yield box((0.18, 0.26, 0.015), (-0.1, -0.1, high))
        yield bar((-0.12, -0.1, high), (-0.12, -0.1, high + 0.2), 0.02)
        yield box((0.03, rng.uniform(0.45, 0.7), 0.36), (-0.1, -0.1, high + 0.12))


def _bed(rng: np.random.Generator) -> Iterator[Mesh]:
    long, wide, high = rng.uniform(1.9, 2.1), rng.uniform(0.85, 1.8), rng.uniform(0.25, 0.4)
    yield from _legs(long, wide, high, 0.035)
    yield box((long, wide, 0.12), (0, 0, high - 0.1))
    yield box((long * 0.98, wide * 0.97, rng.uniform(0.15, 0.24)), (0, 0, high), (0.97, 0.95))
    yield box((0.06, wide, high + rng.uniform(0.4, 0.7)), (-long / 2, 0, 0.1))
    for y in (0.0,) if wide < 1.2 else (-wide / 4, wide / 4):
        yield tube(
            [(-long / 2 + 0.3, y - 0.2, high + 0.24), (-long / 2 + 0.3, y + 0.2, high + 0.24)],
            [(0.18, 0.08)] * 2,
            8,
            (1, 0, 0),
        )
    if rng.random() < 0.5:
        yield box((0.05, wide, high + 0.15), (long / 2, 0, 0))


def _shelf(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.25, 0.4), rng.uniform(0.5, 1.4), rng.uniform(0.8, 2.1)
    boards, back = int(rng.integers(3, 7)), rng.random() < 0.5
    for side in (-1, 1):
        yield box((deep, 0.025, high), (0, side * wide / 2, 0))
    for k in range(boards):
        z = (high - 0.03) * k / (boards - 1)
        yield box((deep, wide, 0.025), (0, 0, z))
        y = -wide / 2 + 0.03
        while k < boards - 1 and y < wide / 2 - 0.1 and not back:
            thick = rng.uniform(0.02, 0.12)
            if rng.random() < 0.75:
                yield box((deep * 0.8, thick, (high / boards) * rng.uniform(0.4, 0.8)), (0, y + thick / 2, z + 0.02))
            y += thick * rng.uniform(1.0, 2.0)
    if back:
        yield box((0.02, wide, high), (-deep / 2, 0, 0))


def _wardrobe(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.5, 0.65), rng.uniform(0.8, 1.8), rng.uniform(1.7, 2.2)
    yield box((deep, wide, high), (0, 0, 0.06))
    yield box((deep * 0.95, wide * 0.96, 0.07))
    yield box((deep + 0.06, wide + 0.06, 0.05), (0, 0, high + 0.06))


def _chest(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.35, 0.55), rng.uniform(0.5, 1.4), rng.uniform(0.5, 1.0)
    yield box((deep, wide, high), (0, 0, 0.1))
    yield from _legs(deep, wide, 0.12, 0.025)
    for k in range(int(rng.integers(2, 5))):
        yield box((0.04, 0.12, 0.02), (deep / 2 + 0.02, 0, 0.2 + 0.2 * k))


def _floor_lamp(rng: np.random.Generator) -> Iterator[Mesh]:
    high, shade = rng.uniform(1.3, 1.8), rng.uniform(0.16, 0.28)
    yield lathe([(rng.uniform(0.12, 0.17), 0), (0.12, 0.025), (0.014, 0.05), (0.014, high)], sides=10)
    at, top = (0.0, 0.0, 0.0), shade * rng.uniform(0.45, 0.9)
    if rng.random() < 0.35:
        reach = rng.uniform(0.3, 0.7)
        yield tube([(0, 0, high), (reach * 0.5, 0, high + 0.2), (reach, 0, high + 0.15)], [0.014] * 3, 5)
        at = (reach, 0.0, -0.05)
    yield lathe([(shade, high - 0.05), (top, high + rng.uniform(0.2, 0.3))], at, 14)


def _plant(rng: np.random.Generator) -> Iterator[Mesh]:
    pot, high = rng.uniform(0.12, 0.24), rng.uniform(0.2, 0.4)
    yield lathe([(pot * 0.75, 0), (pot, high), (pot * 1.1, high), (pot * 1.1, high + 0.03)], sides=12)
    form, tall = rng.integers(3), rng.uniform(0.4, 1.2)
    if form == 0:
        for _ in range(int(rng.integers(12, 24))):  # long bent leaves
            away, reach = rng.uniform(0, 2 * np.pi), tall * rng.uniform(0.2, 0.7)
            out = np.array((np.cos(away), np.sin(away), 0.0))
            bend = rng.uniform(0.5, 1.0)
            path = np.array([(0, 0, high), (0, 0, high + tall * 0.6), (0, 0, high + tall * bend)])
            path[1:] += np.outer((0.35 * reach, reach), out)
            leaf = [(0.012, 0.008), (rng.uniform(0.02, 0.05), 0.006), (0.003, 0.003)]
            yield tube(path, leaf, 5, (-np.sin(away), np.cos(away), 0.0), rounded=False)
    elif form == 1:
        yield bar((0, 0, high), (0, 0, high + tall), 0.02, 0.015, 6)
        for _ in range(int(rng.integers(3, 7))):
            yield blob(rng, rng.normal(0, 0.12, 3) + (0, 0, high + tall), rng.uniform(0.12, 0.25), 0.3, 30)
    else:
        yield blob(rng, (0, 0, high + tall * 0.4), (pot * 1.3, pot * 1.3, tall * 0.45), 0.3, 60)


def _carton(rng: np.random.Generator) -> Iterator[Mesh]:
    deep, wide, high = rng.uniform(0.25, 0.6, 3)
    yield box((deep, wide, high))
    if rng.random() < 0.5:  # open flaps
        for side in (-1, 1):
            flap = [(side * deep / 2, 0, high - 0.01), (side * (deep / 2 + 0.18), 0, high + rng.uniform(-0.1, 0.12))]
            yield tube(flap, [(wide / 2, 0.006)] * 2, 4, rounded=False)


def _bin(rng: np.random.Generator) -> Iterator[Mesh]:
    radius, high = rng.uniform(0.12, 0.25), rng.uniform(0.3, 0.75)
    yield lathe([(radius * 0.8, 0), (radius, high)], sides=14)
    if rng.random() < 0.5:
        yield lathe([(radius * 1.03, high), (radius, high + 0.04), (radius * 0.5, high + 0.1)], sides=14)


def _television(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, stand = rng.uniform(0.7, 1.5), rng.uniform(0.35, 0.6)
    deep, long = rng.uniform(0.35, 0.45), wide * rng.uniform(0.9, 1.4)
    yield from _legs(deep, long, 0.12, 0.025)
    yield box((deep, long, stand - 0.1), (0, 0, 0.1))
    yield box((0.2, wide * 0.4, 0.015), (0, 0, stand))
    yield bar((0, 0, stand), (0, 0, stand + 0.15), 0.03)
    yield box((0.05, wide, wide * 0.57), (0, 0, stand + 0.08))


FURNITURE: dict[str, Maker] = {
    "armchair": _armchair,
    "bed": _bed,
    "bin": _bin,
    "carton": _carton,
    "chest": _chest,
    "coffee_table": _coffee_table,
    "desk": _desk,
    "dining_chair": _dining_chair,
    "dining_table": _dining_table,
    "floor_lamp": _floor_lamp,
    "office_chair": _office_chair,
    "plant": _plant,
    "shelf": _shelf,
    "sofa": _sofa,
    "stool": _stool,
    "television": _television,
    "wardrobe": _wardrobe,
}
"""Furniture by kind."""
