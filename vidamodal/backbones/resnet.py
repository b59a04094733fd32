"""ResNets of transformers: C2F-Seg's image stream (Eq. 4) and the construction that it shares with the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.backbones.pretrained import copy_weights, read_pretrained

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of ImageNet's red, green and blue channels, which lie in [0, 1]."""
STAGES = ["stage1", "stage2", "stage3", "stage4"]

Block = Literal["basic", "bottleneck"]


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of C2F-Seg's backbone, in the terms of transformers' ResNetConfig; the defaults are ResNet-50."""

    stem: int = 64
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    block: Block = "bottleneck"
    pretrained: str | None = None
    """Folder or Hub name of the weights that training starts from; a trained model has its own."""
    normalise: bool = False
    """Normalise colours by ImageNet's mean and deviation. The paper is silent; the released code does not."""


class Backbone(nn.Module):
    """Image backbone of C2F-Seg: a ResNet whose fourth stage keeps the resolution of the third (Eq. 4).

    Crops of 8 x 8 pixels per token omit the pooling of the stem; crops of 16 x 16 pixels keep it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: BackboneConfig, patch: int) -> None:
        super().__init__()
        if patch not in (8, 16):
            raise ValueError(f"the backbone supports tokens of 8 or 16 pixels, not {patch}")
        if len(config.widths) != 4 or len(config.depths) != 4:
            raise ValueError("backbone.widths and backbone.depths must have four entries, one for each stage")
        self.config = config
        self.resnet = build_resnet(config.stem, config.widths, config.depths, config.block, pooled=patch == 16)
        _remove_strides(self.resnet.encoder.stages[3])
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n c g g"], ...]:
        """Return the maps of the four stages, at 4, 2, 1 and 1 times the token grid, of colours in [0, 1]."""
        if self.config.normalise:
            images = (images - self.mean) / self.deviation
        return tuple(self.resnet(images).feature_maps)

    def load_pretrained(self) -> None:
        """Load the weights that ``config.pretrained`` names, if any.

        Raises:
            InputError: If they cannot be loaded or do not fit.
        """
        if self.config.pretrained is not None:
            load_resnet_weights(self.resnet, self.config.pretrained, "backbone.pretrained", "microsoft/resnet-50")


def build_resnet(stem: int, widths: Sequence[int], depths: Sequence[int], block: Block, pooled: bool) -> Any:
    """Build a transformers ResNetBackbone that returns the maps of all four stages.

    Args:
        stem: Channels of the stem.
        widths: Channels of each stage.
        depths: Residual blocks of each stage.
        block: Kind of the residual blocks.
        pooled: True if the stem halves the resolution a second time by pooling.
    """
    from transformers import ResNetBackbone, ResNetConfig

    config = ResNetConfig(
        embedding_size=stem, hidden_sizes=list(widths), depths=list(depths), layer_type=block, out_features=STAGES
    )
    resnet = ResNetBackbone(config)
    if not pooled:
        resnet.embedder.pooler = nn.Identity()
    return resnet


def load_resnet_weights(resnet: nn.Module, name: str, setting: str, example: str) -> None:
    """Load pretrained weights into a ResNet of `build_resnet`. Raises InputError; see `read_pretrained`."""
    from transformers import ResNetBackbone

    copy_weights(resnet, read_pretrained(ResNetBackbone, name, setting, example, out_features=STAGES), name, setting)


def _remove_strides(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
