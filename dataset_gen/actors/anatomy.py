"""Bodies of animals: closed, tapered parts in an order in which each limb is one range of vertices.

Measures are fractions of the height of the withers until ``build_body`` scales them to metres. An animal faces +x, its
feet stand on z = 0, and its limbs lie in planes of constant y. Stations are centres and half sizes of cross-sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from dataset_gen.meshes import Points
from dataset_gen.solids import ellipsoid, tube
from vidamodal.worlds.spec import Mesh

Station = tuple[float, float, float, float]
"""x, z, and half sizes in the plane of symmetry and along y."""


@dataclass(frozen=True)
class Leg:
    """A leg of three links and a foot; both sides are alike."""

    joints: tuple[tuple[float, float], ...]
    """x and z of hip, knee, hock and foot; of the foreleg shoulder, elbow, wrist and foot."""
    radii: tuple[tuple[float, float], ...]
    """Half sizes at the four joints in the plane of symmetry and along y."""
    y: float
    """Distance from the plane of symmetry."""
    foot: tuple[float, float, float] = (0.08, 0.04, 0.04)
    """Length of the foot in front of its joint, and its half height and half width."""
    claws: bool = False
    """True for the spread toes of a bird."""


@dataclass(frozen=True)
class Anatomy:
    """The measures of an animal at rest, in heights of the withers."""

    height: float
    """Height of the withers in metres."""
    torso: tuple[Station, ...]
    """From the rump to the chest."""
    hind: Leg
    neck: tuple[Station, ...]
    """Base, middle and top."""
    head: tuple[Station, ...]
    """From the back of the skull to the nose."""
    fore: Leg | None = None
    tail: tuple[Station, ...] = ()
    """Three stations from the root to the tip."""
    trunk: tuple[Station, ...] = ()
    """Stations from the face to the tip of an elephant's trunk."""
    on_head: tuple[Mesh, ...] = ()
    """Ears, horns, comb and beak."""
    on_chest: tuple[Mesh, ...] = ()
    """What the front of the body carries: folded wings, a hump."""
    on_rump: tuple[Mesh, ...] = ()
    on_neck: tuple[Mesh, ...] = ()
    """The mane on the lower half of the neck."""
    wing: tuple[float, float] | None = None
    """Length of each of the two links of a spread wing, and its width."""

    def changed(
        self, station: Callable[[Station], Station], vertices: Callable[[Points], Points], leg: Callable[[Leg], Leg]
    ) -> Anatomy:
        """Return the anatomy with a function applied to all of its stations, to all vertices, and to its legs."""

        def stations(values: Sequence[Station]) -> tuple[Station, ...]:
            return tuple(map(station, values))

        def meshes(values: Sequence[Mesh]) -> tuple[Mesh, ...]:
            return tuple(Mesh(vertices(mesh.vertices), mesh.faces) for mesh in values)

        return replace(
            self,
            torso=stations(self.torso),
            neck=stations(self.neck),
            head=stations(self.head),
            tail=stations(self.tail),
            trunk=stations(self.trunk),
            hind=leg(self.hind),
            fore=None if self.fore is None else leg(self.fore),
            on_head=meshes(self.on_head),
            on_chest=meshes(self.on_chest),
            on_rump=meshes(self.on_rump),
            on_neck=meshes(self.on_neck),
        )


Part = tuple[int, int]
"""First and last (exclusive) vertex of a limb."""


@dataclass(frozen=True)
class Body:
    """The parts of an animal in metres, and the ranges of vertices that turn together."""

    anatomy: Anatomy
    """In metres."""
    parts: tuple[Mesh, ...]
    ranges: Mapping[str, Part]
    """Limbs by name: ``hind0.thigh`` includes the shin, cannon and foot below it; sides are 0 (left) and 1."""
    legs: Mapping[str, Leg] = field(default_factory=dict)
    """Legs by name: hind0, hind1, fore0, fore1."""


class _Builder:
    """Collects parts and remembers at which vertex they begin."""

    def __init__(self) -> None:
        self.parts: list[Mesh] = []
        self.count = 0
        self.ranges: dict[str, Part] = {}

    def add(self, parts: Iterable[Mesh]) -> None:
        for part in parts:
            self.parts.append(part)
            self.count += len(part.vertices)

    def close(self, name: str, start: int) -> None:
        self.ranges[name] = (start, self.count)


def scaled(anatomy: Anatomy) -> Anatomy:
    """Return an anatomy whose measures are metres."""
    size = anatomy.height

    def station(value: Station) -> Station:
        x, z, high, wide = value
        return x * size, z * size, high * size, wide * size

    metres = anatomy.changed(station, lambda vertices: vertices * size, lambda leg: _scaled_leg(leg, size))
    return replace(metres, wing=None if anatomy.wing is None else (anatomy.wing[0] * size, anatomy.wing[1] * size))


