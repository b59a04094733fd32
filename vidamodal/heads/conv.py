"""Convolutional refinement (C2F-Seg, section 3.4, Eqs. 9 and 10), the default head.

Followed: convolutions over features, coarse mask and context give the amodal mask (Eq. 9), trained with binary
cross-entropy (Eq. 10). Not followed: the attention of Eq. 8 weighs image features, and this head sees masks alone;
the visible branch of Eqs. 9 and 10, because visible masks are an input here and are kept as they are; the released
code's nearest-neighbour resampling, which loses thin parts: all resampling here is a learned shuffle of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.data.crops import PLANES
from vidamodal.heads.base import FramewiseHead, HeadInputs


@dataclass(frozen=True)
class ConvConfig:
    """Channels at half and at a quarter of the window's resolution."""

    width: int = 32
    deep: int = 64


class ConvHead(FramewiseHead):
    """Corrects the coarse logits at full resolution from the crops and the transformer's features."""

    ID = "conv"
    config_class = ConvConfig

    def __init__(self, config: ConvConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        width, deep = config.width, config.deep
        self.enter = nn.Conv2d(4 * (PLANES + 1), width, 3, padding=1)
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
        b = inputs.coarse.shape[0]
        # Context: the crops and the coarse probability, at half resolution and then on the token grid.
        coarse = torch.sigmoid(inputs.coarse)[:, :, None]
        planes = rearrange(torch.cat([inputs.crops.planes(), coarse], dim=2), "b t c s r -> (b t) c s r")
        fine = nn.functional.gelu(self.enter(nn.functional.pixel_unshuffle(planes, 2)))
        x = self.down(nn.functional.pixel_unshuffle(fine, 2))
        # What the transformer knows of this track.
        if self.bring is not None:
            x = x + self.bring(rearrange(inputs.features, "b t c g k -> (b t) c g k"))
        x = x + self.mix(x)
        # Back to full resolution, as a correction of the coarse logits.
        x = torch.cat([nn.functional.pixel_shuffle(x, 2), fine], dim=1)
        x = nn.functional.gelu(self.up(x))
        delta = nn.functional.pixel_shuffle(self.leave(x), 2)
        return inputs.coarse + rearrange(delta.float(), "(b t) 1 s r -> b t s r", b=b)
