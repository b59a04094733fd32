"""Clips and cameras sampled from worlds, and folders of worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.helpers import CAMERA, SMALL, moving_world, write_bank
from vidamodal.types import InputError
from vidamodal.worlds.sample import CameraKind, WorldBank, WorldConfig, random_camera
from vidamodal.worlds.spec import (
    CameraSpec,
)
from vidamodal.worlds.toy import toy_bank


def test_a_sample_follows_from_its_generator() -> None:
    bank = toy_bank(3)
    first, again, other = (bank.sample(np.random.default_rng(seed), SMALL) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.visible, again.visible)
    np.testing.assert_array_equal(first.amodal, again.amodal)
    assert first.amodal.shape != other.amodal.shape or (first.amodal != other.amodal).any()
    assert first.visible.shape == first.amodal.shape and first.visible.shape[1:] == (5, 48, 48)


def test_objects_of_static_worlds_move_only_in_the_configured_share_of_clips() -> None:
    """With a camera that stands still, whatever changes from frame to frame has moved."""
    bank, still = toy_bank(0), replace(SMALL, move=0.0, drop=0.0)
    for config, moves in ((still, False), (replace(still, move=1.0), True)):
        frozen = _with_still_camera(bank, config)
        assert (frozen != frozen[:, :1]).any() == moves


def _with_still_camera(bank: WorldBank, config: WorldConfig) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidamodal.worlds.sample.random_camera", _still)
        return bank.sample(np.random.default_rng(0), config).amodal


def _still(_rng: np.random.Generator, frames: int, _kind: str) -> CameraSpec:
    return replace(CAMERA, positions=CAMERA.positions * frames, targets=CAMERA.targets * frames)


def test_dropped_objects_leave_at_least_one() -> None:
    for seed in range(20):
        assert len(toy_bank(0).sample(np.random.default_rng(seed), replace(SMALL, frames=1, drop=1.0)).amodal) >= 1


def test_families_are_left_out_of_all_worlds() -> None:
    bank = toy_bank(0)
    families = {o.asset.partition("/")[0] for world in bank.worlds for o in world.objects}
    gone = min(families)
    config = replace(SMALL, frames=1, drop=0.0, without=(gone,))
    counts = {world.seed: sum(o.asset.partition("/")[0] != gone for o in world.objects) for world in bank.worlds}
    for seed in range(10):
        clip = bank.sample(np.random.default_rng(seed), config)
        assert len(clip.amodal) in counts.values() and len(clip.amodal) > 0
    with pytest.raises(InputError, match="no object is left"):
        bank.sample(np.random.default_rng(0), replace(config, without=tuple(families)))


def test_only_static_objects_stay_the_same_under_a_fixed_camera() -> None:
    bank = WorldBank((moving_world(6),), toy_bank(0).meshes)
    config = replace(SMALL, frames=6, drop=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidamodal.worlds.sample.CAMERAS", ("fixed",))
        walks, bends, stands = bank.sample(np.random.default_rng(1), config).amodal
    assert (walks[0] != walks[-1]).any() and (bends[0] != bends[-1]).any()
    assert (stands == stands[0]).all()


def test_a_moving_world_that_is_shorter_than_the_clip_is_refused() -> None:
    bank = WorldBank((moving_world(4),), toy_bank(0).meshes)
    with pytest.raises(InputError, match="Generate the worlds with 6 frames"):
        bank.sample(np.random.default_rng(0), replace(SMALL, frames=6, drop=0.0))


@pytest.mark.parametrize("kind", ["fixed", "linear", "orbit"])
def test_camera_paths_match_their_kind(kind: CameraKind) -> None:
    for seed in range(5):
        camera = random_camera(np.random.default_rng(seed), 9, kind)
        steps = np.diff(np.array(camera.positions), axis=0)
        assert np.isfinite(steps).all()
        if kind == "fixed":
            assert not steps.any() and len(set(camera.targets)) == 1
        elif kind == "linear":
            assert np.allclose(steps, steps[0]) and steps.any()
        else:
            assert np.linalg.norm(steps - steps.mean(axis=0), axis=1).max() > 1e-3


def test_a_folder_of_worlds_is_restored_exactly(tmp_path: Path) -> None:
    bank = toy_bank(2, worlds=3)
    write_bank(tmp_path / "worlds", bank)
    read = WorldBank.load(tmp_path / "worlds")
    assert read.worlds == bank.worlds
    for name, mesh in read.meshes.items():
        np.testing.assert_array_equal(mesh.vertices, bank.meshes[name].vertices)
        np.testing.assert_array_equal(mesh.faces, bank.meshes[name].faces)


@pytest.mark.parametrize("damage", ["no folder", "no meshes", "no world", "not json", "other json", "truncated meshes"])
def test_a_damaged_folder_of_worlds_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "worlds"
    if damage != "no folder":
        write_bank(folder, toy_bank(2, worlds=1))
    if damage == "no meshes":
        (folder / "meshes.safetensors").unlink()
    if damage == "no world":
        (folder / "worlds.jsonl").write_text("")
    if damage == "not json":
        (folder / "worlds.jsonl").write_text("{")
    if damage == "other json":
        (folder / "worlds.jsonl").write_text("[1, 2]\n")
    if damage == "truncated meshes":
        (folder / "meshes.safetensors").write_bytes((folder / "meshes.safetensors").read_bytes()[:50])
    with pytest.raises(InputError, match="worlds") as error:
        WorldBank.load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_vanishing_objects_uncover_what_is_behind_them_and_some_return() -> None:
    bank, returned, uncovered = toy_bank(0), 0, 0
    config = replace(SMALL, frames=12, size=32)
    for seed in range(30):
        before, after = (
            bank.sample(np.random.default_rng(seed), replace(config, vanish=share)) for share in (0.0, 1.0)
        )
        gone = (before.amodal != after.amodal).any(axis=(2, 3))
        assert not after.amodal[gone].any() and not gone[:, 0].any()
        assert 0 <= gone.any(axis=1).sum() <= 3
        assert (after.visible >= before.visible)[~gone].all()
        assert (after.visible.any(axis=0) >= before.visible.any(axis=0))[~gone.any(axis=0)].all()
        uncovered += int((after.visible & ~before.visible).any())
        returned += int((gone.any(axis=1) & ~gone[:, -1] & before.amodal[:, -1].any(axis=(1, 2))).any())
    assert uncovered > 10 and 3 < returned < 25


def test_spaced_frames_are_those_of_a_longer_clip() -> None:
    """In a static world any spacing is possible; where objects move, the world has to be long enough."""
    bank = toy_bank(3)
    far = bank.sample(np.random.default_rng(4), replace(SMALL, spacing=(3,), move=0.0))
    dense = bank.sample(np.random.default_rng(4), replace(SMALL, frames=13, move=0.0))
    assert far.spacing == 3 and dense.spacing == 1
    np.testing.assert_array_equal(far.amodal, dense.amodal[:, ::3])
    moving = WorldBank((moving_world(10),), bank.meshes)
    chosen = [
        moving.sample(np.random.default_rng(seed), replace(SMALL, frames=4, spacing=(1, 2, 8))) for seed in range(20)
    ]
    assert {clip.spacing for clip in chosen} == {1, 2, 3}  # 3 x 3 frames later the world ends
    assert {clip.amodal.shape[1] for clip in chosen} == {4}
