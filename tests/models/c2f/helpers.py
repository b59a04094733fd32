"""A small C2F-Seg with random weights, and random inputs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from vidamodal.backbones.resnet import BackboneConfig
from vidamodal.data.clips import TrainingBatch
from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.models.c2f.c2f_transformer import C2FTransformerConfig
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.c2f.vqgan import VqGanConfig
from vidamodal.models.tokenizer import TokenizerConfig

SIDE, CODES = 32, 16
VQGAN = VqGanConfig(crop=SIDE, width=8, multipliers=(1, 1, 2, 2), blocks=1, dim=8, codes=CODES, critic=8)
RESNET = BackboneConfig(stem=8, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), block="basic")
TRANSFORMER = C2FTransformerConfig(width=16, depth=3, heads=2, mlp=2, window=4, place=2)
CONFIG = C2FConfig(
    vqgan=VQGAN,
    light=TokenizerConfig(crop=SIDE, patch=8, width=8, dim=8, codes=CODES),
    backbone=RESNET,
    transformer=TRANSFORMER,
    refiner=16,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_crops(tracks: int, frames: int, side: int = SIDE, seed: int = 0) -> TrackCrops:
    generator = seeded(seed)
    names = ("visible", "others", "edges", "inside", "background", "order")
    return TrackCrops(
        **{name: torch.rand(tracks, frames, side, side, generator=generator) for name in names},
        image=torch.rand(tracks, frames, 3, side, side, generator=generator),
        depth=torch.zeros(tracks, frames, 0, side, side),
        known=torch.ones(tracks, frames),
        box=torch.zeros(tracks, frames, BOX_NUMBERS),
        time=(torch.arange(frames) - (frames - 1) / 2).expand(tracks, -1),
        valid=torch.ones(tracks, frames, dtype=torch.bool),
    )


def random_batch(tracks: int = 2, frames: int = 3, side: int = SIDE, seed: int = 0) -> TrainingBatch:
    """Return squares of which the lower part is occluded."""
    crops = random_crops(tracks, frames, side, seed)
    amodal = torch.zeros_like(crops.visible)
    corner = torch.randint(0, side // 3, (2, tracks, frames), generator=seeded(seed))
    for b in range(tracks):
        for t in range(frames):
            y, x = corner[:, b, t].tolist()
            amodal[b, t, y : y + side // 2, x : x + side // 2] = 1
    visible = amodal.clone()
    visible[..., side // 2 :] = 0
    return TrainingBatch(replace(crops, visible=visible), amodal, *torch.ones(3, tracks, frames))


def random_weights(module: nn.Module, seed: int = 0) -> None:
    """Move weights far from their initial values, so that every input has an influence."""
    generator = seeded(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.3)


def model(config: C2FConfig = CONFIG) -> C2F:
    torch.manual_seed(0)
    module = C2F(config)
    random_weights(module)
    return module.eval()


def millions(module: nn.Module | None) -> float:
    assert module is not None
    return sum(p.numel() for p in module.parameters()) / 1e6
