"""Predictors that are wrong on purpose."""

from __future__ import annotations

from scripts.experiments.results.probes import PROBES
from tests.metrics.helpers import (
    NOTHING,
    clip_of,
    columns,
    rles,
)
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import score_video
from vidamodal.types import Track


def test_what_each_measure_fails_to_notice() -> None:
    amodal = [columns(t, t + 12) for t in range(8)]
    visible = [mask & ~columns(8, 12) if 2 <= t < 5 else mask for t, mask in enumerate(amodal)]
    visible[3] = NOTHING
    truth = clip_of([Track(1, rles(visible), rles(amodal))], 8, 16, 32)
    scores = {name: score_video(count_video("a", probe(truth), truth)) for name, probe in PROBES.items()}
    assert scores["perfect"].full == 1 and scores["perfect"].flicker == 0
    assert scores["constant error"].flicker == 0 and (scores["constant error"].full or 0) < 0.75
    assert (scores["constant mask"].flicker or 0) > 0 and (scores["constant mask"].hidden or 0) > 0
    assert scores["copied visible mask"].false_completion == scores["copied visible mask"].hidden == 0
