"""What all vehicles consist of: solids, parts that turn, and where a rider sits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_gen.meshes import Points
from dataset_gen.solids import bar, skin_rings, torus
from vidamodal.worlds.spec import Mesh, Vector


@dataclass(frozen=True)
class Mount:
    """Where the body of a rider touches a vehicle, in the coordinates of its mesh in metres."""

    seat: Vector
    """Top of the saddle or seat; for a kick scooter or a skateboard the deck, on which the rider stands."""
    hands: tuple[Vector, Vector]
    """Left and right grip."""
    feet: Vector
    """Centre of the crank, or the middle between the footrests."""
    crank: float = 0.0
    """Radius of the pedals' circle; 0 if the feet stay still."""
    pedal: float = 0.0
    """Distance of a pedal's middle from the plane y = 0."""
    development: float = 0.0
    """Metres that one turn of the crank covers. At a crank angle of 0 the left pedal is in front; it goes down next."""
    stands: bool = False
    """True if the rider stands."""

    def scaled(self, size: float) -> Mount:
        """Return the mount of a vehicle of another size."""

        def grown(place: Vector) -> Vector:
            x, y, z = place
            return x * size, y * size, z * size

        left, right = self.hands
        return Mount(
            grown(self.seat),
            (grown(left), grown(right)),
            grown(self.feet),
            self.crank * size,
            self.pedal * size,
            self.development * size,
            self.stands,
        )


@dataclass(frozen=True)
class Turning:
    """Solids that turn about an axis along y through a centre."""

    first: int
    """Number of the first solid."""
    last: int
    """Number behind the last solid."""
    centre: Vector
    metres: float
    """Way that turns them once."""


@dataclass(frozen=True)
class Frame:
    """A vehicle: its solids in metres, the parts that turn, and its mount."""

    solids: tuple[Mesh, ...]
    turning: tuple[Turning, ...] = ()
    mount: Mount | None = None
    leans: bool = False
    """True if it leans in bends, as two wheels in line do."""
    floats: bool = False
    """True if it rocks on water; the floor is the surface of the water."""


class Workshop:
    """Collects the solids of a vehicle and what turns among them."""

    def __init__(self) -> None:
        self.solids: list[Mesh] = []
        self.turning: list[Turning] = []

    def add(self, *solids: Mesh) -> None:
        """Add solids that do not turn."""
        self.solids += solids

    def turn(self, solids: Iterable[Mesh], centre: Vector, metres: float) -> None:
        """Add solids that turn once in some metres."""
        first = len(self.solids)
        self.solids += solids
        self.turning.append(Turning(first, len(self.solids), centre, metres))

    def wheel(self, x: float, y: float, radius: float, width: float) -> None:
        """Add a solid wheel that stands on the floor."""
        ends = [(x, y - width / 2, radius), (x, y + width / 2, radius)]
        self.turn([bar(ends[0], ends[1], radius, None, 14)], (x, y, radius), 2 * np.pi * radius)

    def spoked_wheel(self, x: float, y: float, radius: float, tyre: float, spokes: int = 6) -> None:
        """Add a wheel that one can see through: a tyre, a hub and a few spokes."""
        centre = (x, y, radius)
        solids = [
            torus(centre, radius - tyre, tyre, segments=22, sides=4),
            bar((x, y - 0.04, radius), (x, y + 0.04, radius), 0.02),
        ]
        for angle in np.arange(spokes) * np.pi / spokes:
            reach = (radius - tyre) * np.array((np.cos(angle), 0, np.sin(angle)))
            solids.append(bar(centre - reach, centre + reach, 0.0025, None, 3))
        self.turn(solids, centre, 2 * np.pi * radius)

    def frame(self, mount: Mount | None = None, leans: bool = False, floats: bool = False) -> Frame:
        """Return the finished vehicle."""
        return Frame(tuple(self.solids), tuple(self.turning), mount, leans, floats)


@dataclass(frozen=True)
class Section:
    """A cross-section of a car's body."""

    x: float
    low: float
    """Height of the sill."""
    belt: float
    """Height at which the sides are widest: the lower edge of the windows."""
    top: float
    wide: float
    """Half the width at the belt."""
    roof: float
    """Half the width at the top."""


def body(sections: Sequence[Section]) -> Mesh:
    """Return the closed body of a car through cross-sections; windows belong to it."""
    return skin_rings(np.stack([_ring(section) for section in sections]))


def _ring(s: Section) -> Points:
    roof = max(s.top - 0.06 * (s.top - s.low), s.belt)
    half = [
        (s.wide * 0.86, s.low),
        (s.wide, s.low + 0.35 * (s.belt - s.low)),
        (s.wide, s.belt),
        (s.roof + 0.15 * (s.wide - s.roof), roof),
        (s.roof * 0.85, s.top),
    ]
    points = [*half, *((-y, z) for y, z in reversed(half))]
    return np.array([(s.x, y, z) for y, z in points])
