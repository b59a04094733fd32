"""Measures of birds."""

from __future__ import annotations

import numpy as np

from dataset_gen.actors.anatomy import Anatomy, Station
from dataset_gen.actors.proportions import (
    beak,
    draw_build,
    pair,
    place_front,
    place_tail,
)
from dataset_gen.solids import blob, ellipsoid, tube


def goose(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a goose."""
    b = draw_build(rng, (0.32, 0.5))
    torso = b.torso(
        (-0.66, 0.80, 0.04, 0.06),
        (-0.52, 0.76, 0.10, 0.13),
        (-0.28, 0.70, 0.22, 0.22),
        (0.0, 0.66, 0.27, 0.26),
        (0.22, 0.70, 0.24, 0.22),
        (0.36, 0.78, 0.14, 0.13),
    )
    stretch = rng.uniform(0.55, 1.15)
    head: tuple[Station, ...] = (
        (0.44, 0.92 + 0.5 * stretch, 0.07, 0.065),
        (0.52, 0.93 + 0.5 * stretch, 0.085, 0.075),
        (0.60, 0.91 + 0.5 * stretch, 0.06, 0.055),
    )
    bill = beak(0.58, 0.91 + 0.5 * stretch, (0.80, 0.86 + 0.5 * stretch), 0.05, 0.035)
    neck, head, on_head = place_front(
        b,
        (
            (0.28, 0.76, 0.14, 0.12),
            (0.44, 0.86 + 0.1 * stretch, 0.085, 0.075),
            (0.42, 0.90 + 0.5 * stretch, 0.06, 0.058),
        ),
        head,
        [bill],
    )
    wings = tuple(
        pair(
            lambda s: tube(
                [(0.16, s * 0.2, 0.76), (-0.2, s * 0.24, 0.76), (-0.62, s * 0.08, 0.82)],
                [(0.04, 0.13), (0.05, 0.17), (0.02, 0.03)],
                8,
            )
        )
    )
    tail = place_tail(b, (-0.60, 0.80, 0.04, 0.09), (-0.72, 0.84, 0.025, 0.08), (-0.80, 0.88, 0.015, 0.05))
    hind = b.leg(
        ((0.0, 0.56), (0.07, 0.44), (-0.04, 0.27), (0.0, 0.05)),
        ((0.10, 0.08), (0.06, 0.05), (0.028, 0.026), (0.024, 0.024)),
        0.11,
        (0.16, 0.02, 0.08),
        True,
    )
    return Anatomy(b.height, torso, hind, neck, head, None, tail, on_head=on_head, on_chest=wings)


def chicken(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a chicken."""
    b = draw_build(rng, (0.3, 0.42))
    cock = rng.random() < 0.5
    torso = b.torso(
        (-0.42, 0.86, 0.06, 0.07),
        (-0.32, 0.78, 0.17, 0.15),
        (-0.12, 0.66, 0.26, 0.22),
        (0.08, 0.64, 0.27, 0.23),
        (0.24, 0.74, 0.20, 0.17),
        (0.32, 0.86, 0.12, 0.11),
    )
    head: tuple[Station, ...] = ((0.36, 1.18, 0.075, 0.065), (0.43, 1.20, 0.085, 0.07), (0.49, 1.18, 0.055, 0.05))
    extras = [beak(0.48, 1.17, (0.60, 1.14), 0.03, 0.03), ellipsoid((0.44, 0, 1.09), (0.03, 0.015, 0.06), 16)]
    crest = rng.uniform(0.06, 0.12) if cock else 0.05
    extras += [ellipsoid((x, 0, 1.27), (0.045, 0.015, crest), 16) for x in (0.36, 0.42, 0.48)]
    neck, head, on_head = place_front(
        b, ((0.22, 0.80, 0.16, 0.13), (0.30, 1.0, 0.11, 0.09), (0.36, 1.15, 0.075, 0.065)), head, extras
    )
    rise = rng.uniform(0.1, 0.45) if cock else 0.1
    plumes = [
        tube(
            [(-0.36, y, 0.84), (-0.52, y * 1.5, 0.96 + rise * 0.5), (-0.66 - 0.1 * cock, y * 2, 0.86 + rise)],
            [(0.03, 0.08), (0.03, 0.09), (0.01, 0.03)],
            6,
        )
        for y in (-0.04, 0.0, 0.04)
    ]
    wings = pair(
        lambda s: tube(
            [(0.12, s * 0.18, 0.74), (-0.12, s * 0.22, 0.70), (-0.34, s * 0.12, 0.76)],
            [(0.03, 0.10), (0.04, 0.14), (0.02, 0.03)],
            8,
        )
    )
    hind = b.leg(
        ((-0.02, 0.56), (0.06, 0.42), (-0.06, 0.25), (-0.02, 0.03)),
        ((0.13, 0.10), (0.075, 0.06), (0.025, 0.024), (0.02, 0.02)),
        0.10,
        (0.13, 0.018, 0.02),
        True,
    )
    return Anatomy(
        b.height, torso, hind, neck, head, None, on_head=on_head, on_chest=tuple(wings), on_rump=tuple(plumes)
    )


def flamingo(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a flamingo."""
    b = draw_build(rng, (0.7, 1.0))
    torso = b.torso(
        (-0.36, 0.84, 0.03, 0.04),
        (-0.28, 0.84, 0.07, 0.08),
        (-0.12, 0.84, 0.13, 0.12),
        (0.04, 0.86, 0.15, 0.13),
        (0.16, 0.90, 0.12, 0.10),
        (0.22, 0.94, 0.07, 0.06),
    )
    head: tuple[Station, ...] = ((0.24, 1.50, 0.04, 0.035), (0.29, 1.50, 0.05, 0.04), (0.34, 1.48, 0.035, 0.03))
    bill = tube([(0.33, 0, 1.48), (0.41, 0, 1.45), (0.43, 0, 1.38)], [(0.022, 0.025), (0.02, 0.025), (0.006, 0.008)], 6)
    neck, head, on_head = place_front(
        b, ((0.16, 0.94, 0.07, 0.06), (0.34, 1.14, 0.035, 0.032), (0.23, 1.48, 0.035, 0.032)), head, [bill]
    )
    wings = tuple(
        pair(
            lambda s: tube(
                [(0.08, s * 0.1, 0.90), (-0.14, s * 0.12, 0.88), (-0.40, s * 0.04, 0.80)],
                [(0.02, 0.07), (0.03, 0.09), (0.01, 0.02)],
                8,
            )
        )
    )
    hind = b.leg(
        ((0.0, 0.78), (0.05, 0.70), (-0.03, 0.40), (0.0, 0.03)),
        ((0.06, 0.05), (0.045, 0.04), (0.016, 0.016), (0.014, 0.014)),
        0.055,
        (0.09, 0.01, 0.03),
        True,
    )
    return Anatomy(b.height, torso, hind, neck, head, None, on_head=on_head, on_chest=wings)


def stork(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a stork."""
    b = draw_build(rng, (0.6, 0.9))
    torso = b.torso(
        (-0.44, 0.80, 0.03, 0.05),
        (-0.32, 0.82, 0.09, 0.10),
        (-0.12, 0.84, 0.15, 0.14),
        (0.06, 0.87, 0.16, 0.14),
        (0.18, 0.93, 0.12, 0.10),
        (0.23, 0.99, 0.07, 0.06),
    )
    head: tuple[Station, ...] = ((0.32, 1.34, 0.045, 0.04), (0.38, 1.34, 0.055, 0.045), (0.44, 1.33, 0.035, 0.032))
    bill = beak(0.42, 1.33, (0.42 + rng.uniform(0.2, 0.34), 1.27), 0.022, 0.025)
    neck, head, on_head = place_front(
        b, ((0.17, 0.96, 0.09, 0.07), (0.28, 1.14, 0.05, 0.045), (0.32, 1.32, 0.042, 0.038)), head, [bill]
    )
    wings = tuple(
        pair(
            lambda s: tube(
                [(0.10, s * 0.11, 0.92), (-0.14, s * 0.14, 0.88), (-0.46, s * 0.04, 0.76)],
                [(0.02, 0.08), (0.03, 0.11), (0.01, 0.02)],
                8,
            )
        )
    )
    hind = b.leg(
        ((0.0, 0.76), (0.06, 0.66), (-0.03, 0.38), (0.0, 0.03)),
        ((0.08, 0.06), (0.055, 0.045), (0.018, 0.018), (0.015, 0.015)),
        0.06,
        (0.11, 0.012, 0.014),
        True,
    )
    return Anatomy(b.height, torso, hind, neck, head, None, on_head=on_head, on_chest=wings)


def ostrich(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a ostrich."""
    b = draw_build(rng, (1.1, 1.5))
    torso = b.torso(
        (-0.46, 0.88, 0.07, 0.08),
        (-0.34, 0.84, 0.17, 0.16),
        (-0.12, 0.80, 0.23, 0.21),
        (0.10, 0.80, 0.22, 0.20),
        (0.24, 0.86, 0.15, 0.13),
        (0.31, 0.92, 0.09, 0.08),
    )
    head: tuple[Station, ...] = ((0.42, 1.62, 0.04, 0.04), (0.47, 1.62, 0.05, 0.045), (0.53, 1.60, 0.03, 0.035))
    neck, head, on_head = place_front(
        b,
        ((0.25, 0.92, 0.09, 0.08), (0.36, 1.26, 0.042, 0.04), (0.41, 1.60, 0.036, 0.036)),
        head,
        [beak(0.52, 1.6, (0.62, 1.57), 0.03, 0.02)],
    )
    plumes = tuple(
        blob(rng, (x, y, z), (0.16, 0.08, 0.14), 0.25, 24)
        for x, z in ((-0.34, 0.82), (-0.1, 0.82))
        for y in (-0.16, 0.16)
    )
    tail = place_tail(b, (-0.42, 0.90, 0.09, 0.08), (-0.54, 0.90, 0.10, 0.08), (-0.62, 0.86, 0.06, 0.05))
    hind = b.leg(
        ((-0.04, 0.78), (0.08, 0.62), (-0.10, 0.36), (-0.02, 0.04)),
        ((0.17, 0.11), (0.10, 0.075), (0.034, 0.032), (0.028, 0.028)),
        0.10,
        (0.12, 0.03, 0.035),
    )
    return Anatomy(b.height, torso, hind, neck, head, None, tail, on_head=on_head, on_chest=plumes)


def gull(rng: np.random.Generator) -> Anatomy:
    """Return the measures of a gull."""
    b = draw_build(rng, (0.22, 0.4))
    torso = b.torso(
        (-0.60, 0.72, 0.03, 0.05),
        (-0.44, 0.70, 0.09, 0.10),
        (-0.18, 0.68, 0.16, 0.16),
        (0.08, 0.68, 0.17, 0.16),
        (0.28, 0.71, 0.13, 0.12),
        (0.38, 0.74, 0.09, 0.08),
    )
    head: tuple[Station, ...] = ((0.44, 0.84, 0.09, 0.08), (0.52, 0.85, 0.10, 0.09), (0.60, 0.83, 0.06, 0.055))
    neck, head, on_head = place_front(
        b,
        ((0.32, 0.75, 0.11, 0.10), (0.39, 0.80, 0.10, 0.09), (0.45, 0.84, 0.09, 0.085)),
        head,
        [beak(0.58, 0.83, (0.76, 0.79), 0.03, 0.03)],
    )
    tail = place_tail(b, (-0.56, 0.72, 0.03, 0.08), (-0.70, 0.72, 0.02, 0.12), (-0.84, 0.72, 0.012, 0.14))
    hind = b.leg(
        ((-0.04, 0.56), (0.03, 0.44), (-0.06, 0.26), (-0.02, 0.03)),
        ((0.08, 0.06), (0.05, 0.04), (0.022, 0.02), (0.018, 0.018)),
        0.08,
        (0.12, 0.014, 0.06),
        True,
    )
    return Anatomy(
        b.height,
        torso,
        hind,
        neck,
        head,
        None,
        tail,
        on_head=on_head,
        wing=(rng.uniform(0.75, 1.0), rng.uniform(0.2, 0.28)),
    )
