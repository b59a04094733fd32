"""IoU of all predicted with all true masks."""

from __future__ import annotations

import pytest

from tests.metrics.helpers import (
    NOTHING,
    WHOLE,
    clip_of,
    columns,
    count_behind,
    rles,
)
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.temporal import score_temporal
from vidamodal.types import Track


def test_track_iou_sums_intersections_and_unions_over_frames() -> None:
    predicted = [columns(0, 16), columns(0, 8), NOTHING]
    video = count_behind([(predicted, [WHOLE] * 3, [WHOLE] * 3)])
    assert video.track_ious is not None and video.track_ious.iou.tolist() == [[pytest.approx(24 / 48)]]
    ranks = score_temporal([video]).track_ap
    assert (ranks["ap50"], ranks["ap75"]) == pytest.approx((1, 0))
    assert (ranks["ap"], ranks["ar"]) == pytest.approx((0.1, 0.1))


def test_predictions_count_nowhere_that_the_ground_truth_is_not_known() -> None:
    unscored = Track(3, rles([NOTHING] * 2), rles([WHOLE] * 2))
    truth = clip_of([Track(1, rles([WHOLE, WHOLE]), rles([WHOLE, None])), unscored], 2, 16, 32)
    predicted = clip_of([Track(n, rles([WHOLE] * 2), rles([WHOLE] * 2)) for n in (1, 3, 7)], 2, 16, 32)
    first, second = count_video("a", predicted, truth).frame_ious
    assert first.predicted_ids == (1, 7)  # 3 is not scored, and 7 is a false positive
    assert second.predicted_ids == second.true_ids == ()  # nothing is known in this frame


def test_fully_occluded_objects_are_ignored_and_the_score_is_the_confidence() -> None:
    truth = clip_of([Track(1, rles([WHOLE, NOTHING]), rles([WHOLE, WHOLE]))], 2, 16, 32)
    predicted = clip_of([Track(1, rles([WHOLE, NOTHING]), rles([WHOLE, WHOLE]), (0.5, None))], 2, 16, 32)
    video = count_video("a", predicted, truth)
    assert [table.ignored.tolist() for table in video.frame_ious] == [[False], [True]]
    assert [table.score.tolist() for table in video.frame_ious] == [[0.5], [1.0]]
    assert video.track_ious is not None and video.track_ious.score.tolist() == [0.75]
