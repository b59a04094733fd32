"""The prediction store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    columns,
    count,
    random_objects,
    score,
    seeds,
)
from vidamodal.metrics.counts import IouTable
from vidamodal.metrics.primary import MEASURES


def test_only_object_frames_of_64_pixels_at_the_reference_height_are_scored() -> None:
    small, large = np.zeros((512, 8), dtype=bool), np.zeros((512, 8), dtype=bool)
    small[:51, :5], large[:64, :4] = True, True  # 255 and 256 of the 256 pixels needed in 512 rows
    assert score([([large], [large], [large])]).object_frames == 1
    scores = score([([small], [small], [small])])
    assert scores.object_frames == 0 and all(getattr(scores, name) is None for name in MEASURES)


def test_occluded_starts_at_five_per_cent_hidden() -> None:
    whole = columns(0, 20)
    visible = [columns(0, 19), columns(0, 19)]
    visible[1][0, 19] = True  # 15 of 320 pixels hidden: 4.7 %
    (track,) = count([([whole] * 2, [whole] * 2, visible)]).tracks
    assert track.occluded.tolist() == [True, False]
    assert track.occluded_share.tolist() == [pytest.approx(16 / 320), pytest.approx(15 / 320)]


@given(seeds)
@settings(max_examples=15)
def test_a_perfect_prediction_has_the_counts_of_the_ground_truth_as_prediction(seed: int) -> None:
    objects = random_objects(seed)
    expected = count([(a, a, v) for _, a, v in objects])
    perfect = count(objects).with_perfect_prediction()
    for track, other in zip(perfect.tracks, expected.tracks, strict=True):
        for name in ("cells", "error_change", "eroded", "boundary_f", "drift"):
            assert np.array_equal(getattr(track, name), getattr(other, name), equal_nan=True), name
    for table, other_table in zip(perfect.frame_ious, expected.frame_ious, strict=True):
        assert table.true_ids == table.predicted_ids and (table.iou.diagonal() == 1).all()
        assert table.true_ids == other_table.true_ids


def test_required_masks_and_kept_predictions_of_an_iou_table() -> None:
    ids, layers = (1, 2), np.array([1, 2])
    table = IouTable(ids, ids, np.eye(2), np.ones(2), np.array([False, False]), layers, layers)
    assert table.requiring_only(layers == 2).ignored.tolist() == [True, False]
    kept = table.with_predictions(layers == 2)
    assert kept.predicted_ids == (2,) and kept.iou.tolist() == [[0, 1]] and kept.predicted_layer.tolist() == [2]
