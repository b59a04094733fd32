"""The offline assets: procedural shape families, and the ``random_urdfs`` of pybullet_data with the label ``thing``.

An asset consists of closed convex parts. The physics collides the parts, and the image shows all of them. An asset is
centred on its centroid and its longest side is 1 m, so an object's scale is its size in metres. The id determines the
shape: ``mug/0017`` is the same mug on every machine and belongs to one split only.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dataset_gen.meshes import convex_hull, join, normalize_parts, read_obj
from dataset_gen.shapes import FAMILIES
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)
"""Disjoint sets of assets."""

THING = "random_urdfs"
"""Family of the shapes that come with pybullet_data. Shapes of a manifest without a category are in it too."""

_DAMAGED = {f"{THING}/168"}  # its file contains "nan"

_VARIANTS: dict[Split, range] = {"train": range(200), "validation": range(200, 240), "test": range(240, 300)}


@dataclass(frozen=True)
class Asset:
    """A shape with its label and origin."""

    id: str
    label: str
    parts: tuple[Mesh, ...]
    """Closed convex parts in metres, with outward faces."""
    licence: str
    source: str
    surface: Mesh | None = None
    """The visible surface in metres, where the parts are only the collision shape."""

    @property
    def mesh(self) -> Mesh:
        """The visible mesh: the surface if there is one, otherwise all parts joined."""
        return join(self.parts) if self.surface is None else self.surface


def variants(split: Split) -> range:
    """Return the variant numbers that a split has of every procedural family."""
    return _VARIANTS[split]


@cache
def asset_ids(split: Split) -> dict[str, tuple[str, ...]]:
    """Return the asset ids of a split by family.

    Splits share families but no ids. Reserved ids are in no split.
    """
    families = {family: tuple(f"{family}/{number:04d}" for number in variants(split)) for family in sorted(FAMILIES)}
    return {**families, THING: _thing_ids(split)}


@cache
def reserved_ids() -> frozenset[str]:
    """Return the asset ids that no split may use."""
    lines = resources.files(__package__).joinpath("reserved.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


@cache
def load_asset(asset_id: str) -> Asset:
    """Return the offline asset with the given id.

    Raises:
        InputError: The id is in no split.
    """
    family, _, number = asset_id.partition("/")
    if not any(asset_id in asset_ids(split).get(family, ()) for split in SPLITS):
        raise InputError(
            f"asset {asset_id!r} is in no split. Use one of the ids that dataset_gen.assets.asset_ids returns."
        )
    if family == THING:
        return Asset(asset_id, "thing", normalize_parts(_random_urdf(number)), *origin(family))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(asset_id.encode())))
    parts = [convex_hull(points) for points in FAMILIES[family](rng)]
    return Asset(asset_id, family, normalize_parts(parts), *origin(family))


def origin(family: str) -> tuple[str, str]:
    """Return the licence and the source of a family."""
    return ("zlib", "pybullet_data") if family == THING else ("Apache-2.0", "dataset_gen")


def _thing_ids(split: Split) -> tuple[str, ...]:
    free = [f"{THING}/{number:03d}" for number in range(1000)]
    free = [thing for thing in free if thing not in reserved_ids()]
    last_digits = {"train": range(3, 10), "validation": (0,), "test": (1, 2)}[split]
    return tuple(thing for k, thing in enumerate(free) if k % 10 in last_digits and thing not in _DAMAGED)


def _random_urdf(number: str) -> list[Mesh]:
    """Read the convex parts of a shape of pybullet_data: its OBJ file has one group per part."""
    import pybullet_data

    return read_obj(Path(pybullet_data.getDataPath(), THING, number, f"{number}.obj").read_text("ascii"))
