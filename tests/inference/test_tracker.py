"""Association of instances with tracks: movement, occlusion, appearance and weak detections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.experiments.bare import __main__ as bare
from scripts.experiments.bare.track_detections import count_detections, score_detections
from tests.inference.detections import SIZE, box, detections, disc, track_ids, tracks_of
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.types import FrameInstance, InputError
from vidamodal.worlds.sample import random_camera
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks


def test_an_object_that_stopped_while_occluded_is_recovered_near_its_expected_position() -> None:
    path = [10 + 1.5 * t for t in range(12)] + [25.0] * 4
    frames = [detections(box(16, 44), disc(x, 32)) for x in path] + [detections(disc(25, 32))] * 3
    assert {ids[-1] for ids in track_ids(frames)[-3:]} == {2}
    away = [*frames[:-3], detections(disc(25, 6))]
    assert track_ids(away)[-1] == [3]


def test_an_object_that_turned_back_while_occluded_is_recovered_where_it_vanished() -> None:
    path = [*range(6, 34, 3), 33, 33, *range(30, 8, -3)]
    ids = track_ids([detections(box(22, 44), disc(x, 32, 6)) for x in path])
    assert [1] in ids and ids[-1] == [1, 2]


@pytest.mark.parametrize(
    "rules", [{"inertia": 1.5}, {"patience": -1}, {"reach": float("nan")}, {"min_frames": 0}], ids=str
)
def test_rules_out_of_range_are_rejected(rules: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"tracker: {next(iter(rules))} must be at least"):
        TrackerConfig(**rules)  # type: ignore[arg-type]


def test_an_object_is_recovered_anywhere_by_its_appearance() -> None:
    red, blue = [1.0, 0.0], [0.0, 1.0]
    frames = [detections(disc(10, 10), appearances=[red])] * 3 + [[]] * 3
    assert track_ids([*frames, detections(disc(50, 50), appearances=[red])])[-1] == [1]
    assert track_ids([*frames, detections(disc(50, 50), appearances=[blue])])[-1] == [2]
    assert track_ids([*frames, detections(disc(50, 50))])[-1] == [2]  # looks are not told
    crossing = [detections(disc(30, 30), disc(33, 30), appearances=[red, blue])] * 2
    swapped = detections(disc(30, 30), disc(33, 30), appearances=[blue, red])
    assert track_ids([*crossing, swapped], appearance_weight=2.0)[-1] == [2, 1]
    assert track_ids([*crossing, swapped], appearance_weight=0.0)[-1] == [1, 2]


def test_the_reach_grows_with_the_time_unseen() -> None:
    still, away = [detections(disc(20, 20))] * 3, [detections(disc(29, 20))]
    assert track_ids([*still, *away])[-1] == [2]
    assert track_ids([*still, *[[]] * 7, *away])[-1] == [1]


def test_an_appearance_that_all_objects_share_is_ignored() -> None:
    alike = [[1.0, 0.02], [1.0, 0.0]]
    frames = [detections(disc(30, 30), disc(40, 30), appearances=alike)] * 2
    moved_on = detections(disc(31, 30), disc(41, 30), appearances=alike[::-1])
    assert track_ids([*frames, moved_on])[-1] == [1, 2]


def test_visible_masks_associate_when_amodal_masks_differ() -> None:
    shown = disc(20, 32)
    frames = [[FrameInstance(shown, shown, 1, None, 0.9)], [FrameInstance(shown, box(14, 64), 1, None, 0.9)]]
    assert track_ids(frames) == [[1], [1]]
    assert track_ids(frames, min_overlap=1.01, reach=0.0) == [[1], [2]]


def test_a_weak_instance_continues_a_track_but_starts_none() -> None:
    strong, weak = detections(disc(20, 20)), detections(disc(20, 20), disc(50, 50), score=0.1)
    assert track_ids([strong, weak, weak]) == [[1], [1, None], [1, None]]
    clip = tracks_of([strong, weak, weak])
    assert [track.id for track in clip.tracks] == [1]
    assert track_ids([weak], min_birth_score=0.05) == [[1, 2]]


@st.composite
def scenes(draw: st.DrawFn) -> list[list[FrameInstance]]:
    """Discs at random that may be equal, and that may look alike."""
    place, kind = st.integers(1, 8).map(lambda k: 7.0 * k), st.sampled_from([None, [1.0, 0.0], [0.0, 1.0]])
    one = st.tuples(place, place, st.sampled_from([4, 9]), kind)
    return [
        detections(*(disc(x, y, r) for x, y, r, _ in discs), appearances=[look for *_, look in discs])
        for discs in draw(st.lists(st.lists(one, max_size=4), min_size=2, max_size=6))
    ]


@settings(max_examples=60)
@given(frames=scenes(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_instances_affects_only_the_numbers_of_tracks(
    frames: list[list[FrameInstance]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(instances)) for instances in frames]
    plain = [key for ids in track_ids(frames) for key in ids]
    mixed = track_ids([[frame[k] for k in order] for frame, order in zip(frames, orders, strict=True)])
    back = [ids[list(order).index(k)] for ids, order in zip(mixed, orders, strict=True) for k in range(len(ids))]
    assert len(set(zip(plain, back, strict=True))) == len(set(plain)) == len(set(back))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 4), frames=st.integers(2, 14))
def test_perfect_instances_of_separate_objects_give_perfect_tracks(seed: int, count: int, frames: int) -> None:
    """Each on a way of its own, in lanes that do not touch, within the image, and given in any order."""
    rng = np.random.default_rng(seed)
    start, end = rng.uniform(8, 56, (2, count))
    way = np.linspace(start, start + np.clip(end - start, -4 * (frames - 1), 4 * (frames - 1)), frames)
    masks = [[disc(x, 8 + 16 * k) for k, x in enumerate(row)] for row in way]
    orders = [rng.permutation(count).tolist() for _ in range(frames)]
    ids = track_ids([detections(*(masks[t][k] for k in order)) for t, order in enumerate(orders)])
    pairs = {(k, key) for order, keys in zip(orders, ids, strict=True) for k, key in zip(order, keys, strict=True)}
    assert len(pairs) == len({k for k, _ in pairs}) == len({key for _, key in pairs})


def test_ids_persist_when_a_fifth_of_the_instances_is_missed() -> None:
    bank, rng = toy_bank(3), np.random.default_rng(0)
    clips, pieces = [], []
    for k, world in enumerate(bank.worlds[:4]):
        camera = random_camera(np.random.default_rng(k), 24, "orbit")
        truth = true_tracks(replace(world, size=SIZE, frames=24, camera=camera), bank.meshes, "v.mp4")
        clips.append(truth)
        pieces.append([[one for one in frame if rng.random() > 0.2] for frame in bare.true_instances(truth)])
    scores = {
        reach: score_detections(
            [count_detections(tracks_of(p, reach=reach), c) for p, c in zip(pieces, clips, strict=True)]
        )
        for reach in (0.0, TrackerConfig().reach)
    }
    alone, again = scores.values()
    assert again.found is not None and alone.found is not None
    assert again.found > 0.9 and again.found >= alone.found
    assert again.switches < 0.05 * sum(len(c.tracks) * 24 for c in clips)
