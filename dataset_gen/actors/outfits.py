"""Clothes and carried things as closed meshes that follow the joints of a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dataset_gen.actors.bodies import Body
from dataset_gen.actors.rig import Side
from dataset_gen.assets import Split
from vidamodal.worlds.spec import Vector


@dataclass(frozen=True)
class Dressed:
    """A body in its clothes."""

    naked: Body
    body: Body
    """The body with clothes and carried things; it has the same joints."""

    split: Split
    holds: Mapping[Side, Vector] = field(default_factory=dict)
    """Where the wrists of hands that carry something are: see ``key_poses.arm_to``."""


def dress(body: Body, split: Split, rng: np.random.Generator) -> Dressed:
    """Return a body in clothes."""
    size = rng.uniform(0.95, 1.05)
    skeleton = replace(body.skeleton, pivots=body.skeleton.pivots * size)
    sized = Body(replace(body.mesh, vertices=(body.mesh.vertices * size).astype(np.float32), skeleton=skeleton))
    return Dressed(sized, sized, split)
