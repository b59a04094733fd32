"""Families of real size: ids, splits and placement on the floor."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_gen.assets import SPLITS
from dataset_gen.families import build, family_ids, require_kind
from dataset_gen.solids import box
from vidamodal.types import InputError

MAKERS = {"cube": lambda rng: [box((1, 1, rng.uniform(1, 2)), (0, 0, 5))], "brick": lambda rng: [box((2, 1, 1))]}


def test_splits_share_families_but_no_ids() -> None:
    ids = [name for split in SPLITS for names in family_ids(MAKERS, split).values() for name in names]
    assert len(set(ids)) == len(ids) == 600
    assert {require_kind(name, MAKERS) for name in ids} == set(MAKERS)


def test_the_id_determines_the_shape_which_stands_on_the_floor() -> None:
    first, again, other = (build(name, MAKERS).mesh.vertices for name in ("cube/0001", "cube/0001", "cube/0002"))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first[:, 2].min() == other[:, 2].min() == 0


@pytest.mark.parametrize(
    "name", ["cube", "cube/1", "cube/0300", "cube/-001", "ball/0001", "cube/00x1", "cube/\u0660\u0660\u0660\u0661"]
)
def test_unknown_ids_are_refused(name: str) -> None:
    with pytest.raises(
        InputError,
        match=r"in no split\. Use a family of brick, cube with a number from 0000 to 0299, as in brick/0000\.",
    ):
        build(name, MAKERS)
