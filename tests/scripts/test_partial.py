"""The choice of the decision for partial scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scripts.experiments.partial.choice import Curve, choose_cut, decision_at
from scripts.experiments.partial.outcomes import CUTS, ObjectFrame


def object_frame(video: str, occluded: int, noise: int) -> ObjectFrame:
    """An object of 100 pixels: the occluded ones have logits of 3, ``noise`` background pixels have logits of 1."""
    return ObjectFrame(
        video=video,
        track=1,
        label="cat",
        set="room",
        size=0.05,
        truth=100,
        visible=100 - occluded,
        covered=0,
        covered_right=0,
        free=occluded * (CUTS < 3.0) + noise * (CUTS < 1.0),
        free_right=occluded * (CUTS < 3.0).astype(float),
    )


def test_curves_hold_the_scores_of_each_cut() -> None:
    curve = Curve.of([object_frame("a", 20, 10), object_frame("b", 0, 10)])
    low, middle, high = (int(np.abs(CUTS - value).argmin()) for value in (0.0, 2.0, 4.0))
    assert curve.copied == pytest.approx(0.9)
    assert curve.full[[low, middle, high]] == pytest.approx([100 / 110, 1.0, 0.9])
    assert curve.occ[[low, middle, high]] == pytest.approx([20 / 30, 1.0, 0.0])
    assert curve.false_completion[[low, middle, high]] == pytest.approx([0.1, 0.0, 0.0])


def test_the_chosen_cut_completes_without_harm() -> None:
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10)]
    cut = CUTS[choose_cut(frames, least_false=0.02, least_frames=1)]
    assert 1.0 <= cut < 3.0


def test_a_stratum_in_which_completion_harms_forbids_it() -> None:
    harmed = [replace(object_frame("c", 0, 0), label="dog", free=10.0 * (CUTS < 3.5), free_right=0.0 * CUTS)]
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10), *harmed]
    assert CUTS[choose_cut(frames, least_false=0.5, least_frames=1)] >= 3.5
    assert CUTS[choose_cut(frames, least_false=0.5, least_frames=2)] < 3.0


def test_the_threshold_divides_at_the_chosen_cut() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20000)
    right = rng.random(20000) < expit(logits / 2 - 1)
    above = [np.array([np.count_nonzero(values > cut) for cut in CUTS], float) for values in (logits, logits[right])]
    frame = replace(object_frame("a", 20, 10), free=above[0], free_right=above[1])
    place = int(np.abs(CUTS - 2.0).argmin())
    decision = decision_at(place, [frame])
    assert decision.temperature == pytest.approx(2.0, rel=0.1)
    assert decision.shift == pytest.approx(-1.0, abs=0.1)
    assert decision.threshold == pytest.approx(expit(2.0 / decision.temperature + decision.shift), abs=1e-3)
