"""Proportions of single animals around those of their kind, and what their heads and rumps carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dataset_gen.actors.anatomy import Anatomy, Leg, Station
from dataset_gen.solids import tube
from vidamodal.worlds.spec import Mesh


@dataclass(frozen=True)
class Habits:
    """What a kind of animal does."""

    gaits: tuple[str, ...]
    postures: tuple[str, ...]
    top_speed: float
    """In metres per second."""
    wag: tuple[float, float] = (0.1, 0.4)
    """Least and greatest amplitude of the tail in radians."""
    tail: tuple[float, float] = (-0.1, 0.2)
    """Least and greatest angle by which the tail is raised."""
    neck: tuple[float, float] = (-0.2, 0.15)
    """Least and greatest angle by which the neck is raised."""


@dataclass(frozen=True)
class Build:
    """Random proportions of an animal around those of its kind."""

    height: float
    long: float
    girth: float
    thick: float
    neck: float
    face: float
    tail: float

    def torso(self, *stations: Station) -> tuple[Station, ...]:
        """Return the stations of the torso at this length and girth."""
        return tuple((x * self.long, z, a * self.girth, b * self.girth) for x, z, a, b in stations)

    def leg(
        self,
        joints: tuple[tuple[float, float], ...],
        radii: tuple[tuple[float, float], ...],
        y: float,
        foot: tuple[float, float, float],
        claws: bool = False,
    ) -> Leg:
        """Return a leg at this length of the body, with its foot below its root."""
        root = joints[0][0]
        moved = tuple((x - root + root * self.long, z) for x, z in joints)
        thick = tuple((a * self.thick, b * self.thick) for a, b in radii)
        return Leg(moved, thick, y * (0.5 + 0.5 * self.girth), foot, claws)

    def chest(self, x: float) -> float:
        """Return how far a place moves forward with the length of the body."""
        return x * (self.long - 1)


def draw_build(rng: np.random.Generator, height: tuple[float, float]) -> Build:
    """Draw the proportions of an animal whose withers are between two heights in metres."""
    low, high = height
    long, girth, thick, neck, face, tail = rng.uniform(0.9, 1.1, 6)
    return Build(rng.uniform(low, high), long, girth, thick, neck, face, tail)


def place_front(
    build: Build, neck: tuple[Station, ...], head: tuple[Station, ...], extras: list[Mesh]
) -> tuple[tuple[Station, ...], tuple[Station, ...], tuple[Mesh, ...]]:
    """Move neck, head and what is on the head with the chest, and vary the lengths of neck and face."""
    shift = np.array((build.chest(neck[0][0]), 0.0))
    base, skull = np.array(neck[0][:2]), np.array(head[0][:2])
    grown = base + (skull - base) * build.neck + shift

    def on_neck(station: Station) -> Station:
        x, z = base + (np.array(station[:2]) - base) * build.neck + shift
        return (float(x), float(z), station[2], station[3])

    def on_head(station: Station) -> Station:
        x, z = grown + (np.array(station[:2]) - skull) * build.face
        return (float(x), float(z), station[2] * build.face, station[3] * build.face)

    def carried(mesh: Mesh) -> Mesh:
        places = (mesh.vertices - (skull[0], 0, skull[1])) * build.face + (grown[0], 0, grown[1])
        return Mesh(places, mesh.faces)

    return tuple(map(on_neck, neck)), tuple(map(on_head, head)), tuple(map(carried, extras))


def place_tail(build: Build, *stations: Station) -> tuple[Station, ...]:
    """Return a tail at this length of the body and of the tail."""
    root = stations[0][0]
    return tuple((root * build.long + (x - root) * build.tail, z, a, b) for x, z, a, b in stations)


def pair(make: Callable[[float], Mesh]) -> list[Mesh]:
    """Return the parts of both sides; ``make`` takes the sign of y."""
    return [make(1.0), make(-1.0)]


def ears_at(
    x: float, z: float, y: float, tip: tuple[float, float, float], wide: float, thin: float, blunt: float = 0.15
) -> list[Mesh]:
    """Return two pointed ears from (x, +-y, z) by way of ``tip``."""

    def one(sign: float) -> Mesh:
        way = np.array((tip[0], sign * tip[1], tip[2]))
        root = np.array((x, sign * y, z))
        side = (0.0, 1.0, 0.0) if abs(tip[1]) < abs(tip[2]) + abs(tip[0]) else (1.0, 0.0, 0.0)
        return tube(
            [root - way * 0.15, root + way * 0.45, root + way],
            [(wide * 0.8, thin), (wide, thin), (wide * blunt, thin * 2 * blunt)],
            6,
            side,
            False,
        )

    return pair(one)


def lowered(anatomy: Anatomy, drop: float) -> Anatomy:
    """Return an animal with legs that are shorter by ``drop``."""
    if not drop:
        return anatomy

    def down(station: Station) -> Station:
        x, z, high, wide = station
        return x, z - drop, high, wide

    def shorter(leg: Leg) -> Leg:
        share = 1 - drop / leg.joints[0][1]
        return replace(leg, joints=tuple((x, z * share if k < 3 else z) for k, (x, z) in enumerate(leg.joints)))

    return anatomy.changed(down, lambda vertices: vertices - (0, 0, drop), shorter)


def beak(x: float, z: float, tip: tuple[float, float], wide: float, high: float) -> Mesh:
    """Return a beak from (x, z) to a tip."""
    return tube(
        [(x, 0, z), ((x + tip[0]) / 2, 0, (z + tip[1]) / 2), (tip[0], 0, tip[1])],
        [(wide, high), (wide * 0.8, high * 0.8), (wide * 0.3, high * 0.2)],
        6,
    )
