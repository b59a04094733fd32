"""Animals: shapes, splits, gaits whose feet do not slide, and postures."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.actors.animal_kinds import ANIMALS
from dataset_gen.actors.animals import Animals, load_animal
from dataset_gen.actors.performances import GroundPath, Performance
from dataset_gen.assets import SPLITS
from dataset_gen.library import OFFLINE
from dataset_gen.meshes import is_closed
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, deform, rotation_matrix

CAST = Animals()

HEIGHTS = {"elephant": (1.6, 5.0), "giraffe": (3.0, 6.5), "cat": (0.25, 0.45), "horse": (1.2, 2.7), "gull": (0.15, 0.6)}
"""Least and greatest height of the whole animal in metres; others lie between 0.2 and 3."""


def straight(speed: float, frames: int = 30, fps: float = 25.0, heading: float = 0.0) -> GroundPath:
    """Return a straight path at a constant speed."""
    along = np.arange(frames) * speed / fps
    positions = np.stack([along * np.cos(heading), along * np.sin(heading)], axis=1)
    return GroundPath(positions, np.full(frames, heading), fps)


def world(asset_id: str, performance: Performance, frame: int) -> np.ndarray:
    """Return the vertices of an animal in the world."""
    pose = performance.poses[frame]
    shape = deform(CAST.load(asset_id).mesh.vertices, performance.deformation or Deformation(), frame)
    return shape @ rotation_matrix(pose.quaternion).T + pose.position


@cache
def performed(asset_id: str, action: str, seed: int) -> tuple[Performance, list[np.ndarray], float]:
    """Return a performance, the vertices of all frames, and the speed."""
    low, high = CAST.actions(asset_id)[action]
    speed = low + 0.4 * (high - low)
    performance = CAST.perform(asset_id, action, straight(speed), np.random.default_rng(seed))
    return performance, [world(asset_id, performance, t) for t in range(30)], speed


ACTIONS = [(kind, action) for kind in sorted(ANIMALS) for action in CAST.actions(f"{kind}/0000")]


@pytest.mark.parametrize("kind", sorted(ANIMALS))
def test_animals_are_closed_of_plausible_size_and_on_the_floor(kind: str) -> None:
    for number in (0, 1, 217, 299):
        asset = CAST.load(f"{kind}/{number:04d}")
        assert all(map(is_closed, asset.parts))
        mesh = asset.mesh
        low, high = HEIGHTS.get(kind, (0.2, 3.0))
        assert abs(mesh.vertices[:, 2].min()) < 1e-6 and low < np.ptp(mesh.vertices[:, 2]) < high
        assert len(mesh.faces) < 2200
        # The head is in front, and left and right are alike.
        body = load_animal(asset.id).body
        assert mesh.vertices[slice(*body.ranges["head"]), 0].mean() > mesh.vertices[:, 0].mean()
        assert abs(mesh.vertices[:, 1].min() + mesh.vertices[:, 1].max()) < 0.1 * np.ptp(mesh.vertices[:, 1])


def test_splits_share_no_animals_and_all_do_something() -> None:
    ids = [name for split in SPLITS for name in CAST.ids(split)]
    assert len(set(ids)) == len(ids) == 300 * len(ANIMALS) and len(ANIMALS) >= 10
    for kind in ANIMALS:
        actions = CAST.actions(f"{kind}/0003")
        assert actions and all(0 <= low <= high for low, high in actions.values())
        assert any(high > 1 for _, high in actions.values())


@pytest.mark.parametrize("name", ["dog", "dog/1", "dog/0300", "unicorn/0001"])
def test_unknown_animals_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        CAST.load(name)


def test_an_animal_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match="cow/0001: a cow does not 'fly'"):
        CAST.perform("cow/0001", "fly", straight(1.0), np.random.default_rng(0))


@pytest.mark.parametrize(("kind", "action"), ACTIONS)
def test_the_lowest_point_is_on_the_floor_unless_the_animal_leaps_or_flies(kind: str, action: str) -> None:
    _, frames, _ = performed(f"{kind}/0001", action, 3)
    lowest = np.array([vertices[:, 2].min() for vertices in frames])
    assert lowest.min() > -1e-5
    height = float(np.ptp(CAST.load(f"{kind}/0001").mesh.vertices[:, 2]))
    if action == "fly":
        assert lowest.max() > 0.1
    elif action in ("gallop", "bound", "hop", "run", "trot"):
        assert lowest.max() < 0.6 * height
    else:
        assert lowest.max() < 1e-5


@pytest.mark.parametrize(("kind", "action"), ACTIONS)
def test_animals_move_without_jumps(kind: str, action: str) -> None:
    _, frames, speed = performed(f"{kind}/0001", action, 4)
    shapes = np.stack(frames)
    steps = np.linalg.norm(np.diff(shapes, axis=0), axis=2)
    height = float(np.ptp(shapes[0][:, 2]))
    assert steps.max() < 4.5 * speed / 25 + 0.35 * height
    assert np.ptp(shapes - shapes.mean(axis=1, keepdims=True), axis=0).max() > 1e-3


@pytest.mark.parametrize("kind", sorted(kind for kind, (_, habits) in ANIMALS.items() if habits.gaits))
def test_feet_that_stand_do_not_slide(kind: str) -> None:
    """At each time of a walk, some foot is nearly at rest in the world; over a stride every foot is."""
    name = f"{kind}/0002"
    action = load_animal(name).habits.gaits[0]
    _, frames, speed = performed(name, action, 5)
    body = load_animal(name).body
    walking = [leg for leg in body.legs if leg.startswith("hind") or kind != "kangaroo"]
    pace = []
    for leg in walking:
        foot = slice(*body.ranges[f"{leg}.foot"])
        centre = np.array([vertices[foot].mean(axis=0) for vertices in frames])
        pace.append(np.linalg.norm(np.diff(centre[:, :2], axis=0), axis=1) * 25)
    slowest = np.min(pace, axis=0)
    assert np.quantile(slowest, 0.2) < 0.2 * speed
    assert max(each.max() for each in pace) > 1.3 * speed


@settings(max_examples=15)
@given(st.sampled_from(sorted(ANIMALS)), st.integers(0, 299), st.floats(0, 6.3), st.floats(0.0, 1.0), st.integers(0, 9))
def test_performances_follow_their_path(kind: str, number: int, heading: float, share: float, seed: int) -> None:
    name = f"{kind}/{number:04d}"
    rng = np.random.default_rng(seed)
    action = str(rng.choice(list(CAST.actions(name))))
    low, high = CAST.actions(name)[action]
    path = straight(low + share * (high - low), 8, heading=heading)
    performance = CAST.perform(name, action, path, rng)
    assert len(performance.poses) == 8
    places = np.array([pose.position[:2] for pose in performance.poses])
    assert np.allclose(places, path.positions, atol=1e-5)
    forward = np.array([rotation_matrix(pose.quaternion)[:2, 0] for pose in performance.poses])
    assert np.allclose(forward, [(np.cos(heading), np.sin(heading))] * 8, atol=1e-5)
    assert all(np.isfinite(world(name, performance, t)).all() for t in range(8))


def test_performances_are_reproducible_and_vary() -> None:
    first, again, other = (
        CAST.perform("dog/0001", "trot", straight(2.0), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_a_dog_sits_on_its_rump_with_its_head_up_and_a_horse_grazes() -> None:
    for name, action, higher in (("dog/0001", "sit", True), ("horse/0001", "graze", False)):
        seed = next(k for k in range(50) if np.random.default_rng(k).random() < 0.5)
        _, frames, _ = performed(name, action, seed)
        body = load_animal(name).body
        rest = CAST.load(name).mesh.vertices
        head, thigh = slice(*body.ranges["head"]), slice(*body.ranges["hind0.thigh"])
        if higher:
            assert frames[0][thigh, 2].max() < 0.7 * rest[thigh, 2].max()
            assert frames[0][head, 2].max() > 0.8 * rest[head, 2].max()
        else:
            assert frames[0][head, 2].min() < 0.12 * rest[:, 2].max()


def test_the_library_loads_and_lists_animals() -> None:
    assert OFFLINE.asset("horse/0210") is CAST.load("horse/0210")
    rows = {row.name for row in OFFLINE.rows() if row.kind == "animal"}
    assert rows == set(ANIMALS)
