"""People: bodies of the library in clothes, with things in their hands, and what they do."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.bodies import LICENCE, SOURCE, Body, body_numbers, load_body
from dataset_gen.actors.motions import Act, known_actions, perform_action
from dataset_gen.actors.outfits import Dressed, dress
from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.rig import rotation_vectors
from dataset_gen.assets import SPLITS, Asset, Split
from dataset_gen.meshes import convex_hull
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, Pose, Skin, deform

FAMILY = "person"

_NUMBERS: dict[Split, range] = {"train": range(1200), "validation": range(1200, 1360), "test": range(1360, 1600)}
_ROTATION_DECIMALS = 3


class People:
    """The cast of people; it implements `dataset_gen.actors.performances.Cast`."""

    def ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split."""
        return tuple(f"{FAMILY}/{number:04d}" for number in _NUMBERS[split])

    def load(self, asset_id: str) -> Asset:
        """Return the asset with an id. Raises InputError if it is in no split."""
        mesh = load_person(asset_id).body.mesh
        hull = convex_hull(mesh.vertices)
        return Asset(asset_id, FAMILY, (hull,), f"{LICENCE} AND Apache-2.0", f"{SOURCE}; dataset_gen", mesh)

    def actions(self, asset_id: str) -> Mapping[str, tuple[float, float]]:
        """Return what a person can do, each with its lowest and highest speed in metres per second."""
        person = load_person(asset_id)
        pace = float(np.sqrt(person.naked.height / 1.7))  # speeds of equal Froude number
        return {
            name: (round(low * pace, 2), round(high * pace, 2))
            for name, (low, high) in ((name, known.speeds) for name, known in known_actions(person).items())
        }

    def perform(self, asset_id: str, action: str, path: GroundPath, rng: np.random.Generator) -> Performance:
        """Return how a person moves along a path; joint rotations are rounded to 3 decimals.

        Raises:
            InputError: The id is in no split, or the person cannot do this.
        """
        person = load_person(asset_id)
        if action not in self.actions(asset_id):
            known = ", ".join(self.actions(asset_id))
            raise InputError(f"{asset_id} does not know the action {action!r}. Use one of {known}.")
        act = perform_action(person, action, path, rng)
        vectors = rotation_vectors(person.naked, act.posture)
        rotations = np.round(vectors, _ROTATION_DECIMALS) + 0.0
        skin = Skin(tuple(tuple(map(tuple, frame)) for frame in rotations.tolist()))
        deformation = Deformation(skin=skin)
        return Performance(_poses(person, act, path, deformation), deformation)


@cache
def _split(asset_id: str) -> Split:
    digits = asset_id.removeprefix(f"{FAMILY}/")
    for split in SPLITS:
        if digits.isascii() and digits.isdecimal() and len(digits) == 4 and int(digits) in _NUMBERS[split]:
            return split
    raise InputError(f"person {asset_id!r} is in no split. Use one of the ids that People.ids returns.")


@lru_cache(maxsize=256)
def load_person(asset_id: str) -> Dressed:
    """Return the body with an id, in its clothes."""
    split = _split(asset_id)
    numbers = body_numbers(split)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(asset_id.encode())))
    return dress(load_body(numbers[int(asset_id.partition("/")[2]) % len(numbers)]), split, rng)


def _poses(person: Dressed, act: Act, path: GroundPath, deformation: Deformation) -> tuple[Pose, ...]:
    """Return the poses in which the lowest vertex of each frame is on the floor, or as high as the act says."""
    lowest = _lowest(person.body, deformation, len(path.positions))
    if act.level:
        lowest = np.full_like(lowest, lowest.min())
    poses = []
    offset = act.hips[:, :2] - person.naked.pivot("pelvis")[:2]
    for t, (place, heading) in enumerate(zip(path.positions, path.headings, strict=True)):
        cosine, sine = np.cos(heading), np.sin(heading)
        x = place[0] + cosine * offset[t, 0] - sine * offset[t, 1]
        y = place[1] + sine * offset[t, 0] + cosine * offset[t, 1]
        w, _, _, z = np.round((np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)), DECIMALS).tolist()
        poses.append(Pose(round_vector(np.array((x, y, act.height[t] - lowest[t]))), (w, 0.0, 0.0, z)))
    return tuple(poses)


def _lowest(body: Body, deformation: Deformation, frames: int) -> Float[np.ndarray, " t"]:
    mesh = body.mesh
    return np.array([deform(mesh.vertices, deformation, t, mesh.skeleton)[:, 2].min() for t in range(frames)])
