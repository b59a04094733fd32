"""The image stream: a ResNet whose last stage keeps the resolution of the one before (C2F-Seg, Eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.backbones.pretrained import read_pretrained, take_weights, transformers

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB."""


@dataclass(frozen=True)
class BackboneConfig:
    """Stages as transformers' ResNetConfig names them; the defaults are ResNet-50."""

    stem: int = 64
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    block: str = "bottleneck"
    """bottleneck | basic"""
    pretrained: str | None = None
    """A name on the Hub or a folder whose weights training begins with; a trained model brings its own."""
    normalise: bool = False
    """Subtract ImageNet's mean and divide by its deviation. The paper is silent; the released code does not."""


class Backbone(nn.Module):
    """Images (n, 3, s, s) in [0, 1] to the maps of the four stages, at 4, 2, 1 and 1 times the token grid.

    transformers' ResNetBackbone, with the fourth stage at stride 1. Crops of 16 x 16 pixels a token keep the pooling
    of its stem, crops of 8 x 8 go without.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: BackboneConfig, patch: int) -> None:
        super().__init__()
        if patch not in (8, 16):
            raise ValueError(f"the backbone serves tokens of 8 or 16 pixels, not {patch}")
        if len(config.widths) != 4 or len(config.depths) != 4:
            raise ValueError("the backbone has four stages: four widths and four depths")
        self.config = config
        self.resnet = _library().ResNetBackbone(_settings(config))
        if patch == 8:
            self.resnet.embedder.pooler = nn.Identity()
        _keep_resolution(self.resnet.encoder.stages[3])
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n c g g"], ...]:
        if self.config.normalise:
            images = (images - self.mean) / self.deviation
        return tuple(self.resnet(images).feature_maps)

    def load_pretrained(self) -> None:
        """Put the weights of ``config.pretrained`` in, if there is one; InputError if they cannot be had or do not fit.

        Safetensors only; a folder, or a name on the Hub, which may be offline.
        """
        name, where = self.config.pretrained, "backbone.pretrained"
        if name is not None:
            given = read_pretrained(_library().ResNetBackbone, name, where, "microsoft/resnet-50", out_features=_STAGES)
            take_weights(self.resnet, given, name, where)


_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def _settings(config: BackboneConfig) -> Any:
    return _library().ResNetConfig(
        embedding_size=config.stem,
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        layer_type=config.block,
        out_features=_STAGES,
    )


def _keep_resolution(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


def _library() -> Any:
    return transformers("C2F-Seg's ResNet", "c2f")
