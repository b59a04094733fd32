"""Vehicles that people ride astride or standing: bicycles, motorcycles, mopeds, scooters and skateboards."""

from __future__ import annotations

import numpy as np

from dataset_gen.actors.vehicle_frames import Frame, Mount, Workshop
from dataset_gen.solids import Place, bar, box, ellipsoid, tube
from vidamodal.worlds.spec import Vector


def bicycle(rng: np.random.Generator) -> Frame:
    """Draw a bicycle: thin tubes, wheels that one can see through, and cranks that turn."""
    shop = Workshop()
    radius, base = rng.uniform(0.32, 0.36), rng.uniform(0.98, 1.1)
    rear, front = np.array((-base * 0.44, 0.0, radius)), np.array((base * 0.56, 0.0, radius))
    crank, seat_height = np.array((0.0, 0.0, rng.uniform(0.27, 0.3))), rng.uniform(0.85, 1.02)
    low_step = rng.random() < 0.35
    saddle = np.array((-0.2, 0.0, seat_height))
    seat_joint = crank + (saddle - crank) * 0.78
    head = np.array((front[0] - 0.24, 0.0, rng.uniform(0.78, 0.88)))
    tyre = rng.uniform(0.014, 0.028)
    shop.spoked_wheel(rear[0], 0.0, radius, tyre, 5)
    shop.spoked_wheel(front[0], 0.0, radius, tyre, 5)
    tubes = rng.uniform(0.015, 0.022)
    lower_head = head + (front - head) * 0.22
    shop.add(bar(crank, lower_head, tubes), bar(crank, saddle, tubes * 0.9))
    shop.add(
        bar(seat_joint + (crank - seat_joint) * (0.55 if low_step else 0.08), head, tubes * (1.3 if low_step else 0.9))
    )
    for y in (-0.05, 0.05):
        shop.add(bar(rear + (0, y, 0), crank, 0.01, None, 4), bar(rear + (0, y, 0), seat_joint, 0.009, None, 4))
        shop.add(bar(front + (0, y, 0), lower_head + (0, y * 0.6, 0), 0.012, None, 4))
    shop.add(bar(lower_head, head, tubes * 1.1))
    hands = _handlebar(rng, shop, head)
    shop.add(
        tube(
            [saddle - (0.13, 0, -0.01), saddle, saddle + (0.14, 0, 0)], [(0.07, 0.025), (0.05, 0.025), (0.018, 0.02)], 6
        )
    )
    development, pedal, arm = rng.uniform(3.5, 5.5), 0.14, 0.17
    cranks = [
        bar(crank - (0, 0.06, 0), crank + (0, 0.06, 0), 0.02),
        bar(crank + (0, -0.055, 0), crank + (0, -0.05, 0), 0.09, None, 14),
    ]
    for side in (1, -1):
        end = crank + (side * arm, side * 0.07, 0)
        cranks += [
            bar(crank + (0, side * 0.07, 0), end, 0.011, None, 4),
            box((0.09, 0.1, 0.02), end + (0, side * 0.06, -0.01)),
        ]
    shop.turn(cranks, _vector(crank), development)
    _luggage(rng, shop, rear, front, radius)
    mount = Mount(_vector(saddle + (0, 0, 0.025)), hands, _vector(crank), arm, pedal, development)
    return shop.frame(mount, leans=True)


def _vector(place: Place) -> Vector:
    x, y, z = (float(value) for value in place)
    return x, y, z


def _handlebar(rng: np.random.Generator, shop: Workshop, head: Place) -> tuple[Vector, Vector]:
    """Add a stem and a flat, swept or dropped handlebar; return the grips."""
    top = np.asarray(head) + (0.03, 0, rng.uniform(0.06, 0.22))
    shop.add(bar(head, top, 0.016, None, 5))
    form, half = rng.integers(3), rng.uniform(0.22, 0.33)
    grips = []
    for side in (1, -1):
        if form == 0:
            end = top + (0.0, side * half, 0.01)
            shop.add(bar(top, end, 0.013, None, 5))
        elif form == 1:  # swept back
            end = top + (-0.16, side * half, 0.04)
            shop.add(tube([top, top + (0.05, side * half * 0.7, 0.04), end], [0.012] * 3, 5, (0, 0, 1)))
        else:  # dropped
            end = top + (0.08, side * 0.2, 0.0)
            shop.add(bar(top, top + (0, side * 0.2, 0), 0.013, None, 5))
            drop = [
                top + (x, side * 0.2, z) for x, z in ((0, 0), (0.1, 0.0), (0.12, -0.07), (0.05, -0.13), (-0.05, -0.13))
            ]
            shop.add(tube(drop, [0.012] * 5, 5))
        grips.append(_vector(end))
    return grips[0], grips[1]


