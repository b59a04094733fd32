"""Kinds of vehicles: functions that draw one of true size, facing +x with its wheels on z = 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dataset_gen.actors.cycle_kinds import bicycle, kick_scooter, moped, motorcycle, skateboard
from dataset_gen.actors.vehicle_frames import Frame, Section, Workshop, body
from dataset_gen.solids import bar, box, ellipsoid, panel, skin_rings, tube

Profile = Sequence[tuple[float, float]]
"""x in lengths from the middle, and height of the outline in heights, from the rear to the front."""

_PROFILES: dict[str, Profile] = {
    "hatchback": (
        (-0.5, 0.42), (-0.49, 0.6), (-0.46, 0.72), (-0.38, 0.95), (-0.16, 1), (0.02, 0.98), (0.08, 0.93),
        (0.25, 0.67), (0.44, 0.58), (0.49, 0.5), (0.5, 0.38),
    ),
    "saloon": (
        (-0.5, 0.42), (-0.49, 0.62), (-0.46, 0.68), (-0.34, 0.71), (-0.19, 0.96), (-0.04, 1), (0.06, 0.95),
        (0.2, 0.69), (0.43, 0.6), (0.49, 0.5), (0.5, 0.38),
    ),
    "estate": (
        (-0.5, 0.42), (-0.49, 0.62), (-0.47, 0.72), (-0.42, 0.96), (-0.16, 1), (0, 0.98), (0.07, 0.94),
        (0.22, 0.69), (0.43, 0.6), (0.49, 0.5), (0.5, 0.38),
    ),
    "suv": (
        (-0.5, 0.4), (-0.49, 0.58), (-0.48, 0.7), (-0.43, 0.96), (-0.16, 1), (0.04, 0.98), (0.09, 0.93),
        (0.2, 0.68), (0.45, 0.62), (0.49, 0.55), (0.5, 0.38),
    ),
    "pickup": (
        (-0.5, 0.4), (-0.49, 0.6), (-0.48, 0.61), (-0.13, 0.61), (-0.12, 0.7), (-0.09, 0.97), (0.06, 1),
        (0.12, 0.94), (0.22, 0.66), (0.45, 0.6), (0.49, 0.52), (0.5, 0.38),
    ),
    "van": (
        (-0.5, 0.3), (-0.495, 0.6), (-0.49, 0.95), (-0.46, 0.99), (-0.1, 1), (0.22, 0.98), (0.3, 0.92),
        (0.4, 0.62), (0.47, 0.5), (0.49, 0.4), (0.5, 0.28),
    ),
}  # fmt: skip

_SIZES = {
    "hatchback": ((3.6, 4.3), (1.42, 1.55), 1.75),
    "saloon": ((4.3, 5.0), (1.4, 1.5), 1.82),
    "estate": ((4.4, 4.9), (1.42, 1.52), 1.8),
    "suv": ((4.2, 4.9), (1.6, 1.85), 1.9),
    "pickup": ((4.9, 5.5), (1.7, 1.9), 1.9),
    "van": ((4.6, 5.9), (1.9, 2.6), 1.95),
}
"""Range of lengths and heights, and the width, in metres."""


def _car(form: str) -> Callable[[np.random.Generator], Frame]:
    def draw(rng: np.random.Generator) -> Frame:
        (short, long), (low, high), wide = _SIZES[form]
        return _drawn_car(rng, form, rng.uniform(short, long), rng.uniform(low, high), wide * rng.uniform(0.95, 1.05))

    return draw


def _drawn_car(rng: np.random.Generator, form: str, length: float, height: float, width: float) -> Frame:
    shop = Workshop()
    sill = rng.uniform(0.17, 0.24) + (0.08 if form in ("suv", "pickup") else 0.0)
    belt = 0.64 * height if form != "van" else 0.58 * height
    sections = []
    for x, outline in _PROFILES[form]:
        top = outline * height
        end = 1 - 0.12 * max(0.0, (abs(x) - 0.4) / 0.1)
        narrow = 0.80 if form != "van" else 0.92
        roof = 1.0 - (1.0 - narrow) * np.clip((top - belt) / (height - belt), 0, 1)
        low = sill + 0.25 * height * max(0.0, (abs(x) - 0.48) / 0.02) * 0.4
        sections.append(
            Section(x * length, low, min(belt, top * 0.97), top, width / 2 * end, width / 2 * end * float(roof))
        )
    shop.add(body(sections))
    radius = rng.uniform(0.29, 0.33) + (0.05 if form in ("suv", "pickup", "van") else 0.0)
    for x in (rng.uniform(0.29, 0.33), -rng.uniform(0.27, 0.32)):
        for side in (-1, 1):
            shop.wheel(x * length, side * (width / 2 - 0.10), radius, 0.21)
    for side in (-1, 1):
        shop.add(ellipsoid((0.16 * length, side * (width / 2 + 0.07), belt + 0.05), (0.08, 0.11, 0.08), 20))
    if form in ("suv", "estate") and rng.random() < 0.4:
        for side in (-1, 1):
            y = side * width * 0.34
            shop.add(bar((-0.35 * length, y, height + 0.04), (0.0, y, height + 0.04), 0.025, None, 5))
    return shop.frame()


def _box_body(shop: Workshop, length: float, low: float, high: float, wide: float, rake: float) -> None:
    """Add the rounded box of a bus or tram; ``rake`` is how far its front leans back."""
    xs = (-length / 2, -length / 2 + 0.1, length / 2 - rake - 0.2, length / 2 - 0.05, length / 2)
    tops = (high * 0.96, high, high, high * 0.62 + low * 0.3, high * 0.45)
    halves = (wide * 0.48, wide / 2, wide / 2, wide / 2, wide * 0.46)
    shop.add(
        body(
            [
                Section(x, low, min(top, high * 0.6), top, w, w * 0.95)
                for x, top, w in zip(xs, tops, halves, strict=True)
            ]
        )
    )


def _bus(rng: np.random.Generator) -> Frame:
    shop, length, wide = Workshop(), rng.uniform(8.0, 12.5), rng.uniform(2.4, 2.6)
    high = rng.uniform(2.9, 3.2) if rng.random() < 0.8 else rng.uniform(4.1, 4.4)
    _box_body(shop, length, 0.32, high, wide, rng.uniform(0.05, 0.4))
    for x in (0.28, -0.27, *((-0.36,) if length > 11.5 else ())):
        for side in (-1, 1):
            shop.wheel(x * length, side * (wide / 2 - 0.16), 0.48, 0.3)
    for side in (-1, 1):
        shop.add(box((0.1, 0.16, 0.4), (length / 2 + 0.15, side * (wide / 2 + 0.05), high * 0.62)))
        shop.add(
            bar(
                (length / 2 - 0.1, side * wide * 0.45, high * 0.9),
                (length / 2 + 0.15, side * (wide / 2 + 0.05), high * 0.75),
                0.03,
                None,
                5,
            )
        )
    return shop.frame()


def _lorry(rng: np.random.Generator) -> Frame:
    shop, length, wide = Workshop(), rng.uniform(5.8, 9.5), rng.uniform(2.2, 2.5)
    cab, high = rng.uniform(1.7, 2.2), rng.uniform(2.5, 3.0)
    front = length / 2
    cabin = [(front - cab, 0.97), (front - cab + 0.15, 1.0), (front - 0.5, 0.99), (front - 0.1, 0.55), (front, 0.42)]
    shop.add(
        body([Section(x, 0.45, min(1.5, top * high * 0.95), top * high, wide / 2, wide * 0.46) for x, top in cabin])
    )
    shop.add(box((length, 0.9, 0.2), (-0.2, 0, 0.65)))
    deck = length - cab - rng.uniform(0.15, 0.4)
    middle = -length / 2 + deck / 2
    form = rng.integers(3)
    if form == 0:
        shop.add(box((deck, wide + 0.1, rng.uniform(2.0, 2.7)), (middle, 0, 0.95)))
    elif form == 1:
        shop.add(box((deck, wide, 0.12), (middle, 0, 0.9)))
        for side in (-1, 1):
            shop.add(box((deck, 0.06, 0.5), (middle, side * wide / 2, 1.0)))
        for _ in range(3):
            load = rng.uniform(0.5, 1.3, 3)
            shop.add(box(load, (middle + rng.uniform(-0.35, 0.35) * deck, 0, 1.0)))
    else:
        shop.add(tube([(middle - deck / 2 + 0.5, 0, 1.9), (middle + deck / 2 - 0.5, 0, 1.9)], [0.95, 0.95], 14))
    for x in (front - cab * 0.55, -length * 0.28, *((-length * 0.28 - 1.1,) if length > 8 else ())):
        for side in (-1, 1):
            shop.wheel(x, side * (wide / 2 - 0.17), 0.47, 0.3)
    return shop.frame()


def _tram(rng: np.random.Generator) -> Frame:
    shop, length, wide, high = Workshop(), rng.uniform(13.0, 19.0), 2.4, rng.uniform(3.2, 3.5)
    cars = int(rng.integers(1, 3))
    for k in range(cars):
        size = length / cars - 0.4
        at = (k - (cars - 1) / 2) * length / cars
        xs = (-0.5, -0.47, -0.42, 0.42, 0.47, 0.5)
        tops = (0.55, 0.95, 1.0, 1.0, 0.95, 0.55)
        shop.add(
            body(
                [
                    Section(at + x * size, 0.3, min(2.0, t * high * 0.97), t * high, wide / 2, wide * 0.45)
                    for x, t in zip(xs, tops, strict=True)
                ]
            )
        )
        for x in (-0.3, 0.3):
            for side in (-1, 1):
                shop.wheel(at + x * size, side * 0.72, 0.33, 0.14)
    if cars > 1:
        shop.add(box((0.6, 2.0, 2.4), (0, 0, 0.5)))
    shop.add(bar((0.5, 0, high), (-0.4, 0, high + 0.5), 0.04), bar((-0.4, 0, high + 0.5), (0.3, 0, high + 1.0), 0.04))
    shop.add(box((0.1, 1.4, 0.05), (0.3, 0, high + 1.0)))
    return shop.frame()


def _tractor(rng: np.random.Generator) -> Frame:
    shop, size = Workshop(), rng.uniform(0.85, 1.15)
    hood, rear = 1.35 * size, 0.75 * size
    shop.add(box((1.7 * size, 0.65 * size, 0.75 * size), (0.75 * size, 0, 0.6 * size), (0.95, 0.85)))
    shop.add(box((1.1 * size, 0.8 * size, 0.6 * size), (-0.5 * size, 0, 0.55 * size)))
    for x in (-1.05, 0.0):
        for side in (-1, 1):
            shop.add(
                bar(
                    (x * size, side * 0.45 * size, 1.1 * size),
                    (x * size * 0.9, side * 0.42 * size, 2.3 * size),
                    0.045 * size,
                )
            )
    shop.add(box((1.25 * size, 1.05 * size, 0.1 * size), (-0.5 * size, 0, 2.28 * size)))
    shop.add(box((0.4 * size, 0.45 * size, 0.5 * size), (-0.6 * size, 0, 1.1 * size)))
    shop.add(bar((0.9 * size, 0.2 * size, hood), (0.9 * size, 0.2 * size, hood + 0.8 * size), 0.045 * size))
    shop.add(bar((0.05 * size, 0, 1.2 * size), (-0.15 * size, 0, 1.5 * size), 0.2 * size, None, 8))
    for side in (-1, 1):
        shop.wheel(-0.65 * size, side * 0.7 * size, rear, 0.4 * size)
        shop.wheel(1.2 * size, side * 0.6 * size, 0.45 * size, 0.25 * size)
    return shop.frame()


def _pram(rng: np.random.Generator) -> Frame:
    """Draw a pushchair or a pram with a hood; whoever pushes it walks behind the handle."""
    shop, wide = Workshop(), rng.uniform(0.45, 0.55)
    seat, handle = rng.uniform(0.5, 0.65), rng.uniform(0.95, 1.05)
    front, back = 0.38, -0.35
    shop.add(
        tube(
            [(-0.28, 0, seat + 0.06), (0.0, 0, seat), (0.36, 0, seat + 0.04)],
            [(wide * 0.42, 0.14), (wide * 0.44, 0.17), (wide * 0.4, 0.1)],
            10,
        )
    )
    arc = [(-0.3 + 0.34 * np.cos(a), 0, seat + 0.1 + 0.36 * np.sin(a)) for a in np.linspace(3.3, 1.2, 6)]
    shop.add(tube(arc, [(wide * 0.42, 0.03)] * 6, 6))
    for side in (-1, 1):
        y = side * wide / 2
        shop.add(bar((front, y, 0.13), (back - 0.1, y, handle), 0.013, None, 5))
        shop.add(bar((back, y, 0.16), (0.15, y, seat), 0.013, None, 5))
        shop.spoked_wheel(front, y, 0.11, 0.02, 2)
        shop.spoked_wheel(back, y, rng.uniform(0.13, 0.2), 0.02, 4)
    shop.add(bar((back - 0.1, -wide / 2, handle), (back - 0.1, wide / 2, handle), 0.018))
    shop.add(bar((back, -wide / 2, 0.15), (back, wide / 2, 0.15), 0.012, None, 5))
    return shop.frame()


def _trolley(rng: np.random.Generator) -> Frame:
    """Draw a shopping trolley: a basket of wires on castors."""
    shop, wide, long = Workshop(), rng.uniform(0.48, 0.58), rng.uniform(0.75, 0.95)
    low, high = 0.5, rng.uniform(0.92, 1.02)
    rings = [(low, 0.42, 0.42), (low + (high - low) * 0.5, 0.46, 0.46), (high, 0.5, 0.5)]
    for z, x, y in rings:
        corners = [
            (x * long, y * wide, z),
            (-x * long, y * wide, z),
            (-x * long, -y * wide, z),
            (x * long, -y * wide, z),
        ]
        for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
            shop.add(bar(a, b, 0.008, None, 4))
    wires = [(k, side) for k in np.linspace(-1, 1, 8) for side in (-1, 1)]
    wires += [(side, k) for k in np.linspace(-0.8, 0.8, 5) for side in (-1, 1)]
    for x, y in wires:
        foot, top = (x * 0.42 * long, y * 0.42 * wide, low), (x * 0.5 * long, y * 0.5 * wide, high)
        shop.add(bar(foot, top, 0.005, None, 3))
    shop.add(box((0.8 * long, 0.8 * wide, 0.02), (0, 0, low - 0.01)))
    for side in (-1, 1):
        y = side * 0.42 * wide
        shop.add(bar((-0.42 * long, y, 0.15), (-0.55 * long, y, high + 0.06), 0.014, None, 5))
        shop.add(bar((-0.42 * long, y, 0.16), (0.42 * long, y, 0.14), 0.014, None, 5))
        shop.add(bar((0.0, y, 0.15), (-0.2 * long, y, low), 0.014, None, 5))
        for x in (-0.42, 0.42):
            shop.wheel(x * long, y, 0.06, 0.03)
    shop.add(bar((-0.55 * long, -0.45 * wide, high + 0.06), (-0.55 * long, 0.45 * wide, high + 0.06), 0.018))
    if rng.random() < 0.5:
        for _ in range(3):
            size = rng.uniform(0.12, 0.28, 3)
            shop.add(box(size, (rng.uniform(-0.25, 0.25) * long, rng.uniform(-0.2, 0.2) * wide, low)))
    return shop.frame()


def _wheelbarrow(rng: np.random.Generator) -> Frame:
    shop, wide = Workshop(), rng.uniform(0.5, 0.65)
    base = [(0.25, -0.19, 0.32), (-0.3, -0.19, 0.32), (-0.3, 0.19, 0.32), (0.25, 0.19, 0.32)]
    rim = [(0.5, -wide, 0.62), (-0.42, -0.9 * wide, 0.62), (-0.42, 0.9 * wide, 0.62), (0.5, wide, 0.62)]
    rings = np.array([base, rim]) * (1.0, 0.55, 1.0)
    shop.add(skin_rings(rings))
    for side in (-1, 1):
        y = side * wide * 0.4
        shop.add(
            bar((0.62, side * 0.06, 0.2), (-0.3, y, 0.36), 0.018, None, 5),
            bar((-0.3, y, 0.36), (-0.95, y, 0.62), 0.018, None, 5),
        )
        shop.add(bar((-0.2, y, 0.35), (-0.32, y, 0.0), 0.016, None, 5))
    shop.wheel(0.62, 0.0, 0.2, 0.09)
    if rng.random() < 0.5:
        shop.add(ellipsoid((0.02, 0, 0.6), (0.36, wide * 0.42, rng.uniform(0.1, 0.28)), 40))
    return shop.frame()


def _boat(rng: np.random.Generator) -> Frame:
    """Draw a rowing, motor or sailing boat; z = 0 is the surface of the water."""
    shop, length = Workshop(), rng.uniform(3.0, 6.5)
    wide, side = length * rng.uniform(0.3, 0.36), rng.uniform(0.35, 0.6)
    stations = np.array(
        [(-0.5, 0.72, 1.0), (-0.3, 0.92, 0.95), (0.0, 1.0, 0.95), (0.25, 0.8, 1.1), (0.42, 0.38, 1.3), (0.5, 0.03, 1.5)]
    )
    section = np.array([(-0.75, 0.0), (-1.0, 1.0), (1.0, 1.0), (0.75, 0.0)])
    rings = np.empty((len(stations), 4, 3))
    rings[..., 0] = stations[:, :1] * length
    rings[..., 1] = stations[:, 1:2] * section[:, 0] * wide / 2
    rings[..., 2] = stations[:, 2:] * section[:, 1] * side
    shop.add(skin_rings(rings))
    form = rng.integers(4)
    if form == 0:
        mast = length * rng.uniform(1.0, 1.4)
        shop.add(bar((0.1 * length, 0, side * 0.5), (0.1 * length, 0, mast), 0.04, 0.025))
        shop.add(bar((0.1 * length, 0, side + 0.5), (-0.42 * length, 0, side + 0.45), 0.03, None, 5))
        for corners, y in (
            (((0.09, side + 0.6), (-0.4, side + 0.55), (0.09, mast * 0.98)), 0.02),
            (((0.12, mast * 0.8), (0.46, side * 1.4), (0.13, side + 0.5)), -0.02),
        ):
            if y > 0 or rng.random() < 0.7:
                sail = [[(x * length, y + s, z) for x, z in corners] for s in (-0.012, 0.012)]
                shop.add(skin_rings(np.array(sail)))
    elif form == 1:
        shop.add(box((length * 0.3, wide * 0.7, rng.uniform(0.7, 1.3)), (0.05 * length, 0, side * 0.8), (0.75, 0.85)))
        shop.add(box((0.3, 0.3, 0.7), (-0.53 * length, 0, 0.1)))
    elif form == 2:
        shop.add(panel((0.18 * length, -wide * 0.4), (0.18 * length, wide * 0.4), side, side + 0.45, 0.04))
        shop.add(box((0.35, 0.35, 0.8), (-0.53 * length, 0, 0.05)))
    else:
        for s in (-1, 1):
            shop.add(
                bar((0.0, s * wide * 0.35, side + 0.1), (-0.2 * length, s * (wide / 2 + 1.2), 0.05), 0.025, None, 5)
            )
        for x in (-0.25, 0.1):
            shop.add(box((0.25, wide * 0.85, 0.08), (x * length, 0, side)))
    return shop.frame(floats=True)


VEHICLES: dict[str, tuple[Callable[[np.random.Generator], Frame], tuple[float, float]]] = {
    "bicycle": (bicycle, (1.5, 8.0)),
    "boat": (_boat, (0.4, 5.0)),
    "bus": (_bus, (2.0, 14.0)),
    "estate": (_car("estate"), (2.0, 16.0)),
    "hatchback": (_car("hatchback"), (2.0, 16.0)),
    "kick_scooter": (kick_scooter, (1.0, 5.5)),
    "lorry": (_lorry, (2.0, 14.0)),
    "moped": (moped, (2.0, 12.0)),
    "motorcycle": (motorcycle, (2.0, 16.0)),
    "pickup": (_car("pickup"), (2.0, 16.0)),
    "pram": (_pram, (0.4, 1.8)),
    "saloon": (_car("saloon"), (2.0, 16.0)),
    "skateboard": (skateboard, (0.8, 5.0)),
    "suv": (_car("suv"), (2.0, 16.0)),
    "tractor": (_tractor, (1.0, 8.0)),
    "tram": (_tram, (2.0, 12.0)),
    "trolley": (_trolley, (0.4, 1.8)),
    "van": (_car("van"), (2.0, 15.0)),
    "wheelbarrow": (_wheelbarrow, (0.4, 1.6)),
}
"""Vehicles by kind: the function that draws one, and its lowest and highest speed in metres per second."""
