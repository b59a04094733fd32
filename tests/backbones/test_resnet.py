"""The ResNet of C2F-Seg: resolutions, normalisation and pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from vidamodal.backbones.resnet import Backbone, BackboneConfig
from vidamodal.errors import InputError

RESNET = BackboneConfig(stem=8, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), block="basic")


def test_the_last_stage_keeps_the_resolution() -> None:
    for patch in (8, 16):
        backbone = Backbone(RESNET, patch).eval()
        sizes = [tuple(x.shape[1:]) for x in backbone(torch.rand(1, 3, 4 * patch, 4 * patch))]
        assert sizes == [(8, 16, 16), (8, 8, 8), (16, 4, 4), (16, 4, 4)]


def test_normalise_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    torch.manual_seed(0)
    plain = Backbone(RESNET, 8).eval()
    normal = Backbone(replace(RESNET, normalise=True), 8).eval()
    normal.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 32, 32)
    shifted = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    assert torch.equal(normal(image)[-1], plain(shifted)[-1])


def test_pretrained_weights_are_loaded_from_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic")
    other = ResNetForImageClassification(config)
    other.save_pretrained(tmp_path / "resnet")
    backbone = Backbone(replace(RESNET, pretrained=str(tmp_path / "resnet")), 8)
    backbone.load_pretrained()
    for name, value in other.resnet.state_dict().items():
        assert torch.equal(backbone.resnet.state_dict()[name], value), name
    narrow = Backbone(replace(RESNET, widths=(8, 8, 8, 8), pretrained=str(tmp_path / "resnet")), 8)
    with pytest.raises(InputError, match="do not fit"):
        narrow.load_pretrained()


@pytest.mark.parametrize("name", ["./nowhere", "no-such-resnet/at-all"])
def test_missing_pretrained_weights_are_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"backbone\.pretrained") as error:
        Backbone(replace(RESNET, pretrained=name), 8).load_pretrained()
    assert "\n" not in str(error.value)