def _scaled_leg(leg: Leg, size: float) -> Leg:
    def pairs(values: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        return tuple((a * size, b * size) for a, b in values)

    length, high, wide = (measure * size for measure in leg.foot)
    return replace(leg, joints=pairs(leg.joints), radii=pairs(leg.radii), y=leg.y * size, foot=(length, high, wide))


def along(stations: Sequence[Station], sides: int = 9, smooth: bool = False) -> Mesh:
    """Return a tube through stations; if it is smooth, a cross-section is interpolated between all neighbours."""
    data = _smooth(np.array(stations)) if smooth else np.array(stations)
    path = np.stack([data[:, 0], np.zeros(len(data)), data[:, 1]], axis=1)
    return tube(path, [(wide, high) for _, _, high, wide in data.tolist()], sides)


def _smooth(data: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "m 4"]:
    """Insert a station between all neighbours by Catmull and Rom's spline; half sizes stay positive."""
    if len(data) < 4:
        return data
    padded = np.concatenate([2 * data[:1] - data[1:2], data, 2 * data[-1:] - data[-2:-1]])
    middle = (9 * (padded[1:-2] + padded[2:-1]) - padded[:-3] - padded[3:]) / 16
    middle[:, 2:] = np.maximum(middle[:, 2:], np.minimum(data[:-1, 2:], data[1:, 2:]))
    out = np.empty((2 * len(data) - 1, 4))
    out[::2], out[1::2] = data, middle
    return out


def build_body(anatomy: Anatomy) -> Body:
    """Return the body of an animal in metres, its limbs in the order in which hinges need them."""
    metres = scaled(anatomy)
    builder = _Builder()
    legs: dict[str, Leg] = {}
    split = len(metres.torso) // 2
    builder.add([along(metres.torso[: split + 2], smooth=True), *metres.on_rump])
    _add_legs(builder, legs, "hind", metres.hind)
    if metres.tail:
        _add_chain(builder, "tail", metres.tail, 5)
    builder.close("rear", 0)
    builder.add([along(metres.torso[split - 1 :], smooth=True), *metres.on_chest])
    if metres.fore:
        _add_legs(builder, legs, "fore", metres.fore)
    if metres.wing:
        _add_wings(builder, metres, metres.wing)
    start = builder.count
    low, middle, top = metres.neck
    builder.add([along((low, middle), 8), *metres.on_neck])
    upper = builder.count
    builder.add([along((middle, top), 8)])
    skull = builder.count
    builder.add([along(metres.head, 8), *metres.on_head])
    if metres.trunk:
        _add_chain(builder, "trunk", metres.trunk, 6)
    for name, first in (("head", skull), ("neck1", upper), ("neck0", start)):
        builder.close(name, first)
    builder.close("all", 0)
    return Body(metres, tuple(builder.parts), builder.ranges, legs)


def _add_chain(builder: _Builder, name: str, stations: Sequence[Station], sides: int) -> None:
    """Add links between neighbouring stations; each range includes the links behind it."""
    starts = []
    for pair in pairwise(stations):
        starts.append(builder.count)
        builder.add([along(pair, sides)])
    for k, start in enumerate(starts):
        builder.close(f"{name}{k}", start)


def _add_legs(builder: _Builder, legs: dict[str, Leg], name: str, leg: Leg) -> None:
    for side, sign in enumerate((1, -1)):
        y = sign * leg.y
        starts = []
        links = [(*joint, *radius) for joint, radius in zip(leg.joints, leg.radii, strict=True)]
        for first, last, sides in zip(links[:-1], links[1:], (6, 6, 5), strict=True):
            starts.append(builder.count)
            builder.add([_link(first, last, sides, y)])
        starts.append(builder.count)
        builder.add(_foot(leg, y))
        for part, start in zip(("thigh", "shin", "cannon", "foot"), starts, strict=True):
            builder.close(f"{name}{side}.{part}", start)
        legs[f"{name}{side}"] = leg


def _link(first: Station, last: Station, sides: int, y: float) -> Mesh:
    """Return a link of a leg with a muscle in its upper half."""
    ends = np.array((first, last))
    middle = ends.mean(axis=0)
    middle[2:] = 0.7 * ends[0, 2:] + 0.3 * ends[1, 2:]
    path = [(x, y, z) for x, z, *_ in (first, middle, last)]
    return tube(path, [(wide, deep) for _, _, deep, wide in (first, middle, last)], sides)


def _foot(leg: Leg, y: float) -> list[Mesh]:
    x, z = leg.joints[3]
    length, high, wide = leg.foot
    if not leg.claws:
        base = z if z > 4 * high else high  # a hand in the air is level with its joint
        path = [(x - high * 0.3, y, base), (x + length * 0.5, y, base), (x + length, y, base - high * 0.2)]
        radii = [(wide * 0.9, high), (wide, high), (wide * 0.85, high * 0.75)]
        return [tube(path, radii, 6)]
    toes = [
        tube([(x, y, z), (x + length * np.cos(a), y + length * np.sin(a), high)], [high, high * 0.8], 4, (0, 0, 1))
        for a in (-0.5, 0.0, 0.5, np.pi)
    ]
    if wide > high * 2:  # a web between the toes
        toes.append(ellipsoid((x + length * 0.5, y, high * 0.7), (length * 0.5, wide, high * 0.7), 16))
    return toes


def _add_wings(builder: _Builder, anatomy: Anatomy, wing: tuple[float, float]) -> None:
    """Add spread wings of two links along y."""
    length, chord = wing
    x, z, high, wide = anatomy.torso[2 * len(anatomy.torso) // 3]
    top = z + high * 0.5
    for side, sign in enumerate((1, -1)):
        root = sign * wide * 0.5
        middle, tip = root + sign * length, root + 2 * sign * length
        inner = [(x, root, top), (x + chord * 0.1, (root + middle) / 2, top), (x, middle, top)]
        outer = [(x, middle, top), (x - chord * 0.3, (middle + tip) / 2, top), (x - chord * 0.9, tip, top)]
        wide_to_narrow = np.array(((1.0, 0.09), (1.0, 0.07), (0.8, 0.05), (0.55, 0.04), (0.1, 0.02))) * chord
        radii = [(first, second) for first, second in wide_to_narrow.tolist()]
        start = builder.count
        builder.add([tube(inner, radii[:3], 8, (1, 0, 0))])
        hand = builder.count
        builder.add([tube(outer, radii[2:], 8, (1, 0, 0))])
        builder.close(f"wing{side}.arm", start)
        builder.close(f"wing{side}.hand", hand)
