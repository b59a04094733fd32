"""What composers of scenes know of the things that act in them: where they go, how fast they can, and how they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from dataset_gen.assets import Asset, Split
from vidamodal.worlds.spec import Deformation, Pose


@dataclass(frozen=True)
class GroundPath:
    """The place of a thing on the floor in each frame."""

    positions: Float[np.ndarray, "t 2"]
    """World coordinates in metres."""
    headings: Float[np.ndarray, " t"]
    """Direction of the thing's x axis in radians."""
    fps: float
    """Frames per second."""

    @property
    def travelled(self) -> Float[np.ndarray, " t"]:
        """Distance covered since frame 0 in metres."""
        steps = np.linalg.norm(np.diff(self.positions, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass(frozen=True)
class Performance:
    """Poses and deformation of an object over a clip."""

    poses: tuple[Pose, ...]
    deformation: Deformation | None = None


class Cast(Protocol):
    """A kind of things that act in scenes: people, animals, vehicles.

    Their meshes have the size of the real thing in metres, stand on the floor at z = 0 and face +x. The id determines
    the shape, and splits share no ids.
    """

    def ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split."""
        ...

    def load(self, asset_id: str) -> Asset:
        """Return the asset with an id. Raises InputError if it is in no split."""
        ...

    def actions(self, asset_id: str) -> Mapping[str, tuple[float, float]]:
        """Return what a thing can do, each with its lowest and highest speed in metres per second."""
        ...

    def perform(self, asset_id: str, action: str, path: GroundPath, rng: np.random.Generator) -> Performance:
        """Return how a thing moves along a path; numbers are rounded as in ``dataset_gen.rounding``."""
        ...
