"""Small untrained AISDiff segmenters and their inputs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidamodal.data.instance_frames import Picture, frame_ground_truth
from vidamodal.segmenters.aisdiff import AISDiffSegmenter, AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.detector import DetectorConfig
from vidamodal.segmenters.aisdiff.diffsp import ObjectCrops
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig
from vidamodal.types import FrameInstance

SIZE = 32
LABELS = ("box", "mug", "u_shape")
DETECTOR = DetectorConfig(stem=8, widths=(8, 8, 8, 8), width=8, tower=1, most=6, least=0.0)
PRIOR = PriorConfig(cells=8, widths=(8, 8), text=8, steps=2, grid=4, together=3)
SMALL = AISDiffSegmenterConfig(SIZE, LABELS, DETECTOR, PRIOR, bins=4, least_score=0.0, learning_regions=3)


def segmenter(**changes: Any) -> AISDiffSegmenter:
    """Return an untrained segmenter, with weights large enough for its output to depend on its input."""
    torch.manual_seed(3)
    made = AISDiffSegmenter(replace(SMALL, **changes))
    for layer in made.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.weight.data.mul_(2.0)
    return made.eval()


def random_images(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="nearest")


def ground_truth_of_squares(count: int = 2) -> FrameGroundTruth:
    """Return images of two squares, of which one occludes part of the other."""
    front, back = np.zeros((2, SIZE, SIZE), dtype=bool)
    front[4:16, 4:16] = True
    back[10:26, 10:26] = True
    visible, amodal = np.stack([front, back & ~front]), np.stack([front, back])
    return FrameGroundTruth.join(
        [
            frame_ground_truth(Picture(image.numpy(), visible, amodal, np.array([1, -1])))
            for image in random_images(count)
        ]
    )


def object_crops(count: int, labels: tuple[int, ...], cells: int = 8) -> ObjectCrops:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, cells, cells, generator=generator)
    visible = (torch.rand(count, cells, cells, generator=generator) > 0.5).float()
    return ObjectCrops(image, visible, 1 - visible, torch.tensor(labels))


def object_crop(given_crops: ObjectCrops, k: int) -> ObjectCrops:
    return ObjectCrops(*(getattr(given_crops, f.name)[k : k + 1] for f in fields(ObjectCrops)))


def assert_same_instances(one: list[FrameInstance], other: list[FrameInstance]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.visible == b.visible).all() and (a.amodal == b.amodal).all()
        assert (a.layer, a.label, a.score) == (b.layer, b.label, b.score)
        assert a.appearance is not None and b.appearance is not None and (a.appearance == b.appearance).all()
