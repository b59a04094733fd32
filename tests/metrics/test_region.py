"""Region measures of the primary protocol."""

from __future__ import annotations

import pytest

from tests.metrics.helpers import (
    WHOLE,
    columns,
    score,
)


def test_a_total_miss_scores_zero_and_is_not_dropped() -> None:
    half = columns(0, 8)
    assert score([([half] * 2, [WHOLE] * 2, [half] * 2)]).occ == 0


def test_occ_starts_at_five_per_cent_hidden_and_false_completion_needs_nothing_hidden() -> None:
    whole, predicted = columns(0, 20, 16, 64), columns(0, 22, 16, 64)
    almost = whole.copy()
    almost[:15, 19] = False  # 15 of 320 pixels: 4.7 %
    scores = score([([predicted], [whole], [almost])])
    assert scores.occ is None and scores.false_completion is None
    scores = score([([predicted], [whole], [columns(0, 19, 16, 64)])])  # 5 %
    assert scores.occ == pytest.approx(1 / 3) and scores.false_completion is None
    assert score([([predicted], [whole], [whole])]).false_completion == pytest.approx(0.1)
