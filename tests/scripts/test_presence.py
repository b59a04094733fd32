"""The choice of the presence below which an object is gone."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.experiments.presence.__main__ import render_page
from scripts.experiments.presence.outcomes import THRESHOLDS, Rates, UnseenFrame, choose_threshold


def frames(gone: list[float], hidden: list[float], name: str = "street") -> list[UnseenFrame]:
    return [UnseenFrame(name, p, False, True) for p in gone] + [UnseenFrame(name, p, True, False) for p in hidden]


def test_rates_count_ghosts_and_lost_objects() -> None:
    rates = Rates.of(frames([0.1, 0.3, 0.7], [0.4, 0.9]))
    at = int(np.abs(THRESHOLDS - 0.5).argmin())
    assert rates.ghosts[at] == pytest.approx(1 / 3) and rates.lost[at] == pytest.approx(1 / 2)
    assert (rates.gone_frames, rates.hidden_frames) == (3, 2)


def test_masks_that_are_empty_anyway_are_no_ghosts() -> None:
    assert Rates.of([UnseenFrame("street", 0.9, False, False)]).ghosts.max() == 0


def test_the_chosen_threshold_separates_hidden_from_gone() -> None:
    assert 0.3 < choose_threshold(frames([0.1, 0.2, 0.3], [0.6, 0.8])) <= 0.6


def test_data_sets_count_alike_whatever_their_size() -> None:
    many, few = frames([0.5] * 50, [0.9] * 50, "many"), frames([0.1, 0.1], [0.4, 0.4], "few")
    rates = Rates.of(many + few)
    assert rates.gone_frames == 52
    assert choose_threshold(many + few) <= 0.4 or choose_threshold(many + few) > 0.5


def test_the_page_marks_the_chosen_threshold() -> None:
    text = render_page("command", "tiny", frames([0.1], [0.9]), 0.5)
    assert "| street | 0.50 (chosen) | 0.0 | 0.0 | 1 | 1 |" in text
