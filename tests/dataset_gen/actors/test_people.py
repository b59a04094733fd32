"""People and what they do."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_gen.actors.bodies import JOINT, load_body
from dataset_gen.actors.motions import perform_action
from dataset_gen.actors.outfits import dress
from dataset_gen.actors.people import People
from dataset_gen.actors.performances import GroundPath
from dataset_gen.actors.rig import rotation_vectors
from dataset_gen.assets import SPLITS
from dataset_gen.meshes import is_closed
from vidamodal.types import InputError
from vidamodal.worlds.spec import Deformation, Pose, SceneSpec, deform, place
from vidamodal.worlds.toy import toy_bank

CAST = People()
FRAMES = 12
SAMPLE = [CAST.ids(split)[number] for split in SPLITS for number in (0, 7, 33, 58)]
ACTIONS = sorted({action for person in SAMPLE for action in CAST.actions(person)})


def path(speed: float, turn: float = 0.3, frames: int = FRAMES) -> GroundPath:
    headings = 0.7 + turn * np.arange(frames) / 12
    steps = speed / 12 * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return GroundPath(np.cumsum(steps, axis=0), headings, 12.0)


def perform(person: str, action: str, seed: int = 0) -> tuple[tuple[Pose, ...], Deformation]:
    low, high = CAST.actions(person)[action]
    done = CAST.perform(person, action, path((low + high) / 2), np.random.default_rng(seed))
    assert done.deformation is not None
    return done.poses, done.deformation


def test_splits_share_no_ids() -> None:
    ids = [person for split in SPLITS for person in CAST.ids(split)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("person", SAMPLE)
def test_a_person_is_closed_and_stands_on_the_floor(person: str) -> None:
    asset = CAST.load(person)
    assert is_closed(asset.mesh)
    assert asset.label == "person"
    assert asset.mesh.skeleton is not None
    assert len(asset.mesh.skeleton.weights) == len(asset.mesh.vertices)


def test_the_id_determines_the_shape() -> None:
    first, second = (People().load("person/0003").mesh for _ in range(2))
    assert first.vertices.tobytes() == second.vertices.tobytes()


@pytest.mark.parametrize("name", ["person/9999", "person/abc", "mug/0001", "person/00003"])
def test_unknown_people_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="in no split"):
        CAST.load(name)


def test_unknown_actions_are_refused() -> None:
    with pytest.raises(InputError, match="'fly'"):
        CAST.perform(SAMPLE[0], "fly", path(1), np.random.default_rng(0))


def doer(action: str) -> str:
    return next(person for person in SAMPLE if action in CAST.actions(person))


@pytest.mark.parametrize("action", ACTIONS)
def test_the_same_seed_gives_the_same_motion_and_another_seed_another(action: str) -> None:
    person = doer(action)
    assert perform(person, action, 3) == perform(person, action, 3)
    assert perform(person, action, 3) != perform(person, action, 4)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_lowest_vertex_of_every_frame_is_on_the_floor(action: str) -> None:
    person = doer(action)
    mesh = CAST.load(person).mesh
    poses, deformation = perform(person, action)
    assert len(poses) == FRAMES
    heights = []
    for t, pose in enumerate(poses):
        vertices = deform(mesh.vertices, deformation, t, mesh.skeleton).astype(np.float32)
        heights.append(place(replace(mesh, vertices=vertices), (1, 1, 1), pose)[:, 2].min())
    assert min(heights) > -1e-5
    assert max(heights) < 1e-5 or action in ("jump", "cycle")


@pytest.mark.parametrize("action", ACTIONS)
def test_rotations_have_three_decimals_and_survive_json(action: str) -> None:
    poses, deformation = perform(doer(action), action)
    assert deformation.skin is not None
    rotations = np.array(deformation.skin.rotations)
    assert rotations.shape == (FRAMES, 18, 3)
    np.testing.assert_array_equal(rotations, np.round(rotations, 3))
    world = toy_bank(0).worlds[0]
    thing = replace(world.objects[0], poses=poses, deformation=deformation)
    scene = replace(world, objects=(thing,))
    assert SceneSpec.from_json(json.loads(json.dumps(scene.to_json()))) == scene


@pytest.mark.parametrize("action", ["walk", "dance", "cycle"])
def test_splits_share_no_motion(action: str) -> None:
    """The same body with the same randomness moves differently in each split."""
    dressed = dress(load_body(30), "train", np.random.default_rng(0))
    made = []
    for split in SPLITS:
        act = perform_action(replace(dressed, split=split), action, path(1.0), np.random.default_rng(0))
        made.append(rotation_vectors(dressed.naked, act.posture))
    assert not np.allclose(made[0], made[1]) and not np.allclose(made[0], made[2]) and not np.allclose(made[1], made[2])


@pytest.mark.parametrize("action", ACTIONS)
def test_limbs_stay_within_their_limits_and_do_not_jump(action: str) -> None:
    """Knees and elbows turn by less than a folded limb, and no joint turns by more than 70 degrees in 1/60 s."""
    person = doer(action)
    along = path(float(np.mean(CAST.actions(person)[action])) / 5, turn=0.05, frames=60)
    along = replace(along, fps=60.0)
    deformation = CAST.perform(person, action, along, np.random.default_rng(0)).deformation
    assert deformation is not None and deformation.skin is not None
    rotations = np.array(deformation.skin.rotations)
    hinges = [JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("forearm", "shin")]
    assert np.linalg.norm(rotations[:, hinges], axis=2).max() < 2.9
    turns = Rotation.from_rotvec(rotations.reshape(-1, 3))
    steps = turns[: -rotations.shape[1]].inv() * turns[rotations.shape[1] :]
    assert steps.magnitude().max() < np.deg2rad(70)


@pytest.mark.parametrize("action", ["walk", "run"])
def test_a_foot_on_the_floor_stays_where_it_is(action: str) -> None:
    """In every frame one foot, or none in flight, rests: its lowest vertex moves much less than the body."""
    mesh = CAST.load("person/0003").mesh
    speed = CAST.actions("person/0003")[action][0]
    done = CAST.perform("person/0003", action, path(speed, turn=0.2, frames=24), np.random.default_rng(1))
    assert done.deformation is not None and mesh.skeleton is not None
    placed = np.stack(
        [
            place(
                replace(mesh, vertices=deform(mesh.vertices, done.deformation, t, mesh.skeleton).astype(np.float32)),
                (1, 1, 1), done.poses[t],
            )
            for t in range(24)
        ]
    )  # fmt: skip
    slips = []
    for t in range(23):
        down = (placed[t, :, 2] < 0.01) & (placed[t + 1, :, 2] < 0.01)
        if down.any():
            slips.append(np.linalg.norm((placed[t + 1] - placed[t])[down, :2], axis=1).min())
    assert len(slips) >= 6
    assert np.median(slips) < 0.15 * speed / 12
