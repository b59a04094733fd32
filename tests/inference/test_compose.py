"""Confidences of detected tracks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.inference.helpers import (
    behind_a_bar,
)
from vidamodal.inference.predictor import Predictor
from vidamodal.models.amodal import AmodalModel


def test_the_confidence_of_a_detection_multiplies_that_of_the_prediction(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    disc_track, bar_track = clip.tracks
    known = tuple(None if t == 3 else 0.1 + 0.1 * t for t in range(6))
    amodal = tuple(None if value is None else mask for value, mask in zip(known, disc_track.visible, strict=True))
    found = replace(clip, tracks=(replace(disc_track, amodal=amodal, confidence=known), bar_track))
    plain, told = (Predictor(model).predict(each) for each in (clip, found))
    assert plain.tracks[1] == told.tracks[1]
    before, after = plain.tracks[0].confidence, told.tracks[0].confidence
    assert before is not None and after is not None
    mean = np.mean([value for value in known if value is not None])
    factors = [mean if value is None else value for value in known]
    np.testing.assert_allclose(after, np.multiply(np.array(before, dtype=float), factors))
    several = Predictor(model, hypotheses=2).predict(found).tracks[0]
    best = max(hypothesis.score for hypothesis in several.hypotheses)
    assert best == pytest.approx(np.mean(np.array(several.confidence, dtype=float)))
