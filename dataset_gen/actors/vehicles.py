"""Vehicles that drive, lean in bends and rock on water: shapes by id, and their motion along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.animals import pose_at
from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.vehicle_frames import Frame, Mount
from dataset_gen.actors.vehicle_kinds import VEHICLES
from dataset_gen.assets import Asset, Split
from dataset_gen.families import family_ids, finish, require_kind, seeded
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, Hinge

GRAVITY = 9.81


@dataclass(frozen=True)
class Vehicle:
    """A vehicle: its asset, its parts, and its lowest and highest speed in metres per second."""

    asset: Asset
    frame: Frame
    speeds: tuple[float, float]


@cache
def load_vehicle(asset_id: str) -> Vehicle:
    """Return the vehicle with an id. Raises InputError if it is in no split."""
    maker, speeds = VEHICLES[require_kind(asset_id, VEHICLES)]
    frame = maker(seeded(asset_id))
    return Vehicle(finish(asset_id, frame.solids), frame, speeds)


class Vehicles:
    """The cast of vehicles (`Cast`)."""

    def ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split."""
        return [name for names in family_ids(VEHICLES, split).values() for name in names]

    def load(self, asset_id: str) -> Asset:
        """Return the asset with an id. Raises InputError if it is in no split."""
        return load_vehicle(asset_id).asset

    def mount(self, asset_id: str) -> Mount | None:
        """Return where a rider sits or stands; None if nobody is seen on this vehicle."""
        return load_vehicle(asset_id).frame.mount

    def actions(self, asset_id: str) -> Mapping[str, tuple[float, float]]:
        """Return what a vehicle can do, each with its lowest and highest speed in metres per second."""
        return {"drive": load_vehicle(asset_id).speeds, "park": (0.0, 0.0)}

    def perform(self, asset_id: str, action: str, path: GroundPath, rng: np.random.Generator) -> Performance:
        """Return how a vehicle moves along a path: wheels roll, two wheels in line lean, and boats rock.

        Raises:
            InputError: The id is in no split, or there is no such action.
        """
        vehicle = load_vehicle(asset_id)
        if action not in self.actions(asset_id):
            raise InputError(f"{asset_id}: vehicles do not {action!r}. Use one of drive, park.")
        frame, travelled = vehicle.frame, path.travelled
        hinges = _rolling(vehicle, travelled) if action == "drive" else ()
        roll, rise = np.zeros(len(travelled)), np.zeros(len(travelled))
        if frame.floats:
            roll, rise = _rocking(path, rng)
        elif frame.leans and action == "drive":
            roll = lean(path)
        poses = tuple(
            pose_at((*place, height), float(heading), float(angle))
            for place, height, heading, angle in zip(path.positions, rise, path.headings, roll, strict=True)
        )
        return Performance(poses, Deformation(hinges=hinges) if hinges else None)


def _rolling(vehicle: Vehicle, travelled: Float[np.ndarray, " t"]) -> tuple[Hinge, ...]:
    """Return the hinges of wheels and cranks, which turn forwards with the distance covered."""
    ends = np.cumsum([0, *(len(part.vertices) for part in vehicle.asset.parts)]).tolist()
    return tuple(
        Hinge(
            ends[part.first],
            ends[part.last],
            round_vector(np.array(part.centre)),
            (0.0, 1.0, 0.0),
            tuple(np.round(2 * np.pi * travelled / part.metres, DECIMALS).tolist()),
        )
        for part in vehicle.frame.turning
    )


def lean(path: GroundPath) -> Float[np.ndarray, " t"]:
    """Return the angle in radians, positive to the right, at which a bicycle leans in the bends of a path."""
    if len(path.headings) < 3:
        return np.zeros(len(path.headings))
    speed = np.gradient(path.travelled) * path.fps
    turning = np.gradient(np.unwrap(path.headings)) * path.fps
    raw = np.arctan2(-speed * turning, GRAVITY)
    window = np.ones(5) / 5
    smooth = np.convolve(np.pad(raw, 2, mode="edge"), window, mode="valid")
    return np.asarray(np.clip(smooth, -0.7, 0.7))


def _rocking(path: GroundPath, rng: np.random.Generator) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Return roll in radians and height in metres of a boat on waves; it never rises out of the water."""
    time = np.arange(len(path.headings)) / path.fps
    pace, shift = rng.uniform(0.2, 0.5), rng.uniform(0, 2 * np.pi, 2)
    roll = rng.uniform(0.01, 0.08) * np.sin(2 * np.pi * pace * time + shift[0])
    return roll, -rng.uniform(0.01, 0.06) * (1 + np.sin(2 * np.pi * 0.7 * pace * time + shift[1]))
