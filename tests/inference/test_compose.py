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
    detected = replace(clip, tracks=(replace(disc_track, amodal=amodal, confidence=known), bar_track))
    plain, weighted = (Predictor(model).predict(each) for each in (clip, detected))
    assert plain.tracks[1] == weighted.tracks[1]
    before, after = (np.array(clip.tracks[0].confidence, dtype=float) for clip in (plain, weighted))
    mean = float(np.mean([value for value in known if value is not None]))
    factors = np.array([mean if value is None else value for value in known])
    np.testing.assert_allclose(after, before * factors)
    several = Predictor(model, hypotheses=2).predict(detected).tracks[0]
    best = max(hypothesis.score for hypothesis in several.hypotheses)
    assert best == pytest.approx(np.mean(np.array(several.confidence, dtype=float)))
