"""All props by id: furniture, carried things and static occluders of real size.

The id ``kind/NNNN`` determines the shape, and the splits share kinds but no ids. A prop stands on z = 0 and faces +x.
"""

from __future__ import annotations

from functools import cache

from dataset_gen.assets import Asset, Split
from dataset_gen.families import build, family_ids
from dataset_gen.props.carried import CARRIED
from dataset_gen.props.furniture import FURNITURE
from dataset_gen.props.occluders import OCCLUDERS

PROPS = {**FURNITURE, **CARRIED, **OCCLUDERS}
"""Functions that make props, by kind."""


def furniture_ids(split: Split) -> dict[str, tuple[str, ...]]:
    """Return the ids of a split's furniture by kind."""
    return family_ids(FURNITURE, split)


def carried_ids(split: Split) -> dict[str, tuple[str, ...]]:
    """Return the ids of a split's carried, thrown and kicked things by kind."""
    return family_ids(CARRIED, split)


def occluder_ids(split: Split) -> dict[str, tuple[str, ...]]:
    """Return the ids of a split's static occluders by kind."""
    return family_ids(OCCLUDERS, split)


@cache
def load_prop(asset_id: str) -> Asset:
    """Return the prop with an id. Raises InputError if it is in no split."""
    return build(asset_id, PROPS)
