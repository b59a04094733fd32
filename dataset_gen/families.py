"""Families of things of real size, each made by a function of a random generator that the id seeds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from dataset_gen.assets import SPLITS, Asset, Split, variants
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh

Maker = Callable[[np.random.Generator], Iterable[Mesh]]
"""Yields the closed solids of a thing in metres, facing +x with the floor at z = 0."""

LICENCE, SOURCE = "Apache-2.0", "dataset_gen"
"""Licence and source of every family."""

NUMBERS = frozenset(number for split in SPLITS for number in variants(split))
"""Numbers of the things of a family, over all splits."""


def family_ids(kinds: Iterable[str], split: Split) -> dict[str, tuple[str, ...]]:
    """Return the ids of a split by family; splits share families but no ids."""
    return {kind: tuple(f"{kind}/{number:04d}" for number in variants(split)) for kind in sorted(kinds)}


def require_kind(asset_id: str, kinds: Iterable[str]) -> str:
    """Return the family of an id. Raises InputError if the id is in no split."""
    kind, _, number = asset_id.partition("/")
    if kind in kinds and number.isdecimal() and int(number) in NUMBERS and asset_id == f"{kind}/{int(number):04d}":
        return kind
    raise InputError(
        f"asset {asset_id!r} is in no split. Use a family of {', '.join(sorted(kinds))} with a number from "
        f"{min(NUMBERS):04d} to {max(NUMBERS):04d}, as in {min(kinds)}/{min(NUMBERS):04d}."
    )


def seeded(asset_id: str) -> np.random.Generator:
    """Return the random generator that determines the shape of an id."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(asset_id.encode())))


def build(asset_id: str, makers: Mapping[str, Maker]) -> Asset:
    """Return the thing with an id, with its lowest point at z = 0. Raises InputError if the id is in no split."""
    kind = require_kind(asset_id, makers)
    return finish(asset_id, list(makers[kind](seeded(asset_id))))


def finish(asset_id: str, solids: Iterable[Mesh]) -> Asset:
    """Return an asset made of solids, lowered or raised to stand on the floor and rounded to micrometres."""
    parts = list(solids)
    floor = (0.0, 0.0, min(float(part.vertices[:, 2].min()) for part in parts))
    rounded = (Mesh(np.round(part.vertices - floor, 6).astype(np.float32), part.faces) for part in parts)
    return Asset(asset_id, asset_id.partition("/")[0], tuple(rounded), LICENCE, SOURCE)
