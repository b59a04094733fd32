"""Bodies of creatures by kind: convex parts, joints, and how far they bend and squash.

Parts overlap where limbs meet, so that no gap opens when a limb swings. A body faces +x and stands upright along z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dataset_gen.meshes import Points
from dataset_gen.shapes import unit_sphere
from vidamodal.worlds.spec import Vector


@dataclass(frozen=True)
class Joint:
    """Parts ``first`` to ``last`` (exclusive) swing about an axis through a pivot, in the parts' coordinates.

    Over a stride the angle in radians is ``rest`` + ``swing`` sin(2 pi (phase + stride)).
    """

    first: int
    last: int
    pivot: Vector
    axis: Vector
    swing: float
    phase: float
    rest: float = 0.0


@dataclass(frozen=True)
class Body:
    """The point sets of a body's convex parts, its joints, and the amplitudes of its bend and squash."""

    parts: list[Points]
    joints: list[Joint]
    bend: float = 0.0
    squash: float = 0.0


def _ellipsoid(centre: Sequence[float] | Points, radii: Sequence[float] | Points, points: int = 60) -> Points:
    return unit_sphere(points) * radii + centre


def _limb(start: Sequence[float], stop: Sequence[float], radius: float, end: float | None = None) -> Points:
    """Return a rounded bar between two points; ``radius`` and ``end`` are the radii at its ends."""
    ends = [_ellipsoid(start, [radius] * 3, 26), _ellipsoid(stop, [radius if end is None else end] * 3, 26)]
    return np.concatenate(ends)


_SIDEWAYS = (0.0, -1.0, 0.0)  # axis about which legs swing forwards


def _biped(rng: np.random.Generator) -> Body:
    """Return a body with a head, two legs with shins and two arms with forearms, about 1 high."""
    hip, shoulder = rng.uniform(0.42, 0.52), rng.uniform(0.78, 0.84)
    wide, thick = rng.uniform(0.09, 0.15), rng.uniform(0.035, 0.06)
    parts = [
        np.concatenate(
            [_ellipsoid((0, 0, hip), (0.08, wide, 0.07)), _ellipsoid((0, 0, shoulder - 0.05), (0.09, wide, 0.07))]
        ),
        _ellipsoid((0.01, 0, 0.93), (0.07, 0.065, rng.uniform(0.07, 0.09))),
    ]
    joints = []
    stride, bow = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7)
    for side, phase in ((-1, 0.0), (1, 0.5)):
        y, knee, first = side * wide * 0.6, hip / 2, len(parts)
        parts += [_limb((0, y, hip), (0, y, knee), thick * 1.2, thick), _limb((0, y, knee), (0, y, thick), thick)]
        parts += [_limb((0, y, thick * 0.7), (0.09, y, thick * 0.6), thick * 0.7)]
        joints += [
            Joint(first + 1, first + 3, (0, y, knee), _SIDEWAYS, -bow / 2, phase + 0.25, -bow / 2),
            Joint(first, first + 3, (0, y, hip), _SIDEWAYS, stride, phase),
        ]
        y, elbow, first = side * (wide + thick), shoulder - 0.17, len(parts)
        parts += [
            _limb((0, y, shoulder), (0, y, elbow), thick * 0.9),
            _limb((0, y, elbow), (0, y, elbow - 0.17), thick * 0.8),
        ]
        joints += [
            Joint(first + 1, first + 2, (0, y, elbow), _SIDEWAYS, bow / 3, phase + 0.5, bow / 2),
            Joint(first, first + 2, (0, y, shoulder), _SIDEWAYS, stride * 0.8, phase + 0.5),
        ]
    return Body(parts, joints)


def _quadruped(rng: np.random.Generator) -> Body:
    """Return a long body with a neck, a head and a tail, on four legs with shins."""
    long, high, thick = rng.uniform(0.3, 0.5), rng.uniform(0.25, 0.55), rng.uniform(0.03, 0.06)
    body, wide = rng.uniform(0.1, 0.18), rng.uniform(0.08, 0.14)
    neck = np.array((long + rng.uniform(0.05, 0.2), 0.0, high + rng.uniform(0.1, 0.35)))
    parts = [
        np.concatenate([_ellipsoid((x, 0, high), (0.1, wide, body)) for x in (-long, long)]),
        _limb((long, 0, high + body / 2), neck.tolist(), thick * 1.5),
        np.concatenate([_ellipsoid(neck, (0.09, 0.07, 0.07)), _ellipsoid(neck + (0.15, 0, -0.04), (0.05, 0.04, 0.04))]),
        _limb((-long, 0, high + body / 2), (-long - rng.uniform(0.15, 0.4), 0, high + 0.05), thick, thick / 2),
    ]
    joints = [
        Joint(1, 3, (long, 0, high + body / 2), (0, 1, 0), rng.uniform(0.05, 0.3), 0.2),
        Joint(3, 4, (-long, 0, high + body / 2), (0, 0, 1), rng.uniform(0.2, 0.7), 0.0),
    ]
    stride, bow = rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.6)
    for x, side, phase in ((long, 1, 0.0), (long, -1, 0.5), (-long, 1, 0.5), (-long, -1, 0.0)):
        y, knee, first = side * wide * 0.7, high / 2, len(parts)
        parts += [_limb((x, y, high), (x, y, knee), thick * 1.3, thick), _limb((x, y, knee), (x, y, 0.0), thick)]
        joints += [
            Joint(first + 1, first + 2, (x, y, knee), _SIDEWAYS, -bow / 2, phase + 0.25, -bow / 2),
            Joint(first, first + 2, (x, y, high), _SIDEWAYS, stride, phase),
        ]
    return Body(parts, joints)


