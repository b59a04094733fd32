"""Measures of time: flicker, hidden spells, drift and identity."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.helpers import (
    NOTHING,
    WHOLE,
    columns,
    count_behind,
    score,
)
from vidamodal.metrics.temporal import hidden_spells, score_temporal


def test_flicker_is_zero_for_a_constant_error_and_skips_gaps() -> None:
    wrong, none = columns(2, 18), columns(0, 0)
    steady = score([([wrong] * 4, [WHOLE] * 4, [WHOLE] * 4)])
    assert steady.flicker == 0 and steady.full == pytest.approx(14 / 18)
    assert score([([WHOLE, none, WHOLE], [WHOLE] * 3, [WHOLE] * 3)]).flicker == 1
    assert score([([WHOLE, none, none], [WHOLE, None, WHOLE], [WHOLE] * 3)]).flicker is None


def test_flicker_divides_by_the_later_frame() -> None:
    truth = [columns(0, 8), columns(0, 16)]
    predicted = [columns(0, 8), columns(0, 12)]  # 4 of 16 columns go wrong
    assert score([(predicted, truth, truth)]).flicker == pytest.approx(0.25)


def test_drift_and_identity_through_a_hidden_spell() -> None:
    def at(left: int) -> np.ndarray:
        return columns(left, left + 8)

    amodal = [at(0), at(2), at(4), at(6)]
    visible = [at(0), NOTHING, NOTHING, at(6)]
    stays = count_behind([([at(0), at(0), at(0), at(6)], amodal, visible)])
    assert list(hidden_spells(stays.tracks[0])) == [(1, 3)]
    time = score_temporal([stays])
    size = (16 * 8) ** 0.5
    assert (time.spells, time.lost) == (1, 0)
    assert time.drift == {
        "1": pytest.approx(2 / size),
        "2-3": pytest.approx(4 / size),
        "4-7": None,
        "8-15": None,
        "16+": None,
    }
    assert time.identity_hidden == time.identity_after == 1
    lost = score_temporal([count_behind([([at(0), NOTHING, NOTHING, at(20)], amodal, visible)])])
    assert (lost.lost, lost.identity_hidden, lost.identity_after) == (1, 0, 0)
    assert set(lost.drift.values()) == {None}


def test_the_identity_is_lost_where_another_object_fits_better() -> None:
    one, other = columns(0, 12), columns(10, 22)
    visible = [one, NOTHING, one]
    taken = [one, other, other]
    video = count_behind([(taken, [one] * 3, visible), ([other] * 3, [other] * 3, [other] * 3)])
    time = score_temporal([video])
    assert (time.spells, time.identity_hidden, time.identity_after) == (1, 0, 0)


def test_frames_before_an_object_is_first_visible_are_no_spell() -> None:
    video = count_behind([([WHOLE] * 3, [WHOLE] * 3, [NOTHING, WHOLE, WHOLE])])
    assert score_temporal([video]).spells == 0
