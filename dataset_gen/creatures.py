"""Shapes that change: linked limbs, bending bodies, squashed ones, and how they move about the floor.

They stand beside the families of ``dataset_gen.assets`` and are made the same way: closed convex parts, an id that
decides everything, disjoint ids for each split. A creature looks along x and stands upright along z. The physics knows
nothing of them: they walk, crawl, hop and wave by rule, and may pass through each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import Asset, Points, ball, convex, unit, variants
from dataset_gen.rounding import DECIMALS, vector
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, Hinge, Pose, Vector, deform


@dataclass(frozen=True)
class Joint:
    """Parts ``first`` to ``last`` (exclusive) swing about an axis through a pivot, in the parts' coordinates.

    Over a stride the angle is ``rest`` + ``swing`` sin(2 pi (phase + stride)), in radians.
    """

    first: int
    last: int
    pivot: Vector
    axis: Vector
    swing: float
    phase: float
    rest: float = 0.0


@dataclass(frozen=True)
class Creature:
    """A changing shape: what it looks like at rest, its joints, how far it bends and how much it is squashed."""

    asset: Asset
    joints: tuple[Joint, ...] = ()
    bend: float = 0.0
    squash: float = 0.0


@dataclass(frozen=True)
class _Body:
    parts: list[Points]
    joints: list[Joint]
    bend: float = 0.0
    squash: float = 0.0


@cache
def creature_ids(split: str) -> tuple[str, ...]:
    """All ids of a split."""
    return tuple(f"{kind}/{number:04d}" for kind in sorted(KINDS) for number in variants(split))


def is_creature(asset_id: str) -> bool:
    return asset_id.partition("/")[0] in KINDS


@cache
def creature(asset_id: str) -> Creature:
    """The creature of an id. Raises InputError for an id that is in no split."""
    kind, _, number = asset_id.partition("/")
    if kind not in KINDS or not number.isdecimal() or asset_id != f"{kind}/{int(number):04d}" or int(number) >= 300:
        raise InputError(f"creature {asset_id!r} is in no split: take one from dataset_gen.creatures.creature_ids")
    body = KINDS[kind](np.random.Generator(np.random.PCG64(zlib.crc32(asset_id.encode()))))
    raw = [convex(points) for points in body.parts]
    parts = unit(raw)
    # The parts were moved and scaled together; the joints follow.
    before, after = (np.concatenate([part.vertices for part in group]).astype(np.float64) for group in (raw, parts))
    scale = np.ptp(before[:, 2]) / np.ptp(after[:, 2])
    origin = before.mean(axis=0) - scale * after.mean(axis=0)
    joints = (replace(j, pivot=vector((np.array(j.pivot) - origin) / scale)) for j in body.joints)
    return Creature(Asset(asset_id, kind, parts, "Apache-2.0", "dataset_gen"), tuple(joints), body.bend, body.squash)


@dataclass(frozen=True)
class Gait:
    """How a creature goes: from where (metres), heading (radians), metres and strides a frame, phase in strides.

    ``turn`` is added to the heading every frame; ``leap`` is the height of its hops, ``height`` that over the floor
    between them, in metres.
    """

    start: tuple[float, float]
    heading: float
    speed: float
    pace: float
    phase: float
    turn: float = 0.0
    leap: float = 0.0
    height: float = 0.0


def move(who: Creature, scale: Vector, gait: Gait, frames: int) -> tuple[tuple[Pose, ...], Deformation]:
    """Poses and deformation over a clip: its lowest point is on the floor, or where its hop or flight has it."""
    stride = gait.phase + gait.pace * np.arange(frames)
    wave = np.sin(2 * np.pi * stride)
    hop = np.abs(np.sin(np.pi * stride)) if gait.leap else np.zeros(frames)
    deformation = Deformation(
        hinges=tuple(_hinge(who.asset, joint, stride) for joint in who.joints),
        bend=_numbers(who.bend * wave) if who.bend else (),
        # Longest in the air, flat where it lands; without hops it breathes.
        squash=_numbers(np.exp(who.squash * (2 * hop - 1 if gait.leap else wave))) if who.squash else (),
    )
    vertices = who.asset.mesh.vertices
    heading = gait.heading + gait.turn * np.arange(frames)
    steps = gait.speed * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    places = np.array(gait.start) + np.cumsum(steps, axis=0) - steps[0]
    poses = []
    for t in range(frames):
        lowest = scale[2] * deform(vertices, deformation, t)[:, 2].min()
        height = gait.height + gait.leap * hop[t] - lowest
        turn = (np.cos(heading[t] / 2), 0.0, 0.0, np.sin(heading[t] / 2))
        w, x, y, z = np.round(turn, DECIMALS).tolist()
        poses.append(Pose(vector(np.array((*places[t], height))), (w, x, y, z)))
    return tuple(poses), deformation


def _hinge(asset: Asset, joint: Joint, stride: Float[np.ndarray, " t"]) -> Hinge:
    ends = np.cumsum([0, *(len(part.vertices) for part in asset.parts)]).tolist()
    angles = joint.rest + joint.swing * np.sin(2 * np.pi * (joint.phase + stride))
    return Hinge(ends[joint.first], ends[joint.last], joint.pivot, joint.axis, _numbers(angles))


def _numbers(values: Float[np.ndarray, " t"]) -> tuple[float, ...]:
    return tuple(np.round(values, DECIMALS).tolist())


# The kinds. Parts overlap where limbs meet, so that no gap opens when they swing.


def _ball(at: Sequence[float] | Points, radii: Sequence[float] | Points, points: int = 60) -> Points:
    return ball(points) * radii + at


def _limb(start: Sequence[float], stop: Sequence[float], radius: float, end: float | None = None) -> Points:
    """A rounded bar from one point to another."""
    ends = [_ball(start, [radius] * 3, 26), _ball(stop, [radius if end is None else end] * 3, 26)]
    return np.concatenate(ends)


_SIDEWAYS = (0.0, -1.0, 0.0)  # the axis about which legs swing forwards


def _biped(rng: np.random.Generator) -> _Body:
    """Body, head, two legs with shins, two arms with forearms: 1 high at first."""
    hip, shoulder = rng.uniform(0.42, 0.52), rng.uniform(0.78, 0.84)
    wide, thick = rng.uniform(0.09, 0.15), rng.uniform(0.035, 0.06)
    parts = [
        np.concatenate([_ball((0, 0, hip), (0.08, wide, 0.07)), _ball((0, 0, shoulder - 0.05), (0.09, wide, 0.07))]),
        _ball((0.01, 0, 0.93), (0.07, 0.065, rng.uniform(0.07, 0.09))),
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
    return _Body(parts, joints)


def _quadruped(rng: np.random.Generator) -> _Body:
    """A long body on four legs with shins, with neck, head and tail."""
    long, high, thick = rng.uniform(0.3, 0.5), rng.uniform(0.25, 0.55), rng.uniform(0.03, 0.06)
    body, wide = rng.uniform(0.1, 0.18), rng.uniform(0.08, 0.14)
    neck = np.array((long + rng.uniform(0.05, 0.2), 0.0, high + rng.uniform(0.1, 0.35)))
    parts = [
        np.concatenate([_ball((x, 0, high), (0.1, wide, body)) for x in (-long, long)]),
        _limb((long, 0, high + body / 2), neck.tolist(), thick * 1.5),
        np.concatenate([_ball(neck, (0.09, 0.07, 0.07)), _ball(neck + (0.15, 0, -0.04), (0.05, 0.04, 0.04))]),
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
    return _Body(parts, joints)


def _bird(rng: np.random.Generator) -> _Body:
    """A body with beak and tail, and two wings of two links each that beat."""
    long, wing, chord = rng.uniform(0.3, 0.45), rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.2)
    parts = [
        _ball((0, 0, 0), (long, 0.1, 0.1)),
        np.concatenate([_ball((long, 0, 0.08), (0.08, 0.07, 0.07)), [(long + 0.2, 0.0, 0.06)]]),
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
    return _Body(parts, joints)


def _arm(rng: np.random.Generator) -> _Body:
    """A foot with a chain of three links and a head, as a desk lamp or a crane has."""
    thick, foot = rng.uniform(0.03, 0.06), rng.uniform(0.12, 0.2)
    lengths = rng.uniform(0.2, 0.45, 3)
    heights = np.cumsum([0.04, *lengths]).tolist()
    disc = [(foot * np.cos(a), foot * np.sin(a), z) for a in np.arange(14) * 2 * np.pi / 14 for z in (0.0, 0.05)]
    parts = [np.array(disc)]
    parts += [
        _limb((0, 0, low), (0, 0, high), thick * (1.2 - 0.2 * k))
        for k, (low, high) in enumerate(zip(heights[:-1], heights[1:], strict=True))
    ]
    parts.append(_limb((0, 0, heights[-1]), (rng.uniform(0.05, 0.25), 0, heights[-1]), thick, thick * 2.2))
    rest = (rng.uniform(0.1, 0.5), rng.uniform(0.4, 1.2), rng.uniform(0.2, 1.0))
    joints = [
        Joint(k + 1, 5, (0, 0, heights[k]), (0, 1, 0), float(rng.uniform(0.1, 0.5)), float(rng.random()), rest[k])
        for k in (2, 1, 0)
    ]
    return _Body(parts, joints)


def _worm(rng: np.random.Generator) -> _Body:
    """A rounded bar of many slices that bends to and fro."""
    return _Body(list(_slices(rng, rng.uniform(0.08, 0.2), 1.0)), [], bend=rng.uniform(0.8, 2.2))


def _post(rng: np.random.Generator) -> _Body:
    """A wide one that sways."""
    return _Body(list(_slices(rng, rng.uniform(0.25, 0.4), 1.0)), [], bend=rng.uniform(0.4, 1.0), squash=0.15)


def _slices(rng: np.random.Generator, radius: float, length: float, count: int = 12) -> Iterator[Points]:
    """Frustums along z with a wavy outline."""
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
    for low, high in zip(rings[:-1], rings[1:], strict=True):
        yield np.concatenate([low, high])


def _jelly(rng: np.random.Generator) -> _Body:
    """A ball that hops and is squashed where it lands, with ears or feelers."""
    radii = rng.uniform(0.3, 0.5, 3)
    parts = [_ball((0, 0, 0), radii, 90)]
    joints = []
    for side in (-1, 1) if rng.random() < 0.7 else ():
        y, top = side * radii[1] * 0.5, radii[2] * 0.8
        parts.append(_limb((0, y, top), (0, y * 1.3, top + rng.uniform(0.2, 0.5)), rng.uniform(0.05, 0.1)))
        joints.append(Joint(len(parts) - 1, len(parts), (0, y, top), (0, 1, 0), rng.uniform(0.2, 0.6), 0.2))
    return _Body(parts, joints, squash=rng.uniform(0.15, 0.4))


KINDS: dict[str, Callable[[np.random.Generator], _Body]] = {
    "arm": _arm,
    "biped": _biped,
    "bird": _bird,
    "jelly": _jelly,
    "post": _post,
    "quadruped": _quadruped,
    "worm": _worm,
}
"""Kinds by label."""
