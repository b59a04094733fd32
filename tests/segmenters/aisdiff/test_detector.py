"""Detection: training, mirroring, pretrained and growing backbones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    ResNetBackbone,
    ResNetConfig,
)

from tests.segmenters.aisdiff.helpers import (
    DETECTOR,
    SIZE,
    SMALL,
    ground_truth_of_squares,
    random_images,
    segmenter,
)
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.segmenters.aisdiff.roi import (
    box_overlaps,
)
from vidamodal.types import InputError


def test_the_detector_overfits_two_squares() -> None:
    torch.manual_seed(0)
    network = AISDiffSegmenter(
        replace(SMALL, detector=replace(DETECTOR, least=0.3, width=16, tower=1, mirrored=False))
    ).train()
    truth = ground_truth_of_squares(1)
    image = truth.visible[:, :2].float().repeat_interleave(torch.tensor([1, 2]), dim=1)
    truth = replace(truth, image=image)
    targets = network.detector.targets(truth.boxes, truth.valid)
    optimizer = torch.optim.Adam(network.detector.parameters(), lr=3e-3)
    for _ in range(150):
        focal, centre, sides = network.detector.losses(network.detector(image), targets, truth.labels)
        optimizer.zero_grad()
        (focal + centre + sides).backward()
        optimizer.step()
    network.eval()
    (found,) = network.detector.propose(image, network.detector(image))
    best = box_overlaps(truth.boxes[0, :2], found.boxes)
    assert len(found.scores) <= 4 and (best.amax(dim=1) > 0.8).all()


def test_proposals_of_a_mirrored_image_are_mirrored() -> None:
    network, images = segmenter(detector=replace(DETECTOR, least=0.0, overlap=0.5)), random_images(1)
    turned = images.flip(-1)
    (found,), (other,) = (network.detector.propose(each, network.detector(each)) for each in (images, turned))
    assert len(found.scores) > 3
    torch.testing.assert_close(found.scores, other.scores)
    back = SIZE - other.boxes[:, [2, 1, 0, 3]]
    back[:, [1, 3]] = other.boxes[:, [1, 3]]
    torch.testing.assert_close(found.boxes, back, atol=1e-3, rtol=1e-4)
    plain = segmenter(detector=replace(DETECTOR, least=0.0, overlap=0.5, mirrored=False)).detector
    assert not torch.allclose(plain.propose(images, plain(images))[0].scores[:3], found.scores[:3])


def test_the_batch_normalisation_of_a_pretrained_backbone_stays_frozen(tmp_path: Path) -> None:
    shape = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    ResNetBackbone(ResNetConfig(**shape)).save_pretrained(tmp_path / "resnet")
    network = segmenter(detector=replace(DETECTOR, pretrained=str(tmp_path / "resnet")))
    network.load_pretrained()
    network.train()
    norms = [m for m in network.detector.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    wide = segmenter(detector=replace(DETECTOR, widths=(8, 8, 8, 16), pretrained=str(tmp_path / "resnet")))
    with pytest.raises(InputError, match="do not fit"):
        wide.load_pretrained()


def test_a_grown_backbone_returns_the_same_maps_at_first() -> None:
    small, large = (segmenter(detector=replace(DETECTOR, depths=depths)) for depths in ((1, 1, 1, 1), (2, 3, 2, 1)))
    state = small.state_dict()
    fresh = large.initialize_as_identity(set(large.state_dict()) - set(state))
    assert large.load_state_dict(state, strict=False).missing_keys == [k for k in large.state_dict() if k in fresh]
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for before, after in zip(small.detector(images), large.detector(images), strict=True):
        torch.testing.assert_close(before, after)
    sum(each.mean() for each in large.detector(images)).backward()
    stuck = {k for k, p in large.named_parameters() if k in fresh and (p.grad is None or not p.grad.any())}
    assert not {k for k in stuck if k.endswith("1.normalization.weight")}  # by these the others begin to learn
