"""Props: closed meshes of plausible size on the floor, with few triangles."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_gen.assets import SPLITS, Split
from dataset_gen.library import OFFLINE
from dataset_gen.meshes import is_closed
from dataset_gen.props.catalogue import PROPS, carried_ids, furniture_ids, load_prop, occluder_ids
from vidamodal.types import InputError

LARGEST = {"furniture": 2.6, "carried": 2.2, "occluder": 10.0}
SMALLEST = {"furniture": 0.2, "carried": 0.05, "occluder": 0.25}


def group(kind: str) -> str:
    """Return the group of a kind of prop."""
    groups = {"furniture": furniture_ids("train"), "carried": carried_ids("train"), "occluder": occluder_ids("train")}
    (name,) = (name for name, ids in groups.items() if kind in ids)
    return name


@pytest.mark.parametrize("kind", sorted(PROPS))
def test_props_are_closed_of_plausible_size_and_on_the_floor(kind: str) -> None:
    for number in (0, 1, 2, 3, 205, 299):
        asset = load_prop(f"{kind}/{number:04d}")
        assert all(map(is_closed, asset.parts))
        mesh = asset.mesh
        assert mesh.vertices[:, 2].min() == 0 and len(mesh.faces) <= 1500
        size = float(np.ptp(mesh.vertices, axis=0).max())
        assert SMALLEST[group(kind)] < size < LARGEST[group(kind)], (asset.id, size)
        assert np.abs(mesh.vertices[:, :2].mean(axis=0)).max() < 2.5
        assert asset.label == kind and (asset.licence, asset.source) == ("Apache-2.0", "dataset_gen")


@pytest.mark.parametrize("kind", sorted(PROPS))
def test_ids_of_a_kind_differ_in_shape(kind: str) -> None:
    sizes = {tuple(np.ptp(load_prop(f"{kind}/{k:04d}").mesh.vertices, axis=0).tolist()) for k in range(6)}
    assert len(sizes) == 6


def test_there_are_enough_kinds() -> None:
    assert len(occluder_ids("train")) >= 12 and len(furniture_ids("train")) >= 12 and len(carried_ids("train")) >= 10


@pytest.mark.parametrize("ids", [furniture_ids, carried_ids, occluder_ids])
def test_splits_share_no_props(ids) -> None:  # type: ignore[no-untyped-def]
    every = [name for split in SPLITS for names in ids(split).values() for name in names]
    assert len(set(every)) == len(every) and all(name.partition("/")[0] in PROPS for name in every)


@pytest.mark.parametrize("split", SPLITS)
def test_the_library_loads_and_lists_props(split: Split) -> None:
    for name in ("bush/0001", "sofa/0230", "ball/0270"):
        assert OFFLINE.asset(name) is load_prop(name)
    rows = {row.name: row for row in OFFLINE.rows() if row.kind == "prop"}
    assert set(rows) == set(PROPS)
    assert rows["bush"].counts[SPLITS.index(split)] == len(occluder_ids(split)["bush"])


def test_families_of_the_library_have_different_names() -> None:
    names = [row.name for row in OFFLINE.rows() if row.kind not in ("environment map", "texture")]
    assert len(set(names)) == len(names)


def test_windows_and_fences_have_gaps_and_walls_have_none() -> None:
    """A ray along x through the middle of a window meets nothing; through a wall it meets the wall."""
    for name, expected in (("window_frame/0000", 0), ("wall/0000", 2), ("door_frame/0000", 0)):
        mesh = load_prop(name).mesh
        height = np.ptp(mesh.vertices[:, 2]) * (0.45 if "wall" not in name else 0.5)
        corners = mesh.vertices[mesh.faces].astype(float)
        assert crossings(corners, 0.013, height + 0.007) == expected, name


def crossings(corners: np.ndarray, y: float, z: float) -> int:
    """Return how many triangles the line along x through (y, z) meets."""
    a, b, c = (corners[:, k, 1:] - (y, z) for k in range(3))
    sides = [p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((a, b), (b, c), (c, a))]
    return int((np.all([s > 0 for s in sides], axis=0) | np.all([s < 0 for s in sides], axis=0)).sum())


@pytest.mark.parametrize("name", ["bush/300", "bush/0300", "sword/0001"])
def test_unknown_props_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        load_prop(name)
