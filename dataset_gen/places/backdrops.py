"""Backdrops: walls of rooms and rows of house fronts. They give a scene depth and are never anything but scenery.

The ids are ``backdrop/NNNN``: of three neighbours, the first is a plain wall 1 m long, thick and high, to be scaled;
the other two are rows of houses along y that face +x with their fronts at x <= 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from dataset_gen.assets import Asset, Split, variants
from dataset_gen.families import require_kind, seeded
from dataset_gen.meshes import convex_hull
from vidamodal.worlds.spec import Mesh, Vector

FAMILY = "backdrop"

_KINDS = 3


def wall_ids(split: Split) -> tuple[str, ...]:
    """Return the ids of a split's walls."""
    return tuple(f"{FAMILY}/{number:04d}" for number in variants(split) if number % _KINDS == 0)


def house_ids(split: Split) -> tuple[str, ...]:
    """Return the ids of a split's rows of houses."""
    return tuple(f"{FAMILY}/{number:04d}" for number in variants(split) if number % _KINDS)


def backdrop_ids(split: Split) -> tuple[str, ...]:
    """Return the ids of all backdrops of a split."""
    return tuple(f"{FAMILY}/{number:04d}" for number in variants(split))


@cache
def load_backdrop(asset_id: str) -> Asset:
    """Return the backdrop with an id.

    Raises:
        InputError: The id is in no split.
    """
    require_kind(asset_id, (FAMILY,))
    if int(asset_id.partition("/")[2]) % _KINDS == 0:
        return Asset(asset_id, "wall", (_box((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),), "Apache-2.0", "dataset_gen")
    return Asset(asset_id, "houses", _houses(seeded(asset_id)), "Apache-2.0", "dataset_gen")


def _houses(rng: np.random.Generator) -> tuple[Mesh, ...]:
    """Return a row of houses, hedges and gaps, 45 m long."""
    parts, y = [], -22.5
    while y < 22.5:
        wide = rng.uniform(4.0, 9.0)
        kind = rng.random()
        if kind < 0.75:
            recess, high = rng.uniform(0.0, 1.5), rng.uniform(3.0, 12.0)
            parts.append(_box((6.0, wide, high), (-3.0 - recess, y + wide / 2, 0.0)))
            if rng.random() < 0.4:
                parts.append(_box((0.8, wide * 0.4, 2.6), (0.1 - recess, y + wide * rng.uniform(0.3, 0.7), 0.0)))
        elif kind < 0.9:
            parts.append(_box((0.8, wide, rng.uniform(1.0, 2.2)), (-0.5, y + wide / 2, 0.0)))
        y += wide
    return tuple(parts)


def _box(size: Vector, base: Vector) -> Mesh:
    """Return a box that stands on the middle of its base."""
    signs = np.array(np.meshgrid((-0.5, 0.5), (-0.5, 0.5), (0.0, 1.0))).reshape(3, 8).T
    hull = convex_hull(signs * size + base)
    return Mesh(hull.vertices.astype(np.float32), hull.faces)
