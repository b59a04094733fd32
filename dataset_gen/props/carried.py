"""Things that are carried, thrown or kicked, by kind: each function yields closed solids in metres.

A thing that is held in a hand has its long side along z.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataset_gen.families import Maker
from dataset_gen.solids import bar, box, ellipsoid, lathe, panel, torus, tube
from vidamodal.worlds.spec import Mesh


def _ball(rng: np.random.Generator) -> Iterator[Mesh]:
    radius = float(rng.choice((0.035, 0.08, 0.11, 0.12, 0.2, 0.35))) * rng.uniform(0.9, 1.1)
    stretch = rng.uniform(1.35, 1.6) if rng.random() < 0.12 else 1.0
    yield ellipsoid((0, 0, radius), (radius * stretch, radius, radius), 90)


def _handbag(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high, deep = rng.uniform(0.22, 0.4), rng.uniform(0.18, 0.38), rng.uniform(0.07, 0.14)
    yield box((wide, deep, high), taper=(rng.uniform(0.75, 1.1), 0.7))
    yield from _handle(wide * 0.5, high, rng.uniform(0.1, 0.3))


def _handle(wide: float, base: float, high: float) -> Iterator[Mesh]:
    """Yield a handle in the x-z plane above ``base``."""
    angles = np.linspace(0, np.pi, 7)
    path = [(wide / 2 * np.cos(a), 0.0, base - 0.02 + high * np.sin(a)) for a in angles]
    yield tube(path, [0.012] * 7, 5)


def _backpack(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high, deep = rng.uniform(0.26, 0.36), rng.uniform(0.36, 0.6), rng.uniform(0.14, 0.22)
    yield tube(
        [(0, 0, 0.08), (0, 0, high * 0.5), (0, 0, high - 0.08)],
        [(wide / 2, deep / 2), (wide / 1.9, deep / 1.8), (wide / 2.3, deep / 2.4)],
        12,
    )
    yield tube([(-deep * 0.55, 0, 0.1), (-deep * 0.6, 0, high * 0.45)], [(wide * 0.35, 0.05)] * 2, 8)
    for side in (-1, 1):
        y = side * wide * 0.25
        path = [(deep * 0.4, y, high - 0.06), (deep * 0.75, y, high * 0.7), (deep * 0.4, y, high * 0.2)]
        yield tube(path, [0.02] * 3, 5)


def _suitcase(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high, deep = rng.uniform(0.35, 0.5), rng.uniform(0.5, 0.75), rng.uniform(0.2, 0.3)
    yield box((wide, deep, high), (0, 0, 0.05))
    for x in (-0.4, 0.4):
        yield bar((x * wide, -deep * 0.45, 0.03), (x * wide, deep * 0.45, 0.03), 0.03, None, 8)
    if rng.random() < 0.6:
        high += rng.uniform(0.25, 0.4)
        for x in (-0.09, 0.09):
            yield bar((x, 0, 0.4), (x, 0, high), 0.01, None, 5)
        yield bar((-0.1, 0, high), (0.1, 0, high), 0.016, None, 5)
    else:
        yield from _handle(wide * 0.35, high + 0.05, 0.06)


def _parcel(rng: np.random.Generator) -> Iterator[Mesh]:
    yield box(rng.uniform(0.15, 0.6, 3))


def _racket(rng: np.random.Generator) -> Iterator[Mesh]:
    """Yield a tennis, badminton or table-tennis racket; strings count as part of it."""
    if rng.random() < 0.3:
        yield tube([(0, 0, 0.02), (0, 0, 0.1)], [(0.013, 0.016)] * 2, 6)
        radius = rng.uniform(0.075, 0.085)
        yield bar((0, -0.009, 0.09 + radius), (0, 0.009, 0.09 + radius), radius, None, 16)
        return
    grip, wide, high = rng.uniform(0.25, 0.38), rng.uniform(0.1, 0.13), rng.uniform(0.13, 0.17)
    yield bar((0, 0, 0), (0, 0, grip), 0.016, 0.012)
    ring = torus((0, 0, 0), 1.0, 0.09, segments=18, sides=4)
    middle = np.array((0, 0, grip + high))
    yield Mesh(ring.vertices * (wide, 0.1, high) + middle, ring.faces)
    for k in range(-3, 4):
        reach = np.sqrt(1 - (k / 4) ** 2)
        yield bar(
            (wide * k / 4, 0, grip + high * (1 - reach)), (wide * k / 4, 0, grip + high * (1 + reach)), 0.002, None, 3
        )
        yield bar(
            (-wide * reach, 0, grip + high * (1 + k / 4)), (wide * reach, 0, grip + high * (1 + k / 4)), 0.002, None, 3
        )


def _bat(rng: np.random.Generator) -> Iterator[Mesh]:
    long = rng.uniform(0.7, 1.0)
    if rng.random() < 0.5:
        yield lathe([(0.025, 0), (0.014, 0.03), (0.014, long * 0.35), (0.033, long * 0.8), (0.02, long)], sides=10)
        return
    yield bar((0, 0, 0), (0, 0, long * 0.35), 0.018, None, 8)
    yield box((0.11, 0.05, long * 0.62), (0, 0, long * 0.34))


def _stick(rng: np.random.Generator) -> Iterator[Mesh]:
    long, radius = rng.uniform(0.7, 1.9), rng.uniform(0.008, 0.022)
    yield bar((0, 0, 0), (0, 0, long), radius, radius * rng.uniform(0.6, 1.0))
    form = rng.integers(4)
    if form == 0:  # a crook
        path = [(0.06 * (1 - np.cos(a)), 0.0, long + 0.06 * np.sin(a)) for a in np.linspace(0, np.pi, 6)]
        yield tube(path, [radius] * 6, 6)
    elif form == 1:  # a hockey stick
        yield box((0.28, 0.025, 0.06), (0.12, 0, 0))
    elif form == 2:  # a broom
        yield box((0.08, 0.32, 0.2), taper=(0.5, 0.6))


def _umbrella(rng: np.random.Generator) -> Iterator[Mesh]:
    """Yield an open umbrella with a handle, or a closed one."""
    long = rng.uniform(0.75, 0.95)
    hook = [(0.035 * (1 - np.cos(a)), 0.0, 0.04 - 0.035 * np.sin(a)) for a in np.linspace(0, np.pi, 5)]
    yield tube(hook, [0.011] * 5, 5)
    yield bar((0, 0, 0.03), (0, 0, long + 0.06), 0.009, None, 5)
    if rng.random() < 0.25:
        yield lathe([(0.02, 0.15), (0.04, 0.25), (0.02, long)], sides=8)
        return
    radius, drop, sides = rng.uniform(0.45, 0.65), rng.uniform(0.2, 0.32), int(rng.integers(8, 11))
    bow = [(np.sin(a), 1 - np.cos(a)) for a in np.linspace(0.12, 1.35, 5)]
    widest, deepest = bow[-1]
    outer = [(radius * r / widest, long - drop * d / deepest) for r, d in reversed(bow)]
    inner = [(0.99 * r, z - 0.012) for r, z in outer]
    yield lathe([*inner[::-1], *outer], sides=sides)


def _water_bottle(rng: np.random.Generator) -> Iterator[Mesh]:
    radius, high = rng.uniform(0.03, 0.05), rng.uniform(0.17, 0.32)
    yield lathe([(radius, 0), (radius, high * 0.65), (radius * 0.4, high * 0.85), (radius * 0.4, high)], sides=10)


def _book(rng: np.random.Generator) -> Iterator[Mesh]:
    wide, high = rng.uniform(0.12, 0.24), rng.uniform(0.18, 0.34)
    if rng.random() < 0.5:
        yield box((wide, rng.uniform(0.015, 0.05), high))
        return
    angle = rng.uniform(0.2, 0.7)
    for side in (-1, 1):  # an open book
        x, y = side * wide * np.cos(angle), wide * np.sin(angle)
        yield panel((0.0, 0.0), (x, y), 0.0, high, 0.012)


def _balloon(rng: np.random.Generator) -> Iterator[Mesh]:
    radius, long = rng.uniform(0.12, 0.2), rng.uniform(0.3, 1.3)
    yield tube([(0, 0, 0), (0.03, 0, long * 0.5), (0, 0, long)], [0.004] * 3, 4)
    rise = radius * rng.uniform(1.0, 1.3)
    yield lathe(
        [
            (0.01, long),
            (radius * 0.6, long + rise * 0.45),
            (radius * 0.95, long + rise),
            (radius, long + rise * 1.3),
            (radius * 0.75, long + rise * 1.9),
            (0.1 * radius, long + rise * 2.15),
        ],
        sides=14,
    )


def _hoop(rng: np.random.Generator) -> Iterator[Mesh]:
    radius, thick = rng.uniform(0.3, 0.48), rng.uniform(0.01, 0.02)
    yield torus((0, 0, radius + thick), radius, thick, (1, 0, 0), 24)


def _frisbee(rng: np.random.Generator) -> Iterator[Mesh]:
    radius = rng.uniform(0.1, 0.15)
    yield lathe([(radius * 0.95, 0), (radius, 0.01), (radius * 0.85, 0.03)], sides=18)


CARRIED: dict[str, Maker] = {
    "backpack": _backpack,
    "ball": _ball,
    "balloon": _balloon,
    "bat": _bat,
    "book": _book,
    "frisbee": _frisbee,
    "handbag": _handbag,
    "hoop": _hoop,
    "parcel": _parcel,
    "racket": _racket,
    "stick": _stick,
    "suitcase": _suitcase,
    "umbrella": _umbrella,
    "water_bottle": _water_bottle,
}
"""Carried, thrown and kicked things by kind."""
