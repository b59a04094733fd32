"""Vehicles: shapes of true size, splits, rolling wheels, leaning and rocking, and places for riders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.actors.vehicle_kinds import VEHICLES
from dataset_gen.actors.vehicles import Vehicles, lean, load_vehicle
from dataset_gen.assets import SPLITS
from dataset_gen.library import OFFLINE
from dataset_gen.meshes import is_closed
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, deform, rotation_matrix

CAST = Vehicles()

LENGTHS = {
    "bicycle": (1.5, 2.1), "boat": (3.0, 7.5), "bus": (8.0, 13.0), "hatchback": (3.6, 4.4), "saloon": (4.3, 5.1),
    "kick_scooter": (0.7, 1.3), "lorry": (5.5, 10.0), "motorcycle": (1.7, 2.5), "skateboard": (0.6, 1.2),
    "tram": (12.0, 20.0), "van": (4.5, 6.0), "pram": (0.8, 1.5), "trolley": (0.6, 1.3),
}  # fmt: skip
"""Least and greatest length along x in metres; others lie between 1 and 6."""


def path_of(
    speed: float, frames: int = 20, turning: float = 0.0, heading: float = 0.0, fps: float = 20.0
) -> GroundPath:
    """Return a path at a constant speed that turns by some radians per second."""
    headings = heading + turning * np.arange(frames) / fps
    steps = speed / fps * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return GroundPath(np.cumsum(steps, axis=0) - steps[0], headings, fps)


def world(asset_id: str, performance: Performance, frame: int) -> np.ndarray:
    """Return the vertices of a vehicle in the world."""
    pose = performance.poses[frame]
    shape = deform(CAST.load(asset_id).mesh.vertices, performance.deformation or Deformation(), frame)
    return shape @ rotation_matrix(pose.quaternion).T + pose.position


@pytest.mark.parametrize("kind", sorted(VEHICLES))
def test_vehicles_are_closed_of_true_size_and_on_the_floor(kind: str) -> None:
    for number in (0, 1, 2, 3, 4, 5, 217, 299):
        asset = CAST.load(f"{kind}/{number:04d}")
        assert all(map(is_closed, asset.parts))
        vertices = asset.mesh.vertices
        low, high = LENGTHS.get(kind, (1.0, 6.0))
        length, width, _ = np.ptp(vertices, axis=0)
        assert low < length < high and width < (length if kind != "boat" else 2 * length)
        assert vertices[:, 2].min() == 0 and len(asset.mesh.faces) < 1500
        assert abs(vertices[:, 0].min() + vertices[:, 0].max()) < 0.35 * length


def test_splits_share_no_vehicles() -> None:
    ids = [name for split in SPLITS for name in CAST.ids(split)]
    assert len(set(ids)) == len(ids) == 300 * len(VEHICLES)
    assert {row.name for row in OFFLINE.rows() if row.kind == "vehicle"} == set(VEHICLES)
    assert OFFLINE.asset("saloon/0205") is CAST.load("saloon/0205")


@settings(max_examples=25)
@given(st.sampled_from(sorted(VEHICLES)), st.integers(0, 299), st.floats(0, 1), st.floats(-0.8, 0.8), st.integers(0, 9))
def test_vehicles_follow_their_path_on_the_floor(
    kind: str, number: int, share: float, turning: float, seed: int
) -> None:
    name = f"{kind}/{number:04d}"
    low, high = CAST.actions(name)["drive"]
    path = path_of(low + share * (high - low), 8, turning)
    performance = CAST.perform(name, "drive", path, np.random.default_rng(seed))
    assert np.allclose([pose.position[:2] for pose in performance.poses], path.positions, atol=1e-5)
    leans = load_vehicle(name).frame.leans
    for t in (0, 7):
        lowest = world(name, performance, t)[:, 2].min()
        width = np.ptp(CAST.load(name).mesh.vertices[:, 1])
        sunk = 0.5 * width * 0.7 if leans else 0.3 if kind == "boat" else 0.02
        assert -sunk < lowest < 0.02  # a wheel with corners stands on one of them or between two


def test_wheels_roll_without_sliding() -> None:
    """A point of a tyre that touches the floor is at rest, and one on top is twice as fast as the car."""
    path = path_of(3.0, 40, fps=100.0)
    performance = CAST.perform("bicycle/0001", "drive", path, np.random.default_rng(0))
    tyre = performance.deformation.hinges[0] if performance.deformation else None
    assert tyre is not None
    points = np.stack([world("bicycle/0001", performance, t)[tyre.start : tyre.stop] for t in range(40)])
    speed = np.linalg.norm(np.diff(points, axis=0), axis=2) * 100
    assert speed.min() < 0.2 and 5.5 < speed.max() < 6.2
    turned = 2 * np.pi * 3.0 * 0.39 / (2 * np.pi * tyre.pivot[2])
    assert tyre.angles[-1] == pytest.approx(turned, abs=1e-4)


def test_the_crank_turns_with_the_development_that_the_mount_tells() -> None:
    vehicle = load_vehicle("bicycle/0003")
    mount = CAST.mount("bicycle/0003")
    assert mount is not None and mount == vehicle.frame.mount
    distance = mount.development / 4
    path = path_of(distance * 10, 3, fps=20.0)
    performance = CAST.perform("bicycle/0003", "drive", path, np.random.default_rng(0))
    assert performance.deformation is not None
    crank = performance.deformation.hinges[-1]
    assert crank.pivot == pytest.approx(mount.feet, abs=1e-6) and crank.angles[2] == pytest.approx(np.pi / 2, abs=1e-4)
    # After a quarter of a turn the left pedal, which was in front, is below the crank.
    pedals = [world("bicycle/0003", performance, t)[crank.start : crank.stop] for t in (0, 2)]
    left = pedals[0][:, 1] > 0.1
    assert pedals[0][left, 0].mean() - path.positions[0, 0] > 0.5 * mount.crank + mount.feet[0]
    assert pedals[1][left, 2].mean() < mount.feet[2] - 0.5 * mount.crank


@pytest.mark.parametrize("kind", ["bicycle", "motorcycle", "moped", "kick_scooter"])
def test_mounts_are_where_riders_reach(kind: str) -> None:
    for number in range(5):
        mount = CAST.mount(f"{kind}/{number:04d}")
        vertices = CAST.load(f"{kind}/{number:04d}").mesh.vertices
        assert mount is not None
        left, right = mount.hands
        assert left[1] > 0 > right[1] and left[0] == pytest.approx(right[0]) and left[2] > mount.feet[2] + 0.3
        for grip in (left, right, mount.seat):
            assert np.linalg.norm(vertices - grip, axis=1).min() < (0.4 if mount.stands else 0.25)
        if not mount.stands:
            assert mount.seat[0] < left[0] and mount.seat[2] > mount.feet[2] + 0.3


def test_cars_have_no_holes_and_bicycles_have() -> None:
    for name, closed in (("hatchback/0000", True), ("bus/0000", True), ("bicycle/0000", False)):
        mesh = CAST.load(name).mesh
        corners = mesh.vertices[mesh.faces].astype(float)
        xs = np.linspace(-0.12, 0.12, 13) * np.ptp(mesh.vertices[:, 0]) * (1 if closed else 2.5)
        z = 0.75 * np.ptp(mesh.vertices[:, 2]) if closed else 0.3
        hits = [crossings(corners, x + 0.0131, z + 0.0071) > 0 for x in xs]
        assert all(hits) if closed else (any(hits) and not all(hits))


def crossings(corners: np.ndarray, x: float, z: float) -> int:
    """Return how many triangles the line along y through (x, z) meets."""
    a, b, c = (corners[:, k][:, [0, 2]] - (x, z) for k in range(3))
    sides = [p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((a, b), (b, c), (c, a))]
    return int((np.all([s > 0 for s in sides], axis=0) | np.all([s < 0 for s in sides], axis=0)).sum())


def test_two_wheels_lean_into_the_bend_and_cars_do_not() -> None:
    left_bend = path_of(6.0, 20, turning=0.8)
    assert (lean(left_bend) < -0.2).all() and np.allclose(lean(path_of(6.0, 20)), 0)
    rng = np.random.default_rng(0)
    tops = {}
    for name in ("bicycle/0000", "saloon/0000"):
        performance = CAST.perform(name, "drive", left_bend, rng)
        up = rotation_matrix(performance.poses[10].quaternion)[:, 2]
        side = np.array((-np.sin(left_bend.headings[10]), np.cos(left_bend.headings[10]), 0))
        tops[name] = float(up @ side)
    assert tops["bicycle/0000"] > 0.2 and abs(tops["saloon/0000"]) < 1e-6


def test_a_parked_vehicle_stands_still_and_a_boat_rocks() -> None:
    path = path_of(0.0)
    rng = np.random.default_rng(0)
    parked = CAST.perform("moped/0001", "park", path, rng)
    assert parked.deformation is None and len(set(parked.poses)) == 1
    assert len(set(CAST.perform("boat/0001", "park", path, rng).poses)) > 10


def test_unknown_vehicles_and_actions_are_refused() -> None:
    for name in ("saloon", "saloon/300", "spaceship/0001"):
        with pytest.raises(InputError, match="in no split"):
            CAST.load(name)
    with pytest.raises(InputError, match="saloon/0001: vehicles do not 'fly'"):
        CAST.perform("saloon/0001", "fly", path_of(1.0), np.random.default_rng(0))
