"""Convolutional refinement (C2F-Seg, 2023, section 3.4), the default head.

As in the paper, convolutions over the features, the coarse mask and its context predict the amodal mask (Eq. 9), which
is trained with binary cross-entropy (Eq. 10). Deviations:

- The attention of Eq. 8 is omitted: it weights image features, and this head reads masks only.
- The visible branch of Eqs. 9 and 10 is omitted: visible masks are inputs and are kept unchanged.
- Resampling is a learned pixel shuffle. The nearest-neighbour resampling of the released code loses thin parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, pixel_shuffle, pixel_unshuffle

from vidamodal.data.crops import PLANES, halve
from vidamodal.heads.base import FramewiseHead, HeadInputs
from vidamodal.occlusion.evidence import DEPTH_PLANES


@dataclass(frozen=True)
class ConvConfig:
    """Settings of the convolutional head."""

    width: int = 32
    """Channels at half the resolution of the window."""
    deep: int = 64
    """Channels at a quarter of the resolution of the window."""
    depth: bool = False
    """Read the evidence from depth."""


class ConvHead(FramewiseHead):
    """Head that corrects the coarse logits at full resolution, from the crops and the transformer's features."""

    ID = "conv"
    config_class = ConvConfig

    def __init__(self, config: ConvConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        width, deep = config.width, config.deep
        self.reads_depth = config.depth
        self.enter = nn.Conv2d(4 * (PLANES + 1), width, 3, padding=1)
        if config.depth:  # zero at first, so that a trained head can get this input
            self.extra = nn.Conv2d(4 * DEPTH_PLANES, width, 3, padding=1)
            for parameter in self.extra.parameters():
                nn.init.zeros_(parameter)
        self.down = nn.Conv2d(4 * width, deep, 3, padding=1)
        self.bring = nn.Conv2d(channels, deep, 1) if channels else None
        self.mix = nn.Sequential(
            nn.GroupNorm(8, deep), nn.GELU(), nn.Conv2d(deep, deep, 3, padding=1), nn.GELU(),
            nn.Conv2d(deep, deep, 3, padding=1),
        )  # fmt: skip
        self.up = nn.Conv2d(deep // 4 + width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 4, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return the coarse logits plus the predicted correction (Eq. 9)."""
        coarse = torch.sigmoid(inputs.coarse)[:, :, None]
        half = self.enter(halve(torch.cat([inputs.crops.planes(), coarse], dim=2)))
        if self.reads_depth:
            half = half + self.extra(halve(inputs.crops.depth))
        half = gelu(half)
        x = self.down(pixel_unshuffle(half, 2))
        if self.bring is not None:
            x = x + self.bring(rearrange(inputs.features, "b t c g k -> (b t) c g k"))
        x = x + self.mix(x)
        x = gelu(self.up(torch.cat([pixel_shuffle(x, 2), half], dim=1)))
        correction = pixel_shuffle(self.leave(x), 2).float()
        return inputs.coarse + rearrange(correction, "(b t) 1 s r -> b t s r", b=len(inputs.coarse))
