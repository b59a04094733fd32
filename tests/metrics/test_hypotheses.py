"""The best of several hypotheses, checked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.metrics.helpers import NOTHING, WHOLE, Masks, clip_of, columns, rles
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.evaluate import score_counts
from vidamodal.metrics.hypotheses import HypothesisScores, score_hypotheses
from vidamodal.metrics.tables import format_hypotheses
from vidamodal.types import Hypothesis, Track

HALF = columns(0, 8)


def scored(hypotheses: list[Masks], visible: Masks = (HALF, HALF)) -> HypothesisScores | None:
    truth = clip_of([Track(1, rles(visible), rles([WHOLE, WHOLE]))], 2, 16, 32)
    samples = tuple(Hypothesis(0.5, rles(masks)) for masks in hypotheses)
    prediction = replace(truth, tracks=(replace(truth.tracks[0], hypotheses=samples),))
    return score_hypotheses([count_video("clip", prediction, truth)])


def test_the_best_track_is_chosen_once_and_the_best_frame_in_every_frame() -> None:
    scores = scored([[HALF, HALF], [WHOLE, HALF], [HALF, WHOLE]])
    assert scores is not None and scores.count == 3
    assert scores.first["full"] == pytest.approx(0.5) and scores.first["occ"] == 0
    assert scores.best_track["full"] == pytest.approx(0.75) and scores.best_track["occ"] == pytest.approx(0.5)
    assert scores.best_frame["full"] == scores.best_frame["occ"] == 1
    assert scores.first["hidden"] is None


def test_fully_occluded_frames_have_a_best_too() -> None:
    scores = scored([[WHOLE, HALF], [WHOLE, WHOLE]], (WHOLE, NOTHING))
    assert scores is not None
    assert (scores.first["hidden"], scores.best_track["hidden"]) == (0.5, 1)


def test_missing_tracks_and_videos_score_zero() -> None:
    tracks = [Track(number, rles([HALF]), rles([WHOLE])) for number in (1, 2)]
    truth = clip_of(tracks, 1, 16, 32)
    found = replace(truth, tracks=(replace(tracks[0], hypotheses=(Hypothesis(1.0, rles([WHOLE])),)),))
    scores = score_hypotheses([count_video("one", found, truth), count_video("other", None, truth)])
    assert scores is not None
    assert scores.first["full"] == scores.best_track["full"] == scores.best_frame["full"] == 0.25


def test_nothing_is_reported_without_hypotheses() -> None:
    assert scored([]) is None


def test_they_stand_in_metrics_json_and_in_a_table() -> None:
    truth = clip_of([Track(1, rles([HALF]), rles([WHOLE]))], 1, 16, 32)
    sampled = replace(truth.tracks[0], hypotheses=(Hypothesis(1.0, rles([WHOLE])),))
    result = score_counts([count_video("clip", replace(truth, tracks=(sampled,)), truth)])
    assert result.record()["hypotheses"]["best_frame"]["occ"] == 1
    assert result.hypotheses is not None
    text = format_hypotheses(result.hypotheses)
    assert "flattering" in text and max(map(len, text.splitlines())) <= 120
