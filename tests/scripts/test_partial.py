"""The choice of the decision for partial scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scripts.experiments.calibration.reliability import Reliability
from scripts.experiments.partial.choice import Curve, choose, decision_at, worst_margin
from scripts.experiments.partial.outcomes import CHOICES, CUTS, ObjectFrame, measure
from scripts.experiments.partial.page import render_page
from tests.helpers import ToyClip, small_model
from vidamodal.formats import find_dataset

ALL_CUTS = np.array([cut for cut, _ in CHOICES])


def place_of(cut: float, reach: float = 0.0) -> int:
    return CHOICES.index((cut, reach))


def object_frame(video: str, occluded: int, noise: int) -> ObjectFrame:
    """An object of 100 pixels: the occluded ones have logits of 2.9, ``noise`` background pixels have logits of 0.9."""
    return ObjectFrame(
        video=video,
        track=1,
        label="cat",
        set="room",
        size=0.05,
        truth=100,
        visible=100 - occluded,
        right=occluded * (ALL_CUTS < 2.9),
        wrong=noise * (ALL_CUTS < 0.9),
    )


def test_curves_hold_the_scores_of_each_choice() -> None:
    curve = Curve.of([object_frame("a", 20, 10), object_frame("b", 0, 10)])
    places = [place_of(cut) for cut in (0.0, 2.0, 4.0)]
    assert curve.copied == pytest.approx(0.9)
    assert curve.full[places] == pytest.approx([100 / 110, 1.0, 0.9])
    assert curve.occ[places] == pytest.approx([20 / 30, 1.0, 0.0])
    assert curve.false_completion[places] == pytest.approx([0.1, 0.0, 0.0])


def test_the_choice_completes_without_harm() -> None:
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10)]
    assert 0.9 < CHOICES[choose(frames, least_frames=1)][0] < 2.9


def test_a_stratum_in_which_completion_harms_forbids_it() -> None:
    nothing = np.zeros(len(CHOICES))
    harmed = [replace(object_frame("c", 0, 0), label="dog", wrong=10.0 * (ALL_CUTS < 3.5), right=nothing)]
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10), *harmed]
    assert CHOICES[choose(frames, least_frames=1)][0] >= 3.5
    assert CHOICES[choose(frames, least_frames=2)][0] < 2.9


def test_a_loss_may_be_allowed() -> None:
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10)]
    harmed = [replace(object_frame("c", 0, 0), label="dog", wrong=2.0 * (ALL_CUTS < 5), right=np.zeros(len(CHOICES)))]
    assert CHOICES[choose(frames + harmed, loss=0.05, least_frames=1)][0] < 2.9
    assert CHOICES[choose(frames + harmed, loss=0.01, least_frames=1)][0] > 5


def test_if_everything_harms_the_least_harm_is_chosen() -> None:
    harm = np.linspace(5, 30, len(CHOICES))
    frames = [replace(object_frame("a", 0, 0), wrong=harm, right=0 * harm)]
    assert choose(frames, least_frames=1) == 0
    assert worst_margin(frames, 1)[0] < 0


def test_the_threshold_divides_at_the_chosen_cut() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20000)
    pixels = Reliability.fine()
    pixels.add(expit(logits), rng.random(20000) < expit(logits / 2 - 1))
    decision = decision_at(place_of(2.0, 0.2), pixels)
    assert decision.temperature == pytest.approx(2.0, rel=0.1)
    assert decision.shift == pytest.approx(-1.0, abs=0.1)
    assert decision.threshold == pytest.approx(expit(2.0 / decision.temperature + decision.shift), abs=1e-3)
    assert decision.reach == 0.2


def test_every_object_frame_is_measured_with_every_decision(clip: ToyClip) -> None:
    sets = {"toy": list(find_dataset(clip.truth).clips.values())}
    outcomes = measure(small_model(), sets, True, "cpu", "alone")
    assert outcomes.frames and outcomes.pixels.count.sum() > 0
    for frame in outcomes.frames:
        added = (frame.right + frame.wrong)[[place_of(cut) for cut in CUTS]]
        assert (np.diff(added) <= 0).all()
        assert (frame.right <= frame.truth - frame.visible).all() or frame.visible > frame.truth
    text = render_page(
        "command", "small", {"alone": outcomes.frames}, place_of(2.0), decision_at(0, outcomes.pixels), 0.0
    )
    assert "| toy |" in text and "**" in text
