"""Objects that are gone: presence at inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import small_model
from tests.inference.helpers import H, W, bar, check_prediction, clip_of, disc
from vidamodal.heads.conv import ConvHead
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.track_logits import CERTAIN, TrackLogits, cross_fade
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.types import ClipTracks


def model_with_presence(logit: float) -> AmodalModel:
    """A small model that predicts the same presence for every object-frame."""
    config = small_model().config
    torch.manual_seed(0)
    model = AmodalModel(replace(config, transformer=replace(config.transformer, presence=True)))
    assert isinstance(model.transformer.presence, torch.nn.Sequential) and isinstance(model.head, ConvHead)
    last = model.transformer.presence[-1]
    assert isinstance(last, torch.nn.Linear) and model.head.leave.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(logit)
        model.head.leave.bias.fill_(5.0)  # masks are never empty by themselves
    return model


def leaving(frames: int = 30) -> ClipTracks:
    """A disc that is known to show nothing from frame 6 on, beside a bar."""
    nothing = np.zeros((H, W), dtype=bool)
    discs = [disc(20, 24, 8) if t < 6 else nothing for t in range(frames)]
    return clip_of({1: discs, 2: [bar(50)] * frames})


@pytest.mark.parametrize("hypotheses", [1, 2])
def test_an_object_that_is_gone_has_empty_masks(hypotheses: int) -> None:
    clip = leaving()
    result = Predictor(model_with_presence(-3.0), hypotheses=hypotheses).predict(clip)
    check_prediction(clip, result)
    gone, stays = result.tracks
    assert [mask is not None and mask.area() > 0 for mask in gone.amodal or ()] == [t < 6 for t in range(30)]
    assert gone.present is not None and stays.present is not None
    np.testing.assert_allclose(np.array(gone.present, float), [1.0] * 6 + [1 / (1 + np.exp(3.0))] * 24, atol=1e-3)
    assert np.array(stays.present, float).min() > 0.999
    assert np.array(gone.confidence, float)[6:] == pytest.approx(1 - 1 / (1 + np.exp(3.0)), abs=1e-2)
    for hypothesis in gone.hypotheses:
        assert all(mask is not None and mask.area() == 0 for mask in hypothesis.amodal[6:])


def test_an_object_that_is_hidden_keeps_its_mask() -> None:
    clip = leaving()
    track = Predictor(model_with_presence(3.0)).predict(clip).tracks[0]
    assert all(mask is not None and mask.area() > 0 for mask in track.amodal or ())
    assert track.present is not None and min(p for p in track.present if p is not None) > 0.9


def test_an_object_that_is_gone_is_in_no_order() -> None:
    shown = [disc(20, 24, 8) if t < 6 else np.zeros((H, W), dtype=bool) for t in range(12)]
    clip = clip_of({1: shown, 2: [disc(26, 24, 8) & ~disc(20, 24, 8)] * 12})
    present, gone = (Predictor(model_with_presence(logit)).predict(clip).order or () for logit in (3.0, -3.0))
    assert any(present[7:]) and not any(gone[7:])


def test_models_without_presence_predict_none(model: AmodalModel) -> None:
    assert isinstance(model.config, ModelConfig) and not model.config.transformer.presence
    assert all(track.present is None for track in Predictor(model).predict(leaving()).tracks)


def test_presence_is_certain_where_the_object_is_visible() -> None:
    logits = TrackLogits(np.ones((1, 3, 2, 2), np.float32), np.array([-9.0, -9.0, 9.0], np.float32))
    decided = logits.decide_presence(np.array([True, False, False]), 0.5)
    assert decided.presence is not None and decided.presence[0] > 20
    assert [float(decided.masks[0, t, 0, 0]) for t in range(3)] == [1.0, -float(CERTAIN), 1.0]


def test_logits_are_faded_over_the_frames_that_chunks_share() -> None:
    old = TrackLogits(np.zeros((1, 3, 1, 1), np.float32), np.zeros(3, np.float32))
    new = TrackLogits(np.full((1, 5, 1, 1), 4, np.float32), np.full(5, 8, np.float32))
    joined = new.after(old)
    assert joined.masks.ravel().tolist() == [1, 2, 3, 4, 4]
    assert joined.presence is not None and joined.presence.tolist() == [2, 4, 6, 8, 8]
    outside = np.full((1, 2), -np.inf, np.float32)
    assert np.isneginf(cross_fade(outside, outside, axis=1)).all()
