"""Meshes: closedness and OBJ files."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.assets import SPLITS, asset_ids, load_asset
from dataset_gen.meshes import dump_obj, is_closed, read_obj
from tests.dataset_gen.asset_files import is_same_mesh
from tests.dataset_gen.helpers import needs_assets
from vidamodal.worlds.spec import Mesh


@needs_assets
@settings(max_examples=60)
@given(st.sampled_from([name for split in SPLITS for ids in asset_ids(split).values() for name in ids]))
def test_offline_assets_are_closed_and_survive_obj(name: str) -> None:
    mesh = load_asset(name).mesh
    (again,) = read_obj(dump_obj({"it": mesh}))
    assert is_closed(mesh) and is_same_mesh(Mesh(again.vertices.astype(np.float32), again.faces), mesh)
