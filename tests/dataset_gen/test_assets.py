"""Offline assets: parts, splits and ids."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.assets import SPLITS, asset_ids, load_asset, reserved_ids
from tests.dataset_gen.helpers import ALL_IDS, needs_things
from vidamodal.types import InputError


@needs_things
@settings(max_examples=150)
@given(st.sampled_from(ALL_IDS))
def test_parts_are_closed_and_convex_with_outward_faces(name: str) -> None:
    item = load_asset(name)
    assert np.ptp(item.mesh.vertices, axis=0).max() == pytest.approx(1, abs=1e-5)
    for part in item.parts:
        edges = Counter((a, b) for f in part.faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True))
        assert all(n == 1 and edges[b, a] == 1 for (a, b), n in edges.items())
        corners = part.vertices[part.faces].astype(float)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outward = np.einsum("fc,fc->f", normals, corners[:, 0] - part.vertices.mean(axis=0))
        assert outward.min() > -1e-6 and outward.sum() > 0


def test_splits_share_no_asset_and_use_no_reserved_one() -> None:
    assert len(ALL_IDS) == len(set(ALL_IDS))
    assert len(reserved_ids()) == 300 and not reserved_ids() & set(ALL_IDS)
    assert all(asset_ids(split).keys() == asset_ids("train").keys() for split in SPLITS)


@pytest.mark.parametrize("name", ["random_urdfs/001", "mug/9999", "teapot/0001", "../mug"])
def test_unknown_assets_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        load_asset(name)