def _luggage(rng: np.random.Generator, shop: Workshop, rear: Place, front: Place, radius: float) -> None:
    """Add mudguards, a carrier or a basket to some bicycles."""
    if rng.random() < 0.5:
        for centre, start, stop in ((rear, 0.3, 2.9), (front, 0.9, 2.6)):
            arc = [
                np.asarray(centre) + (radius * 1.06 * np.cos(a), 0, radius * 1.06 * np.sin(a))
                for a in np.linspace(start, stop, 7)
            ]
            shop.add(tube(arc, [(0.028, 0.008)] * 7, 4, rounded=False))
    if rng.random() < 0.4:
        x, z = rear[0] - 0.05, 2 * radius + 0.08
        shop.add(box((0.42, 0.12, 0.02), (x, 0, z)), bar((x - 0.15, 0, z), (rear[0], 0.06, radius), 0.008, None, 4))
        if rng.random() < 0.5:
            shop.add(box((0.3, 0.14, 0.32), (x, 0.12, z - 0.3)), box((0.3, 0.14, 0.32), (x, -0.12, z - 0.3)))
    if rng.random() < 0.25:
        shop.add(box((0.26, 0.36, 0.24), (front[0] + 0.02, 0, 2 * radius + 0.06), (1.2, 1.2)))


def motorcycle(rng: np.random.Generator) -> Frame:
    """Draw a motorcycle."""
    shop, size = Workshop(), rng.uniform(0.9, 1.1)
    radius, base = 0.31 * size, 1.4 * size
    rear, front = np.array((-base * 0.48, 0, radius)), np.array((base * 0.52, 0, radius))
    for hub, wide in ((rear, 0.075), (front, 0.055)):
        shop.spoked_wheel(hub[0], 0.0, radius, wide * size, 3)
        shop.turn([bar(hub - (0, 0.03, 0), hub + (0, 0.03, 0), radius * 0.45, None, 12)], _vector(hub), 6.28 * radius)
    head = np.array((0.42, 0, 0.92)) * size
    for y in (-0.09, 0.09):
        shop.add(bar(front + (0, y, 0), head + (0, y, 0), 0.026, None, 5))
        shop.add(bar(rear + (0, y, 0), np.array((-0.1, y, 0.42)) * size, 0.03, None, 5))
    shop.add(
        tube(
            np.array(((-0.22, 0, 0.42), (0.05, 0, 0.45), (0.3, 0, 0.48))) * size,
            [(0.16, 0.16), (0.19, 0.2), (0.14, 0.14)],
            8,
        )
    )
    shop.add(
        tube(
            np.array(((-0.1, 0, 0.76), (0.12, 0, 0.84), (0.36, 0, 0.84))) * size,
            [(0.1, 0.08), (0.16, 0.13), (0.1, 0.09)],
            8,
        )
    )
    tail = rng.uniform(0.02, 0.14)
    shop.add(
        tube(
            np.array(((-0.82, 0, 0.8 + tail), (-0.5, 0, 0.78), (-0.1, 0, 0.76))) * size,
            [(0.08, 0.04), (0.14, 0.07), (0.13, 0.06)],
            8,
        )
    )
    shop.add(
        tube(np.array(((0.1, -0.16, 0.3), (-0.3, -0.18, 0.28), (-0.75, -0.18, 0.36))) * size, [0.03, 0.05, 0.06], 6)
    )
    shop.add(bar(np.array((-0.3, 0, 0.75)) * size, np.array((-0.1, 0, 0.45)) * size, 0.05, None, 5))
    shop.add(ellipsoid(head + (0.1, 0, 0.02), (0.09, 0.1, 0.1), 24))
    if rng.random() < 0.4:
        shop.add(tube([head + (0.12, 0, 0.05), head + (0.02, 0, 0.3)], [(0.16, 0.03), (0.11, 0.015)], 6))
    bars = head + np.array((-0.12, 0, rng.uniform(0.05, 0.25)))
    shop.add(bar(bars - (0, 0.36, 0), bars + (0, 0.36, 0), 0.018, None, 5), bar(head, bars, 0.03, None, 5))
    for side in (-1, 1):
        if rng.random() < 0.7:
            shop.add(ellipsoid(bars + (0.08, side * 0.3, 0.14), (0.02, 0.06, 0.04), 16))
            shop.add(bar(bars + (0, side * 0.3, 0), bars + (0.08, side * 0.3, 0.14), 0.008, None, 4))
    hands = (_vector(bars + (0, 0.33, 0)), _vector(bars - (0, 0.33, 0)))
    mount = Mount((-0.3 * size, 0.0, 0.84 * size), hands, (-0.1 * size, 0.0, 0.36 * size), pedal=0.22)
    return shop.frame(mount, leans=True)


