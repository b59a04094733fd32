"""Strata of object-frames."""

from __future__ import annotations

import pytest

from tests.metrics.helpers import (
    columns,
    count_behind,
)
from vidamodal.metrics.strata import score_strata


def test_strata_take_their_frames_and_no_others() -> None:
    eighths = [0, 1, 3, 4, 6, 8, 0, 0, 0, 0]
    amodal = [columns(4, 20)] * 10
    visible = [columns(4, 20 - 2 * n) for n in eighths]
    predicted = [v if n == 6 else a for n, a, v in zip(eighths, amodal, visible, strict=True)]
    strata = score_strata([count_behind([(predicted, amodal, visible)])])
    frames = {name: scores.object_frames for name, scores in strata.items()}
    assert list(frames.values()) == [5, 1, 1, 1, 1, 1, 3, 10]
    assert (strata["70-100 % hidden"].full, strata["70-100 % hidden"].occ) == pytest.approx((0.25, 0))
    assert strata["unoccluded (< 5 %)"].occ is None and strata["fully hidden"].full == 1
    assert strata["fully hidden"].full_interval is None  # one video
