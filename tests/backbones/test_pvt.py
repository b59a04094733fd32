"""PVTv2 with a noisy mask and time tokens, and its pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PvtV2Backbone, PvtV2Config

from tests.heads.conddiff.helpers import CROP, PYRAMID, head
from vidamodal.backbones.pvt import Pyramid, PyramidConfig
from vidamodal.types import InputError


def test_without_noisy_mask_the_pyramid_equals_pvtv2() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid(replace(PYRAMID, inputs=3), 3, noisy=False).eval()
    plain = PvtV2Backbone(
        PvtV2Config(
            num_channels=3, hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 2, 1], num_attention_heads=[1, 2, 2, 3],
            sr_ratios=[4, 2, 1, 1], mlp_ratios=[2, 2, 2, 2], out_features=["stage1", "stage2", "stage3", "stage4"],
        )
    ).eval()  # fmt: skip
    plain.load_state_dict({k.replace(".block.", "."): v for k, v in pyramid.backbone.state_dict().items()})
    planes = torch.rand(2, 3, CROP, CROP)
    for ours, theirs in zip(pyramid(planes, None, None), plain(pyramid.bring(planes)).feature_maps, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_noisy_mask_has_no_effect_at_first_but_the_time_has() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid(PYRAMID, 2, noisy=True).eval()
    planes, noisy, time = torch.rand(1, 2, CROP, CROP), torch.randn(1, 1, CROP, CROP), torch.zeros(1)
    before = pyramid(planes, noisy, time)
    assert all(torch.equal(a, b) for a, b in zip(before, pyramid(planes, -noisy, time), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(before, pyramid(planes, noisy, time + 3), strict=True))
    assert [tuple(each.shape[1:]) for each in before] == [(8, 8, 8), (16, 4, 4), (16, 2, 2), (24, 1, 1)]


def test_pretrained_weights_are_loaded_and_colours_stay_unchanged(tmp_path: Path) -> None:
    config = replace(PYRAMID, inputs=3)
    source = PvtV2Backbone(library_settings(config))
    source.save_pretrained(tmp_path / "pvt")
    pyramid = Pyramid(replace(config, pretrained=str(tmp_path / "pvt")), 4, noisy=True)
    pyramid.load_pretrained()
    copied = {name.replace(".block.", "."): value for name, value in pyramid.backbone.state_dict().items()}
    for name, value in source.state_dict().items():
        assert torch.equal(copied[name], value), name
    planes = torch.rand(1, 4, CROP, CROP)
    planes[:, 3] = 0
    torch.testing.assert_close(pyramid.bring(planes) - pyramid.bring(0 * planes), planes[:, :3])


def library_settings(config: PyramidConfig) -> PvtV2Config:
    """Return the settings of the same network without the noisy mask in transformers."""
    return PvtV2Config(
        num_channels=config.inputs, hidden_sizes=list(config.widths), depths=list(config.depths),
        num_attention_heads=list(config.heads), sr_ratios=list(config.reductions), mlp_ratios=list(config.ratios),
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "there is no folder ./nowhere"),
        ("nobody/nothing", "there is no folder 'nobody/nothing', and as a model on the Hub it is not in the cache"),
    ],
)
def test_missing_pretrained_weights_are_refused_in_one_line(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    network = head(pyramid=replace(PYRAMID, pretrained=name))
    with pytest.raises(InputError, match=words) as raised:
        network.load_pretrained()
    assert "\n" not in str(raised.value)


def test_pretrained_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    PvtV2Backbone(library_settings(replace(PYRAMID, inputs=3))).save_pretrained(tmp_path / "pvt")
    other = replace(PYRAMID, widths=(8, 16, 16, 48), inputs=3, pretrained=str(tmp_path / "pvt"))
    with pytest.raises(InputError, match=r"head\.pyramid\.pretrained.*do not fit the config"):
        Pyramid(other, 4, noisy=True).load_pretrained()
