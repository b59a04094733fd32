"""Proposals by models of the DETR family."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrModel,
    ResNetConfig,
)

from tests.segmenters.aisdiff.helpers import (
    DETECTOR,
    SIZE,
    assert_same_instances,
    ground_truth_of_squares,
    random_images,
    segmenter,
)
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.detr import Detr, read_detr
from vidamodal.types import InputError


def test_a_detr_from_a_folder_proposes_regions(tmp_path: Path) -> None:
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, num_queries=5, id2label={0: "u_shape", 1: "something"}, label2id={"u_shape": 0},
    )  # fmt: skip
    torch.manual_seed(0)
    DetrForObjectDetection(config).save_pretrained(tmp_path / "detr")
    detector = replace(DETECTOR, proposals="detr", detr=str(tmp_path / "detr"), overlap=1.0)
    network, images = segmenter(detector=detector), random_images(2)
    network.load_pretrained()
    found = network.detector.propose(images, network.detector(images))
    assert [len(each.scores) for each in found] == [5, 5]
    assert all((each.boxes >= 0).all() and (each.boxes <= SIZE).all() for each in found)
    assert not any("detr" in name for name in network.state_dict())
    assert_same_instances(network.segment(images, [0, 0])[1], network.segment(images[1:], [0])[0])
    parts = network.losses(ground_truth_of_squares(), 2, Noise.of(0, 1))
    assert "places" not in parts and "amodal" in parts
    processor = {"do_normalize": False, "size": {"height": 64, "width": 64}}
    (tmp_path / "detr/preprocessor_config.json").write_text(json.dumps(processor))
    read = read_detr(str(tmp_path / "detr"))
    enlarged = torch.nn.functional.interpolate(images, (64, 64), mode="bilinear", antialias=True)
    output = read.model(pixel_values=enlarged)  # without normalisation
    corners = output.pred_boxes[..., :2] - output.pred_boxes[..., 2:] / 2
    torch.testing.assert_close(read(images)[0][..., :2], corners, atol=1e-5, rtol=1e-5)
    for legal, size in (({"size": 64}, 64), ({"size": None, "image_mean": None}, None), ({"do_resize": False}, None)):
        assert Detr(read.model, legal).size == size
    DetrModel(config).save_pretrained(tmp_path / "headless")
    shutil.copytree(tmp_path / "detr", tmp_path / "damaged")
    (tmp_path / "damaged/preprocessor_config.json").write_text("{")
    for name, words in (
        ("/nowhere", "there is no folder /nowhere.*hf download"),
        (f"{tmp_path}/headless", "is missing.*hf download"),
        (f"{tmp_path}/damaged", "preprocessor_config.json .* cannot be used"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            segmenter(detector=replace(detector, detr=name)).load_pretrained()
        assert "\n" not in str(raised.value)
