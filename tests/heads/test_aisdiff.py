"""The AISDiff head: completion with a shape prior, from masks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vidamodal
from tests.helpers import ToyClip, head_inputs
from tests.segmenters.aisdiff.helpers import (
    PRIOR,
)
from tests.segmenters.aisdiff.runs import SETTINGS, train_run
from vidamodal.data.clips import ClipConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.heads.aisdiff import AISDiffHead, AISDiffHeadConfig
from vidamodal.heads.base import HeadInputs
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.stages.head import HeadFamily
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig

CROP, FEATURES = 16, 6


def head(channels: int = 0, **changes: Any) -> AISDiffHead:
    torch.manual_seed(0)
    return AISDiffHead(replace(AISDiffHeadConfig(width=8, prior=PRIOR), **changes), CROP, channels).eval()


def random_inputs(channels: int = 0) -> HeadInputs:
    return head_inputs(CROP, channels)


def test_the_untrained_head_returns_the_coarse_mask_of_a_transformer() -> None:
    body = load_model("tiny").model
    assert isinstance(body, AmodalModel)
    model = AmodalModel(replace(body.config, head="aisdiff", temperature=1.0), AISDiffHeadConfig(prior=PRIOR)).eval()
    kept = {k: v for k, v in body.state_dict().items() if not k.startswith("head.")}
    model.load_state_dict(kept, strict=False)
    inputs = random_inputs(channels=FEATURES)
    torch.testing.assert_close(head(FEATURES)(inputs), inputs.coarse)
    assert model.head.has_transformer and model.view.pixels and model.view.order


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"per": "frame"}, {"shape_prior": False}], ids=str)
def test_a_track_depends_on_its_inputs_and_noise_only(channels: int, changes: dict[str, Any]) -> None:
    network, inputs = head(channels, **changes), random_inputs(channels=channels)
    torch.nn.init.normal_(network.amodal.predict[-1].weight)  # type: ignore[arg-type]
    with torch.no_grad():
        whole = network(inputs)
        again = network(replace(inputs, noise=Noise.of(7, 8)))
        one = TrackCrops(*(getattr(inputs.crops, f.name)[1:] for f in fields(TrackCrops)))
        alone = network(HeadInputs(one, inputs.coarse[1:], inputs.features[1:], Noise.of(1)))
    torch.testing.assert_close(alone[0], whole[1], atol=1e-4, rtol=1e-4)
    assert whole.shape == (2, 3, CROP, CROP) and torch.equal(whole, again) != network.stochastic


def test_the_prior_of_a_track_is_that_of_its_most_visible_frame() -> None:
    inputs = random_inputs()
    visible = inputs.crops.visible.clone()
    visible[:, 1] = 1
    inputs = replace(inputs, crops=replace(inputs.crops, visible=visible))
    of_track = head(per="track").shape_prior(inputs)
    of_frames = head(per="frame").shape_prior(replace(inputs, noise=Noise.of(0, 1)))
    of_track_again = head(per="track").shape_prior(replace(inputs, noise=Noise.of(0, 1)))
    assert torch.equal(of_track_again[:, 0], of_track_again[:, 2])
    torch.testing.assert_close(of_track_again[:, 1], of_frames[:, 1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(of_frames[:, 0], of_frames[:, 2]) and of_track.shape == (2, 3, 4, 4)


def test_the_head_takes_over_the_diffsp_of_a_trained_segmenter(trained_aisdiff: Path) -> None:
    network = head(diffsp=str(trained_aisdiff))
    assert network.prior is not None and network.prior.own is not None
    network.load_pretrained()
    source = load_segmenter(str(trained_aisdiff)).model
    assert isinstance(source, AISDiffSegmenter) and source.prior is not None and source.prior.own is not None
    assert torch.equal(network.prior.own.unet.conv_in.weight, source.prior.own.unet.conv_in.weight)
    network.requires_grad_(True)
    assert not any(p.requires_grad for p in network.prior.parameters())
    for changes, words in (
        ({"diffsp": None}, "head.diffsp is not set"),
        ({"diffsp": "/nowhere"}, "no model '/nowhere'"),
        ({"diffsp": str(trained_aisdiff), "prior": replace(PRIOR, text=16)}, "no DiffSP with the sizes"),
        ({"prior": replace(PRIOR, diffsp="/nowhere")}, "there is no folder /nowhere"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            head(**changes).load_pretrained()
        assert "\n" not in str(raised.value)


def test_the_head_is_trained_behind_the_bundled_model(
    tmp_path: Path, trained_aisdiff: Path, clip_folder: Path, clip: ToyClip
) -> None:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    stage = StageConfig("head", steps=2, clips=1, warmup=1, rate=1e-3, sample=sample)
    settings = {"width": 8, "diffsp": str(trained_aisdiff), "prior": SETTINGS["prior"]}
    folder = train_run(
        TrainConfig(
            name="t", output=str(tmp_path / "run"), precision="fp32", device="cpu", worlds=str(clip_folder), workers=0,
            stages=(stage,), init="tiny", model=HeadFamily(name="aisdiff", head=settings),
        )
    )  # fmt: skip
    found = vidamodal.predict(clip.video, clip.tracks, model=str(folder), head="aisdiff")
    assert all(track.amodal is not None for track in found.tracks)
