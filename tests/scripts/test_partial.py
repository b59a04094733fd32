"""The choice of the decision for partial scenes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.special import expit

from scripts.experiments.calibration.reliability import Reliability
from scripts.experiments.common import RESULTS
from scripts.experiments.partial.choice import Curve, choose, decision_at, worst_margin
from scripts.experiments.partial.fit import PartSamples, fit_judge
from scripts.experiments.partial.outcomes import CHOICES, ObjectFrame, measure, predict_tracks
from scripts.experiments.partial.page import render_page
from tests.helpers import ToyClip, small_model
from vidamodal.config import build
from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import load_model
from vidamodal.occlusion.parts import CUTS, FEATURES, PartJudge
from vidamodal.occlusion.thresholds import PartialDecision

SCORES = np.array(CHOICES)
WIDTH = len(FEATURES)
JUDGE = PartJudge((0.0,) * WIDTH, (1.0,) * WIDTH, ((0.1,) * WIDTH, (-0.2,) * WIDTH), (0.0, 0.1), (1.0, 0.5), 0.2)


def object_frame(video: str, occluded: int, noise: int) -> ObjectFrame:
    """An object of 100 pixels: its occluded part scores 0.7, and a part of ``noise`` background pixels scores -0.7."""
    return ObjectFrame(
        video=video,
        track=1,
        label="cat",
        set="room",
        size=0.05,
        truth=100,
        visible=100 - occluded,
        right=occluded * (SCORES < 0.7),
        wrong=noise * (SCORES < -0.7),
    )


def test_curves_hold_the_scores_of_each_choice() -> None:
    curve = Curve.of([object_frame("a", 20, 10), object_frame("b", 0, 10)])
    places = [CHOICES.index(score) for score in (-1.0, 0.0, 1.0)]
    assert curve.copied == pytest.approx(0.9)
    assert curve.full[places] == pytest.approx([100 / 110, 1.0, 0.9])
    assert curve.occ[places] == pytest.approx([20 / 30, 1.0, 0.0])
    assert curve.false_completion[places] == pytest.approx([0.1, 0.0, 0.0])


def test_the_choice_completes_without_harm() -> None:
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10)]
    assert -0.7 < CHOICES[choose(frames, least_frames=1)] < 0.7


def test_a_stratum_in_which_completion_harms_forbids_it() -> None:
    nothing = np.zeros(len(CHOICES))
    harmed = [replace(object_frame("c", 0, 0), label="dog", wrong=10.0 * (SCORES < 0.9), right=nothing)]
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10), *harmed]
    assert CHOICES[choose(frames, least_frames=1)] > 0.9
    assert CHOICES[choose(frames, least_frames=2)] < 0.7


def test_a_loss_may_be_allowed() -> None:
    frames = [object_frame("a", 20, 10), object_frame("b", 0, 10)]
    harmed = [replace(object_frame("c", 0, 0), label="dog", wrong=2.0 * (SCORES < 2), right=np.zeros(len(CHOICES)))]
    assert CHOICES[choose(frames + harmed, loss=0.05, least_frames=1)] < 0.7
    assert CHOICES[choose(frames + harmed, loss=0.01, least_frames=1)] > 2


def test_if_everything_harms_the_least_harm_is_chosen() -> None:
    harm = np.linspace(5, 30, len(CHOICES))
    frames = [replace(object_frame("a", 0, 0), wrong=harm, right=0 * harm)]
    assert choose(frames, least_frames=1) == 0
    assert worst_margin(frames, 1)[0] < 0


def test_the_threshold_divides_at_the_lowest_cut() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20000)
    pixels = Reliability.fine()
    pixels.add(expit(logits), rng.random(20000) < expit(logits / 2 - 1))
    decision = decision_at(CHOICES.index(-0.5), JUDGE, pixels)
    assert decision.temperature == pytest.approx(2.0, rel=0.1)
    assert decision.shift == pytest.approx(-1.0, abs=0.1)
    assert decision.threshold == pytest.approx(expit(CUTS[0] / decision.temperature + decision.shift), abs=1e-3)
    assert decision.judge == replace(JUDGE, threshold=-0.5)
    assert build(PartialDecision, json.loads(json.dumps(asdict(decision))), "partial") == decision


def test_the_judge_learns_what_distinguishes_good_parts() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, len(FEATURES)))
    good = features[:, 5] > 0.3
    samples = PartSamples([features], [good.astype(float)], [np.ones(2000)])
    judge = fit_judge(samples)
    assert fit_judge(samples) == judge
    fresh = rng.normal(size=(500, len(FEATURES)))
    assert ((judge.score(fresh) > 0) == (fresh[:, 5] > 0.3)).mean() > 0.9


def test_samples_hold_the_share_of_each_part_that_belongs_to_the_object(clip: ToyClip) -> None:
    sets = {"toy": list(find_dataset(clip.truth).clips.values())}
    tracks = list(predict_tracks(small_model(), sets, True, "cpu", "alone"))
    samples = PartSamples.of(tracks)
    purity, weight = np.concatenate(samples.purity), np.concatenate(samples.weight)
    assert len(purity) > 0 and (purity >= 0).all() and (purity <= 1).all() and (weight > 0).all()


def test_every_object_frame_is_measured_with_every_decision(clip: ToyClip) -> None:
    sets = {"toy": list(find_dataset(clip.truth).clips.values())}
    outcomes = measure(small_model(), JUDGE, sets, True, "cpu", "alone")
    assert outcomes.frames
    for frame in outcomes.frames:
        assert frame.right[-1] == frame.wrong[-1] == 0  # the visible mask alone
        assert (frame.right <= frame.truth - frame.visible).all() or frame.visible > frame.truth
    decision = decision_at(0, JUDGE, outcomes.pixels[0])
    text = render_page("command", "small", {"alone": outcomes.frames}, 2, decision, 0.0)
    assert "| toy |" in text and "**score above -2**" in text


def test_prediction_with_a_decision_gives_the_masks_that_were_measured(clip: ToyClip) -> None:
    """The judge sees the same in chunks of a prediction as over whole tracks, in clips of one chunk."""
    source = next(iter(find_dataset(clip.truth).clips.values()))
    model, place = small_model(), CHOICES.index(0.0)
    measured = measure(model, JUDGE, {"toy": [source]}, True, "cpu", "alone").frames
    decision = PartialDecision(threshold=float(expit(CUTS[0])), judge=replace(JUDGE, threshold=0.0))
    model.config = replace(model.config, partial=decision)
    truth = source.tracks()
    for track in truth.tracks:
        alone = replace(truth, exhaustive=False, order=None, tracks=(track,))
        (found,) = Predictor(model, "cpu").predict(alone, frames=source.frames).tracks
        areas = [0 if mask is None else mask.area() for mask in found.amodal or ()]
        for frame in [frame for frame in measured if frame.track == track.id]:
            assert frame.visible + frame.right[place] + frame.wrong[place] in areas


def test_the_bundled_model_decides_as_its_page_says() -> None:
    """The page is written by the command that chose the decision."""
    page = (RESULTS / "partial.md").read_text(encoding="utf-8")
    judge = load_model("tiny").model.config.partial.judge
    assert judge is not None and f"**score above {judge.threshold:g}**" in page
    lead = re.search(r"smallest difference to the visible masks in any stratum is ([+-][0-9.]+) points", page)
    assert lead is not None and float(lead[1]) >= -0.25
