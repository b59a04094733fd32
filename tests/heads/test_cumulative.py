"""The head by cumulative occlusion learning."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

import vidamodal
from tests.helpers import ToyClip, head_inputs
from tests.segmenters.cumulative.helpers import (
    TINY,
    cumulative_run,
)
from vidamodal.data.clips import ClipConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import HeadInputs
from vidamodal.heads.cumulative import CumulativeHead, CumulativeHeadConfig
from vidamodal.inference.predictor import Predictor
from vidamodal.media.video import open_video
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.noise import Noise
from vidamodal.training.run import train
from vidamodal.training.stages.head import FramewiseFamily
from vidamodal.worlds.sample import WorldConfig

CROP, FEATURES = 16, 6


def head(channels: int = 0, **changes: Any) -> CumulativeHead:
    torch.manual_seed(0)
    return CumulativeHead(replace(CumulativeHeadConfig(TINY), **changes), CROP, channels).eval()


def random_inputs(channels: int = 0) -> HeadInputs:
    return head_inputs(CROP, channels)


def test_the_untrained_head_returns_the_coarse_mask_of_a_transformer() -> None:
    inputs = random_inputs(channels=FEATURES)
    out = head(FEATURES)(inputs)
    torch.testing.assert_close(torch.sigmoid(out), torch.sigmoid(inputs.coarse), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"samples": 3}, {"samples": 3, "choose": "mean"}, {"noise": "frame"}], ids=str)
def test_a_track_depends_on_its_inputs_and_noise_only(channels: int, changes: dict[str, Any]) -> None:
    network, inputs = head(channels, **changes), random_inputs(channels=channels)
    torch.nn.init.normal_(network.denoise.unet.conv_out.weight)
    with torch.no_grad():
        whole = network(inputs)
        again = network(replace(inputs, noise=Noise.of(7, 8)))
        one = TrackCrops(*(getattr(inputs.crops, f.name)[1:] for f in fields(TrackCrops)))
        alone = network(HeadInputs(one, inputs.coarse[1:], inputs.features[1:], Noise.of(1)))
    torch.testing.assert_close(alone[0], whole[1], atol=1e-3, rtol=1e-3)
    assert whole.shape == (2, 3, CROP, CROP) and not torch.allclose(whole, again, atol=1e-2)


def test_the_head_trains_with_the_default_losses() -> None:
    network, inputs = head(FEATURES).train(), random_inputs(channels=FEATURES)
    truth = inputs.crops.visible
    logits = network.training_logits(inputs, truth)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).backward()
    assert network.loss(logits, truth, inputs.crops.inside) is None and logits.shape == truth.shape
    assert network.denoise.unet.conv_out.weight.grad.abs().sum() > 0


def test_a_head_without_transformer_is_trained_and_predicts(tmp_path: Path, clip: ToyClip, clip_folder: Path) -> None:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    alone = FramewiseConfig(head="cumulative", crop=16)
    settings = {"denoiser": {"widths": [8, 8], "attention": 1, "steps": 2}}
    config = cumulative_run(tmp_path / "run", clip_folder, model=FramewiseFamily(network=alone, head=settings))
    config = replace(config, stages=(replace(config.stages[0], kind="head", sample=sample),))
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    found = vidamodal.predict(clip.video, clip.tracks, model=str(folder), hypotheses=2)
    assert any(track.hypotheses[0].amodal != track.hypotheses[1].amodal for track in found.tracks if track.hypotheses)


def test_a_head_without_transformer_uses_the_order(clip: ToyClip) -> None:
    torch.manual_seed(0)
    model = FramewiseModel(FramewiseConfig(head="cumulative", crop=16), CumulativeHeadConfig(TINY)).eval()
    assert model.view.order and clip.tracks.order is not None
    predictor = Predictor(model, "cpu", constrain=False)
    pictures = open_video(clip.video).frames
    plain = predictor.predict(clip.tracks, frames=pictures)
    ordered = predictor.predict(clip.tracks, frames=pictures, order=clip.tracks.order)
    assert [t.confidence for t in plain.tracks] != [t.confidence for t in ordered.tracks]
