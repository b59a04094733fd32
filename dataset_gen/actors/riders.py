"""People who ride bicycles, motorcycles, mopeds, scooters, skateboards and horses.

A rider and what carries it are one thing, as in data sets with cyclists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dataset_gen.actors.animals import Animals, load_animal
from dataset_gen.actors.gaits import leg_length
from dataset_gen.actors.people import People, load_person
from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.rig import rotation_vectors
from dataset_gen.actors.seats import Seat, horse_seat, ridden, seat_on
from dataset_gen.actors.vehicle_frames import Mount
from dataset_gen.actors.vehicles import Vehicles, load_vehicle
from dataset_gen.assets import SPLITS, Asset, Split, variants
from dataset_gen.families import family_ids, require_kind, seeded
from dataset_gen.meshes import convex_hull
from dataset_gen.rounding import round_vector
from vidamodal.worlds.spec import Deformation, Hinge, Mesh, Skeleton, Skin

CARRIERS: dict[str, tuple[str, ...]] = {
    "cyclist": ("bicycle",),
    "motorcyclist": ("motorcycle", "moped"),
    "horse_rider": ("horse",),
    "scooter_rider": ("kick_scooter",),
    "skateboarder": ("skateboard",),
}
"""What carries the riders of each kind."""

_ROTATION_DECIMALS = 3


@dataclass(frozen=True)
class Rider:
    """A person in the saddle of a carrier."""

    asset: Asset
    carrier: str
    """Id of the vehicle or animal."""
    seat: Seat
    scale: float
    """Size of the carrier relative to its asset."""
    count: int
    """Number of vertices of the carrier, which come first."""


@cache
def load_rider(asset_id: str) -> Rider:
    """Return the rider with an id. Raises InputError if it is in no split."""
    kind = require_kind(asset_id, CARRIERS)
    number = int(asset_id.partition("/")[2])
    split = next(split for split in SPLITS if number in variants(split))
    rng = seeded(asset_id)
    carriers = CARRIERS[kind]
    carrier = f"{carriers[rng.integers(len(carriers))]}/{number:04d}"
    person = _person(split, rng, 0.65 if kind in ("motorcyclist", "horse_rider") else 0.55)
    body = load_person(person)
    if kind == "horse_rider":
        carried, mount, scale = load_animal(carrier).asset, horse_seat(load_animal(carrier).body), 1.0
    else:
        vehicle = load_vehicle(carrier)
        mount = vehicle.frame.mount or Mount((0.0, 0.0, 0.0), ((0.0, 0.0, 0.0),) * 2, (0.0, 0.0, 0.0))
        carried, scale = vehicle.asset, _fitting(mount, leg_length(body.naked))
        mount = mount.scaled(scale)
    seat = seat_on(body, mount, kind, rng)
    mesh, count = _joined(carried.mesh, scale, body.body.mesh, seat)
    hulls = (*(Mesh(part.vertices * scale, part.faces) for part in carried.parts), convex_hull(mesh.vertices[count:]))
    people = People().load(person)
    asset = Asset(asset_id, kind, hulls, people.licence, people.source, mesh)
    return Rider(asset, carrier, seat, scale, count)


def _person(split: Split, rng: np.random.Generator, leg: float) -> str:
    """Choose a person of a split with free hands and legs of at least some length in metres."""
    ids = People().ids(split)
    while True:
        asset_id = ids[int(rng.integers(len(ids)))]
        person = load_person(asset_id)
        if not person.holds and leg_length(person.naked) > leg:
            return asset_id


def _fitting(mount: Mount, leg: float) -> float:
    """Return the size of a vehicle at which the legs of a rider are nearly straight over the lower pedal."""
    if not mount.crank:
        return 1.0
    reach = float(np.hypot(mount.seat[0] - mount.feet[0], mount.seat[2] - mount.feet[2] + mount.crank))
    return float(np.clip(leg / reach, 0.65, 1.12))


def _joined(carrier: Mesh, scale: float, person: Mesh, seat: Seat) -> tuple[Mesh, int]:
    """Return carrier and person as one mesh; the carrier hangs on a joint that does not turn."""
    skeleton = person.skeleton
    assert skeleton is not None
    count, joints = len(carrier.vertices), len(skeleton.parents)
    vertices = np.concatenate([carrier.vertices * scale, person.vertices + seat.offset]).astype(np.float32)
    faces = np.concatenate([carrier.faces, person.faces + count]).astype(np.int32)
    weights = np.zeros((len(vertices), joints + 1), dtype=np.float32)
    weights[:count, joints] = 1.0
    weights[count:, :joints] = skeleton.weights
    parents = np.append(skeleton.parents, -1)
    pivots = np.concatenate([skeleton.pivots + seat.offset, np.zeros((1, 3))])
    return Mesh(vertices, faces, Skeleton(parents, pivots, weights)), count


class Riders:
    """The cast of riders (`Cast`)."""

    def ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split."""
        return [name for names in family_ids(CARRIERS, split).values() for name in names]

    def load(self, asset_id: str) -> Asset:
        """Return the asset with an id. Raises InputError if it is in no split."""
        return load_rider(asset_id).asset

    def actions(self, asset_id: str) -> Mapping[str, tuple[float, float]]:
        """Return what a rider can do, each with its lowest and highest speed in metres per second."""
        kind = require_kind(asset_id, CARRIERS)
        if kind == "horse_rider":
            gaits = Animals().actions(load_rider(asset_id).carrier)
            return {name: gaits[name] for name in ("walk", "trot", "gallop", "stand")}
        return {"drive": Vehicles().actions(load_rider(asset_id).carrier)["drive"]}

    def perform(self, asset_id: str, action: str, path: GroundPath, rng: np.random.Generator) -> Performance:
        """Return how a rider moves along a path: the carrier moves as it does alone, and feet turn the pedals.

        Raises:
            InputError: The id is in no split, or there is no such action.
        """
        rider = load_rider(asset_id)
        cast = Animals() if rider.carrier.startswith("horse/") else Vehicles()
        slower = replace(path, positions=path.positions / rider.scale)  # small wheels turn faster
        alone = cast.perform(rider.carrier, action, slower, rng)
        poses = tuple(
            replace(pose, position=(float(x), float(y), pose.position[2]))
            for pose, (x, y) in zip(alone.poses, path.positions, strict=True)
        )
        vectors = rotation_vectors(rider.seat.person.naked, ridden(rider.seat, path.travelled, path.fps, rng))
        still = np.zeros((len(vectors), 1, 3))
        rotations = np.round(np.concatenate([vectors, still], axis=1), _ROTATION_DECIMALS) + 0.0
        skin = Skin(tuple(tuple(map(tuple, frame)) for frame in rotations.tolist()))
        hinges = alone.deformation.hinges if alone.deformation else ()
        return Performance(poses, Deformation(hinges=tuple(_fitted(each, rider) for each in hinges), skin=skin))


def _fitted(hinge: Hinge, rider: Rider) -> Hinge:
    """Return a hinge of the carrier; one that turns the whole carrier turns the person, too."""
    total = len(rider.asset.mesh.vertices)
    stop = total if (hinge.start, hinge.stop) == (0, rider.count) else hinge.stop
    return replace(hinge, stop=stop, pivot=round_vector(rider.scale * np.array(hinge.pivot)))
