"""Backdrops."""

from __future__ import annotations

import pytest

from dataset_gen.assets import SPLITS
from dataset_gen.places.backdrops import backdrop_ids, house_ids, load_backdrop, wall_ids
from vidamodal.types import InputError


def test_backdrops_are_walls_and_houses() -> None:
    for split in SPLITS:
        assert sorted((*wall_ids(split), *house_ids(split))) == sorted(backdrop_ids(split))
        assert load_backdrop(wall_ids(split)[0]).label == "wall"
        assert load_backdrop(house_ids(split)[0]).label == "houses"


@pytest.mark.parametrize("name", ["backdrop/0300", "backdrop/1", "backdrop/x", "house/0001"])
def test_other_ids_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        load_backdrop(name)
