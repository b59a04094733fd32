"""Counting of videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from tests.metrics.helpers import (
    WHOLE,
    clip_of,
    count,
    count_behind,
    pair,
    random_objects,
    rles,
    score,
    seeds,
)
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import score_video
from vidamodal.types import ClipTracks, Track


@given(seeds)
@settings(max_examples=25)
def test_cells_add_up_to_the_image(seed: int) -> None:
    video = count(random_objects(seed))
    for track in video.tracks:
        assert (track.cells >= 0).all()
        assert set(track.pixels()[track.known]) <= {int(track.pixels().max())}
        assert not track.cells[~track.known].any() and not track.error_change[~track.known].any()
        assert not track.error_change[1:][~track.known[:-1]].any()


def test_a_null_prediction_is_empty_and_a_null_truth_is_skipped() -> None:
    scores = score([([None, WHOLE, WHOLE], [WHOLE, None, WHOLE], [WHOLE, WHOLE, None])])
    assert scores.object_frames == 1
    assert scores.full == 0 and scores.track_iou == 0
    assert scores.flicker is None


def test_a_track_that_is_never_visible_is_not_scored() -> None:
    nothing = np.zeros_like(WHOLE)
    seen, unseen = ([WHOLE], [WHOLE], [WHOLE]), ([nothing], [WHOLE], [nothing])
    scores = score([seen, unseen])
    assert scores.object_frames == 1 and scores.hidden is None
    assert score([unseen]).full is None


def test_an_object_leaves_the_frame_where_it_touches_the_border_or_goes_on_beyond_it() -> None:
    inside = np.zeros((16, 32), dtype=bool)
    inside[4:12, 4:12] = True
    touching = np.roll(inside, -4, axis=1)
    video = count_behind([([inside, touching],) * 3])
    assert video.tracks[0].leaving.tolist() == [False, True]
    canvas = replace(clip_of([], 1, 16, 32).video, canvas=(0, 8, 0, 0))
    for full, leaves in (
        (np.pad(touching, ((0, 0), (8, 0))), False),
        (np.pad(touching, ((0, 0), (8, 0)), mode="edge"), True),
    ):
        track = Track(1, rles([touching]), rles([touching]), amodal_full=rles([full]))
        assert count_video("a", None, ClipTracks(canvas, (track,))).tracks[0].leaving.tolist() == [leaves]


def test_drift_and_shapes_are_skipped_on_request() -> None:
    prediction, truth = pair([([WHOLE], [WHOLE], [WHOLE])])
    video = count_video("a", prediction, truth, shapes=False)
    assert video.frame_ious == () and video.track_ious is None
    assert np.isnan(video.tracks[0].boundary_f).all() and not video.tracks[0].eroded.any()
    assert score_video(video) == score_video(count_video("a", prediction, truth))
