"""Who and what appears in a place: assets of a split, chosen at random, with the things they can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.animals import Animals
from dataset_gen.actors.people import People
from dataset_gen.actors.performances import Cast
from dataset_gen.actors.riders import Riders
from dataset_gen.actors.vehicles import Vehicles
from dataset_gen.assets import Asset, Split

FASTEST = 10.0
"""Greatest speed in metres per second that is chosen freely."""

COMMON = {"walk": 9.0, "stand": 4.0, "run": 2.0, "carry": 2.0, "trot": 3.0, "strut": 3.0, "crawl": 0.5, "fall": 0.5}
"""How much more often than others an action is chosen; 1 for those that are not listed."""

PUSHED = ("pram", "trolley", "wheelbarrow")
"""Vehicles that somebody pushes."""

NEEDS_MORE = {"cycle"}
"""Actions that make no sense without another thing."""

CastName = Literal["person", "rider", "animal", "vehicle"]


@dataclass(frozen=True)
class Actor:
    """A thing that acts, with its size in metres."""

    asset: Asset
    cast: Cast

    @cached_property
    def extent(self) -> Float[np.ndarray, " 3"]:
        """Length along x, width along y and height in metres, at rest."""
        return np.asarray(np.ptp(self.asset.mesh.vertices, axis=0), dtype=np.float64)

    @property
    def reach(self) -> float:
        """Half the greatest length on the ground in metres; limbs at rest may be spread, so it has a limit."""
        return float(min(np.hypot(*self.extent[:2]) / 2, 0.45 * max(self.extent.max(), 1.0)))

    @property
    def half_width(self) -> float:
        """Half the width in metres of the way that the actor needs; arms at rest may be spread."""
        return float(np.clip(self.extent[1] / 2, 0.12, max(0.3, 0.3 * self.extent[0])))

    @property
    def actions(self) -> Mapping[str, tuple[float, float]]:
        """Return the actions with their range of speeds in metres per second."""
        return self.cast.actions(self.asset.id)

    def choose(self, rng: np.random.Generator, moves: bool, speed: float | None = None) -> tuple[str, float]:
        """Choose an action that does or does not move the actor, and its speed in metres per second.

        Args:
            rng: Source of the choice.
            moves: True for an action that goes somewhere.
            speed: Speed to come near to, where the actor has to keep up with another.
        """
        known = {name: ends for name, ends in self.actions.items() if name not in NEEDS_MORE}
        able = {name: ends for name, ends in known.items() if (ends[1] > 0.35 if moves else ends[0] == 0.0)} or known
        names = sorted(able, key=lambda name: (-COMMON.get(name, 1.0), name))
        if speed is not None:
            names.sort(key=lambda name: max(able[name][0] - speed, speed - able[name][1], 0.0))
            low, high = able[names[0]]
            return names[0], float(np.clip(speed, low, high))
        weights = np.array([COMMON.get(name, 1.0) for name in names])
        low, high = able[name := names[rng.choice(len(names), p=weights / weights.sum())]]
        if high == 0 or not (moves or low > 0):
            return name, 0.0
        slow, fast = max(low, 0.2 * high), max(low, min(high, FASTEST))
        return name, float(np.exp(rng.uniform(np.log(slow), np.log(fast))))


def one_of(rng: np.random.Generator, ids: Sequence[str]) -> str:
    """Choose one of some ids."""
    return ids[int(rng.integers(len(ids)))]


def one_of_kinds(rng: np.random.Generator, ids: Mapping[str, Sequence[str]], kinds: Sequence[str]) -> str:
    """Choose a kind, then one of its ids."""
    return one_of(rng, ids[kinds[int(rng.integers(len(kinds)))]])


def actor(rng: np.random.Generator, cast: Cast, split: Split, families: Sequence[str] = ()) -> Actor:
    """Choose an actor of a cast, from some of its families or from all."""
    ids = cast.ids(split)
    if families:
        family = one_of(rng, families)
        ids = [asset_id for asset_id in ids if asset_id.partition("/")[0] == family]
    return Actor(cast.load(one_of(rng, ids)), cast)


CASTS: dict[CastName, Cast] = {
    "person": People(),
    "rider": Riders(),
    "animal": Animals(),
    "vehicle": Vehicles(),
}
"""Casts by name."""
