"""Region measures of the primary protocol."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.helpers import (
    NOTHING,
    WHOLE,
    columns,
    score,
)


def test_a_total_miss_scores_zero_and_is_not_dropped() -> None:
    half = columns(0, 8)
    assert score([([half] * 2, [WHOLE] * 2, [half] * 2)]).occ == 0


def test_ghosts_are_countable_masks_where_the_object_is_not_in_the_image() -> None:
    gone = [WHOLE, NOTHING, NOTHING, None]
    assert score([([WHOLE, WHOLE, NOTHING, WHOLE], gone, gone)]).ghosts == pytest.approx(0.5)  # the last is unknown
    tall, dot = np.zeros((2, 256, 32), dtype=bool)
    tall[:100], dot[:3, :21] = True, True  # 63 pixels
    nothing = tall & False
    assert score([([tall, dot], [tall, nothing], [tall, nothing])]).ghosts == 0
    dot[3, 0] = True
    assert score([([tall, dot], [tall, nothing], [tall, nothing])]).ghosts == 1
    assert score([([WHOLE], [WHOLE], [WHOLE])]).ghosts is None
    assert score([([WHOLE] * 2, [WHOLE] * 2, [WHOLE, NOTHING])]).ghosts is None  # occluded, not gone


def test_occ_starts_at_five_per_cent_hidden_and_false_completion_needs_nothing_hidden() -> None:
    whole, predicted = columns(0, 20, 16, 64), columns(0, 22, 16, 64)
    almost = whole.copy()
    almost[:15, 19] = False  # 15 of 320 pixels: 4.7 %
    scores = score([([predicted], [whole], [almost])])
    assert scores.occ is None and scores.false_completion is None
    scores = score([([predicted], [whole], [columns(0, 19, 16, 64)])])  # 5 %
    assert scores.occ == pytest.approx(1 / 3) and scores.false_completion is None
    assert score([([predicted], [whole], [whole])]).false_completion == pytest.approx(0.1)