def moped(rng: np.random.Generator) -> Frame:
    """Draw a motor scooter with a low step, a shield and a long seat."""
    shop, size = Workshop(), rng.uniform(0.92, 1.05)
    radius = rng.uniform(0.2, 0.25) * size
    rear, front = -0.58 * size, 0.68 * size
    shop.wheel(rear, 0.0, radius, 0.11)
    shop.wheel(front, 0.0, radius, 0.1)
    shop.add(box((0.55 * size, 0.34 * size, 0.08 * size), (0.12 * size, 0, 0.24 * size)))
    shop.add(
        tube(
            np.array(((0.36, 0, 0.3), (0.46, 0, 0.6), (0.42, 0, 0.95))) * size,
            [(0.18, 0.05), (0.22, 0.06), (0.14, 0.06)],
            8,
        )
    )
    shop.add(
        tube(
            np.array(((-0.95, 0, 0.56), (-0.6, 0, 0.5), (-0.2, 0, 0.42))) * size,
            [(0.12, 0.1), (0.19, 0.19), (0.16, 0.18)],
            9,
        )
    )
    shop.add(
        tube(
            np.array(((-0.85, 0, 0.77), (-0.5, 0, 0.74), (-0.12, 0, 0.72))) * size,
            [(0.12, 0.06), (0.15, 0.07), (0.12, 0.06)],
            8,
        )
    )
    arc = [(front + radius * 1.2 * np.cos(a), 0, radius + radius * 1.2 * np.sin(a)) for a in np.linspace(0.2, 2.8, 6)]
    shop.add(tube(arc, [(0.08, 0.015)] * 6, 5))
    shop.add(bar((front, 0, radius), np.array((0.42, 0, 0.9)) * size, 0.035))
    bars = np.array((0.36, 0, 1.02)) * size
    shop.add(bar(bars - (0, 0.33, 0), bars + (0, 0.33, 0), 0.018, None, 5))
    shop.add(ellipsoid(bars + (0.06, 0, 0), (0.1, 0.12, 0.09), 24))
    for side in (-1, 1):
        shop.add(ellipsoid(bars + (0.04, side * 0.28, 0.16), (0.02, 0.06, 0.04), 16))
        shop.add(bar(bars + (0, side * 0.28, 0), bars + (0.04, side * 0.28, 0.16), 0.008, None, 4))
    if rng.random() < 0.4:
        shop.add(box((0.32, 0.36, 0.3), (-0.95 * size, 0, 0.82 * size)))
    hands = (_vector(bars + (0, 0.3, 0)), _vector(bars - (0, 0.3, 0)))
    mount = Mount((-0.25 * size, 0.0, 0.8 * size), hands, (0.18 * size, 0.0, 0.32 * size), pedal=0.1)
    return shop.frame(mount, leans=True)


def kick_scooter(rng: np.random.Generator) -> Frame:
    """Draw a kick scooter."""
    shop, long, high = Workshop(), rng.uniform(0.7, 0.95), rng.uniform(0.85, 1.1)
    radius = rng.uniform(0.06, 0.11)
    shop.wheel(-long / 2, 0.0, radius, 0.03)
    shop.wheel(long / 2, 0.0, radius, 0.03)
    deck = radius + 0.02
    shop.add(box((long * 0.75, 0.13, 0.03), (-0.06, 0, deck)))
    top = np.array((long / 2 - 0.1, 0, high))
    shop.add(
        bar((long / 2, 0, radius), top, 0.018),
        bar((long * 0.28, 0, deck + 0.01), (long / 2 - 0.02, 0, deck + 0.12), 0.02),
    )
    shop.add(bar(top - (0, 0.23, 0), top + (0, 0.23, 0), 0.014, None, 5))
    hands = (_vector(top + (0, 0.2, 0)), _vector(top - (0, 0.2, 0)))
    place = (-0.06, 0.0, deck + 0.03)
    return shop.frame(Mount(place, hands, place, pedal=0.03, stands=True), leans=True)


def skateboard(rng: np.random.Generator) -> Frame:
    """Draw a skateboard."""
    shop, long = Workshop(), rng.uniform(0.7, 1.05)
    deck = [(-0.5 * long, 0, 0.15), (-0.36 * long, 0, 0.11), (0.36 * long, 0, 0.11), (0.5 * long, 0, 0.15)]
    shop.add(tube(deck, [(0.07, 0.008), (0.1, 0.008), (0.1, 0.008), (0.07, 0.008)], 6))
    for x in (-0.3, 0.3):
        shop.add(bar((x * long, 0, 0.05), (x * long, 0, 0.11), 0.03))
        for side in (-1, 1):
            shop.wheel(x * long, side * 0.08, 0.035, 0.04)
    place = (0.0, 0.0, 0.12)
    return shop.frame(Mount(place, (place, place), place, pedal=0.0, stands=True), leans=True)
