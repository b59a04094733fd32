"""Riders: people on bicycles, motorcycles, scooters, boards and horses, as one thing each."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.riders import CARRIERS, Riders, load_rider
from dataset_gen.assets import SPLITS
from dataset_gen.library import OFFLINE
from dataset_gen.meshes import is_closed
from vidamodal.types import InputError
from vidamodal.worlds.spec import deform, rotation_matrix

CAST = Riders()


def straight(speed: float, frames: int = 8, heading: float = 0.0, fps: float = 12.0) -> GroundPath:
    """Return a straight path at a constant speed."""
    along = np.arange(frames)[:, None] * speed / fps * np.array([[np.cos(heading), np.sin(heading)]])
    return GroundPath(along, np.full(frames, heading), fps)


def world(asset_id: str, performance: Performance, frame: int) -> np.ndarray:
    """Return the vertices of a rider in the world."""
    mesh, pose = CAST.load(asset_id).mesh, performance.poses[frame]
    assert performance.deformation is not None
    shape = deform(mesh.vertices, performance.deformation, frame, mesh.skeleton)
    return shape @ rotation_matrix(pose.quaternion).T + pose.position


RIDES = [(f"{kind}/{number:04d}", action) for kind in CARRIERS for number in (0, 219, 299)
         for action in CAST.actions(f"{kind}/{number:04d}")]  # fmt: skip


@pytest.mark.parametrize(("name", "action"), RIDES)
def test_riders_sit_on_their_carriers_and_follow_the_path(name: str, action: str) -> None:
    rider = load_rider(name)
    low, high = CAST.actions(name)[action]
    path = straight(low + 0.4 * (high - low), heading=0.7)
    performance = CAST.perform(name, action, path, np.random.default_rng(3))
    assert np.allclose([pose.position[:2] for pose in performance.poses], path.positions, atol=1e-5)
    for t in (0, 7):
        vertices = world(name, performance, t)
        assert np.isfinite(vertices).all() and -0.03 < vertices[:, 2].min() < (0.4 if "horse" in name else 0.03)
        person = vertices[rider.count :]
        assert person[:, 2].min() > -0.02
        assert person[:, 2].max() > vertices[: rider.count, 2].max() - 0.6
        # The person touches the carrier.
        gaps = np.linalg.norm(person[::3, None] - vertices[None, : rider.count : 2], axis=2)
        assert gaps.min() < 0.12


@pytest.mark.parametrize("name", ["cyclist/0003", "motorcyclist/0004", "horse_rider/0201", "scooter_rider/0290"])
def test_meshes_are_closed_and_their_weights_add_up(name: str) -> None:
    mesh = CAST.load(name).mesh
    assert mesh.skeleton is not None and is_closed(mesh)
    assert np.allclose(mesh.skeleton.weights.sum(axis=1), 1, atol=1e-4)
    assert len(mesh.skeleton.pivots) == len(mesh.skeleton.parents) == mesh.skeleton.weights.shape[1]
    assert 0.9 < np.ptp(mesh.vertices[:, 2]) < 3.2


def test_hands_hold_the_handlebar_and_feet_go_round_with_the_pedals() -> None:
    for number in range(4):
        name = f"cyclist/{number:04d}"
        rider = load_rider(name)
        mount = rider.seat.mount
        path = straight(mount.development / 2 * 12, 2)  # half a turn of the crank
        performance = CAST.perform(name, "drive", path, np.random.default_rng(0))
        shapes = [world(name, performance, t)[rider.count :] - (*path.positions[t], 0) for t in range(2)]
        left, right = (np.linalg.norm(shapes[0] - grip, axis=1).min() for grip in mount.hands)
        assert max(left, right) < 0.16
        feet = [shape[shape[:, 2] < mount.feet[2] + 0.25] for shape in shapes]
        ahead = [foot[foot[:, 1] > 0.03, 0].mean() - foot[foot[:, 1] < -0.03, 0].mean() for foot in feet]
        assert ahead[0] > 0.8 * mount.crank and ahead[1] < -0.8 * mount.crank


def test_splits_share_neither_riders_nor_people_nor_carriers() -> None:
    seen: dict[str, set[str]] = {}
    for split in SPLITS:
        ids = CAST.ids(split)
        assert len(set(ids)) == len(ids)
        some = [load_rider(name) for name in ids[::40]]
        seen[split] = {rider.carrier for rider in some} | set(ids)
    assert not seen["train"] & seen["validation"] and not seen["train"] & seen["test"]


def test_the_library_loads_and_lists_riders() -> None:
    assert OFFLINE.asset("cyclist/0001") is CAST.load("cyclist/0001")
    assert {row.name for row in OFFLINE.rows() if row.kind == "rider"} == set(CARRIERS)


def test_unknown_riders_and_actions_are_refused() -> None:
    with pytest.raises(InputError, match="in no split"):
        CAST.load("cyclist/0300")
    with pytest.raises(InputError, match="vehicles do not 'gallop'"):
        CAST.perform("cyclist/0001", "gallop", straight(2.0), np.random.default_rng(0))
