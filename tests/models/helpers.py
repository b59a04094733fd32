"""Small models with random weights, and random crops."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn

from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.heads.conv import ConvConfig
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import AmodalTransformer, TransformerConfig

CODEC = TokenizerConfig(crop=16, width=16, dim=8, codes=16)


TRANSFORMER = TransformerConfig(width=16, depth=3, heads=2, mlp=2, features=16, window=4)


MODEL = ModelConfig(CODEC, TRANSFORMER)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_weights(module: nn.Module, seed: int = 0) -> None:
    """Weights far from their start, at which heads add nothing, codes are all alike and influences are faint."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
        for name, value in module.named_buffers():
            if name.endswith("initted"):
                value.fill_(True)
            elif name.endswith("embed"):
                value.copy_(torch.randn(value.shape, generator=generator))


def random_crops(tracks: int, frames: int, seed: int = 0, side: int = CODEC.crop) -> TrackCrops:
    generator = seeded(seed)
    visible, others, edges, inside, background, order = (
        torch.rand(tracks, frames, side, side, generator=generator) for _ in range(6)
    )
    return TrackCrops(
        visible=visible,
        others=others,
        edges=edges,
        inside=inside,
        background=background,
        order=order,
        image=torch.rand(tracks, frames, 3, side, side, generator=generator),
        depth=torch.rand(tracks, frames, 4, side, side, generator=generator),
        known=torch.ones(tracks, frames),
        box=torch.randn(tracks, frames, BOX_NUMBERS, generator=generator),
        time=(torch.arange(frames) - (frames - 1) / 2).expand(tracks, -1),
        valid=torch.ones(tracks, frames, dtype=torch.bool),
    )


def take(crops: TrackCrops, frames: Tensor) -> TrackCrops:
    return TrackCrops(*(getattr(crops, f.name)[:, frames] for f in fields(crops)))


def transformer(config: TransformerConfig = TRANSFORMER) -> AmodalTransformer:
    torch.manual_seed(0)
    module = AmodalTransformer(config, CODEC.crop, CODEC.grid, CODEC.codes)
    random_weights(module)
    return module.eval()


def model(config: ModelConfig = MODEL) -> AmodalModel:
    torch.manual_seed(0)
    module = AmodalModel(config, ConvConfig(width=8, deep=16) if config.head == "conv" else None)
    random_weights(module)
    return module.eval()


def codes(crops: TrackCrops, value: int) -> Tensor:
    return torch.full((*crops.time.shape, CODEC.grid, CODEC.grid), value)


def run(module: AmodalTransformer, crops: TrackCrops) -> Tensor:
    """Code logits with all amodal codes to be predicted."""
    return module(crops, codes(crops, 1), codes(crops, module.mask_code))[0]