def _bird(rng: np.random.Generator) -> Body:
    """Return a body with a beak, a tail and two beating wings of two links each."""
    long, wing, chord = rng.uniform(0.3, 0.45), rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.2)
    parts = [
        _ellipsoid((0, 0, 0), (long, 0.1, 0.1)),
        np.concatenate([_ellipsoid((long, 0, 0.08), (0.08, 0.07, 0.07)), [(long + 0.2, 0.0, 0.06)]]),
        np.array([(-long + 0.1, 0, 0.03), (-long - 0.3, -0.12, 0), (-long - 0.3, 0.12, 0), (-long - 0.1, 0, -0.03)]),
    ]
    joints = []
    beat = rng.uniform(0.4, 0.9)
    for side in (-1, 1):
        first, root, tip = len(parts), 0.05 * side, side * (0.05 + wing)
        for inner, outer, back in ((root, tip, 0.0), (tip, side * (0.05 + 2 * wing), -0.12)):
            corners = [(x, y, z) for y, shrink in ((inner, 1.0), (outer, 0.8)) for z in (-0.015, 0.015)
                       for x in (chord * shrink + back, -chord * shrink + back)]  # fmt: skip
            parts.append(np.array(corners))
        axis = (float(side), 0.0, 0.0)
        joints += [
            Joint(first + 1, first + 2, (0, tip, 0), axis, beat * 0.8, -0.15),
            Joint(first, first + 2, (0, root, 0), axis, beat, 0.0, 0.1),
        ]
    return Body(parts, joints)


def _arm(rng: np.random.Generator) -> Body:
    """Return a foot with a chain of three links and a head, like a desk lamp or a crane."""
    thick, foot = rng.uniform(0.03, 0.06), rng.uniform(0.12, 0.2)
    lengths = rng.uniform(0.2, 0.45, 3)
    heights = np.cumsum([0.04, *lengths]).tolist()
    disc = [(foot * np.cos(a), foot * np.sin(a), z) for a in np.arange(14) * 2 * np.pi / 14 for z in (0.0, 0.05)]
    parts = [np.array(disc)]
    parts += [
        _limb((0, 0, low), (0, 0, high), thick * (1.2 - 0.2 * k)) for k, (low, high) in enumerate(pairwise(heights))
    ]
    parts.append(_limb((0, 0, heights[-1]), (rng.uniform(0.05, 0.25), 0, heights[-1]), thick, thick * 2.2))
    rest = (rng.uniform(0.1, 0.5), rng.uniform(0.4, 1.2), rng.uniform(0.2, 1.0))
    joints = [
        Joint(k + 1, 5, (0, 0, heights[k]), (0, 1, 0), float(rng.uniform(0.1, 0.5)), float(rng.random()), rest[k])
        for k in (2, 1, 0)
    ]
    return Body(parts, joints)


def _worm(rng: np.random.Generator) -> Body:
    """Return a rounded bar of many slices that bends to and fro."""
    return Body(list(_slices(rng, rng.uniform(0.08, 0.2), 1.0)), [], bend=rng.uniform(0.8, 2.2))


def _post(rng: np.random.Generator) -> Body:
    """Return a wide rounded bar that sways."""
    return Body(list(_slices(rng, rng.uniform(0.25, 0.4), 1.0)), [], bend=rng.uniform(0.4, 1.0), squash=0.15)


def _slices(rng: np.random.Generator, radius: float, length: float, count: int = 12) -> Iterator[Points]:
    """Yield frustums along z with a wavy outline."""
    z = np.linspace(-length / 2, length / 2, count + 1)
    along = z / length + 0.5
    outline = np.sqrt(np.clip(1 - (2 * along - 1) ** 4, 0.05, 1)) * (
        1 + 0.3 * np.sin(2 * np.pi * (rng.random() + along))
    )
    angle = np.arange(12) * np.pi / 6
    rings = [
        np.stack([r * np.cos(angle), r * np.sin(angle), np.full(12, at)], axis=1)
        for r, at in zip(radius * outline, z, strict=True)
    ]
    for low, high in pairwise(rings):
        yield np.concatenate([low, high])


def _jelly(rng: np.random.Generator) -> Body:
    """Return an ellipsoid that hops and is squashed where it lands, sometimes with ears or feelers."""
    radii = rng.uniform(0.3, 0.5, 3)
    parts = [_ellipsoid((0, 0, 0), radii, 90)]
    joints = []
    for side in (-1, 1) if rng.random() < 0.7 else ():
        y, top = side * radii[1] * 0.5, radii[2] * 0.8
        parts.append(_limb((0, y, top), (0, y * 1.3, top + rng.uniform(0.2, 0.5)), rng.uniform(0.05, 0.1)))
        joints.append(Joint(len(parts) - 1, len(parts), (0, y, top), (0, 1, 0), rng.uniform(0.2, 0.6), 0.2))
    return Body(parts, joints, squash=rng.uniform(0.15, 0.4))


KINDS: dict[str, Callable[[np.random.Generator], Body]] = {
    "arm": _arm,
    "biped": _biped,
    "bird": _bird,
    "jelly": _jelly,
    "post": _post,
    "quadruped": _quadruped,
    "worm": _worm,
}
"""Creature kinds by label."""
