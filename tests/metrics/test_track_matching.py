"""Tracks matched by their visible masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    rles,
    seeds,
)
from vidamodal.metrics.track_matching import match_by_visible_masks
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

H, W = 6, 5
VIDEO = VideoInfo("film.mp4", H, W, 3, 12.0)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((H, W), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def random_clip(seed: int, frames: int = 3) -> ClipTracks:
    """Return up to three tracks with visible masks of every kind, and an order."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(300, size=rng.integers(0, 4), replace=False).tolist()
    tracks = tuple(
        Track(
            i, rles([rng.random((H, W)) < rng.choice([0, 0.5]) if rng.random() < 0.8 else None for _ in range(frames)])
        )
        for i in ids
    )
    order = tuple(((ids[0], ids[1]),) for _ in range(frames)) if len(ids) > 1 and rng.random() < 0.5 else None
    return ClipTracks(replace(VIDEO, frames=frames), tracks, order=order)


FRONT, BEHIND = box(1, 1, 4, 3), box(2, 3, 6, 5)
SCENE = ClipTracks(
    VIDEO,
    (Track(3, rles([FRONT, FRONT, None])), Track(7, rles([BEHIND, box(0, 0, 0, 0), BEHIND]))),
    order=(((3, 7),), (), ()),
)


def test_swapped_ids_are_matched_and_strangers_move_behind() -> None:
    swapped = tuple(replace(track, id=10 - track.id) for track in SCENE.tracks)  # 3 is 7 and 7 is 3
    stranger = Track(0, rles([box(5, 0, 6, 1), None, None]))
    order = (((7, 3), (3, 0)), (), ())
    clip, renamed = match_by_visible_masks(replace(SCENE, tracks=(stranger, *swapped), order=order), SCENE)
    assert renamed == {0: 8, 3: 7, 7: 3} and clip.tracks[:2] == SCENE.tracks
    assert clip.tracks[2] == replace(stranger, id=8) and clip.order == (((3, 7), (7, 8)), (), ())


def test_pairs_with_an_iou_below_one_half_are_not_matched() -> None:
    truth = ClipTracks(VIDEO, (Track(1, rles([box(0, 0, 6, 2), None, None])),))
    for width, expected in ((1, 1), (4, 1), (5, 2)):  # IoU 1/2, 1/2, 2/5
        predicted = replace(truth, tracks=(Track(4, rles([box(0, 0, 6, width), FRONT, None])),))
        clip, renamed = match_by_visible_masks(predicted, truth)
        assert renamed == {4: expected} and clip.tracks[0].id == expected


def test_each_track_is_matched_once() -> None:
    truth = ClipTracks(VIDEO, (Track(1, rles([FRONT, None, None])),))
    near = FRONT & ~box(1, 1, 2, 2)
    predicted = replace(truth, tracks=(Track(5, rles([near, None, None])), Track(6, rles([FRONT, None, None]))))
    clip, renamed = match_by_visible_masks(predicted, truth)
    assert renamed == {5: 2, 6: 1}
    assert [(t.id, t.visible[0]) for t in clip.tracks] == [(1, Rle.encode(FRONT)), (2, Rle.encode(near))]


@given(seeds, seeds)
@settings(max_examples=50)
def test_a_match_keeps_everything_but_ids(first: int, second: int) -> None:
    prediction, truth = random_clip(first), random_clip(second)
    clip, renamed = match_by_visible_masks(prediction, truth)
    ids = [track.id for track in clip.tracks]
    assert len(set(ids)) == len(ids) and set(ids) == set(renamed.values())
    assert set(renamed) == {track.id for track in prediction.tracks}
    assert {replace(t, id=0) for t in clip.tracks} == {replace(t, id=0) for t in prediction.tracks}
    visible = [track.id for track in truth.tracks if track.ever_visible]
    same, renamed = match_by_visible_masks(truth, truth)
    assert all(renamed[number] == number for number in visible) and set(visible) <= {track.id for track in same.tracks}


def test_clips_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="Pass predictions for this video"):
        match_by_visible_masks(random_clip(0, frames=2), SCENE)


def test_no_tracks_are_matched_to_none() -> None:
    nobody = replace(SCENE, tracks=(), order=None)
    assert match_by_visible_masks(nobody, SCENE) == (nobody, {})
    assert match_by_visible_masks(SCENE, nobody)[0].tracks == tuple(
        replace(t, id=k) for k, t in enumerate(SCENE.tracks)
    )
