"""Cumulative occlusion learning as a framewise head."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.heads.base import FramewiseHead, HeadInputs
from vidamodal.segmenters.cumulative.denoiser import Denoiser, DenoiserConfig, check_choice, random_steps
from vidamodal.types import InputError

BROUGHT = 8
"""Channels to which the transformer's features are brought."""
SURE = 1e-4
"""Probabilities are this far from 0 and 1 when they become logits."""


@dataclass(frozen=True)
class CumulativeHeadConfig:
    """Of the framewise head. It predicts the clean mask, from which all heads learn."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    image: bool = True
    """It sees the window's colours."""
    samples: int = 1
    """K."""
    choose: str = "selected"
    """selected | mean."""
    noise: str = "track"
    """track | frame: whether the frames of a track share their noise in sampling."""


class CumulativeHead(FramewiseHead):
    """Draws the layer of one object in its window, behind what others show."""

    ID = "cumulative"
    config_class = CumulativeHeadConfig

    draws = True
    order = True

    def __init__(self, config: CumulativeHeadConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        check_choice("head.choose", config.choose, "selected", "mean")
        check_choice("head.noise", config.noise, "track", "frame")
        if config.samples < 1:
            raise ValueError(f"head.samples must be at least 1, not {config.samples}")
        self.config, self.pixels, self.joined = config, config.image, channels > 0
        planes = 3 * config.image + 2 + self.joined * (1 + BROUGHT)
        self.denoise = Denoiser(config.denoiser, planes, crop, clean=True)
        self.bring = nn.Conv2d(channels, BROUGHT, 1) if channels else None
        if self.joined:  # it begins as a copy of the coarse mask
            for parameter in self.denoise.unet.conv_out.parameters():
                nn.init.zeros_(parameter)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Logits of the representative sample, or of their mean."""
        b, t, s, _ = inputs.coarse.shape
        planes, base = self._given(inputs)
        own = 1 if self.config.noise == "track" else t

        def noise() -> Tensor:
            drawn = inputs.noise.normal(inputs.coarse, own, s, s).expand(b, t, s, s)
            return rearrange(drawn, "b t s r -> (b t) s r")

        drawn = torch.stack([self.denoise.sample(planes, noise, base) for _ in range(self.config.samples)])
        probability = ((drawn + 1) / 2).clamp(0, 1)
        chosen = probability.mean(dim=0)
        if self.config.choose == "selected":
            masks = (drawn > 0).float()
            far = (masks - masks.mean(dim=0)).abs().sum(dim=(2, 3))
            chosen = probability[far.argmin(dim=0), torch.arange(b * t, device=far.device)]
        return rearrange(torch.logit(chosen, eps=SURE), "(b t) s r -> b t s r", b=b)

    def learn(self, inputs: HeadInputs, truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Predicts the mask from one under the noise of a random time, another one for every frame."""
        b, t, s, _ = truth.shape
        planes, base = self._given(inputs)
        spoilt, time = inputs.noise.normal(truth, t, s, s), random_steps(inputs.noise.uniform(truth, t)).flatten()
        mask, spoilt = (rearrange(each, "b t s r -> (b t) s r") for each in (truth, spoilt))
        logits = self.denoise(planes, self.denoise.spoil(mask, spoilt, time), time, base)
        return rearrange(logits, "(b t) s r -> b t s r", b=b)

    def _given(self, inputs: HeadInputs) -> tuple[Float[Tensor, "bt c s s"], Float[Tensor, "bt s s"]]:
        """What joins the noisy mask, and the logits that the prediction begins with."""
        crops, coarse = inputs.crops, inputs.coarse.float()
        planes = [torch.stack([crops.occluders(), crops.visible], dim=2)]
        if self.config.image:
            if crops.image.shape[2] != 3:
                raise InputError("this head reads pixels, and this input has masks alone")
            planes.insert(0, crops.image)
        if self.bring is None:
            base = torch.zeros_like(coarse)
        else:
            base = coarse
            planes.append(torch.sigmoid(coarse)[:, :, None])
        given = 2 * rearrange(torch.cat(planes, dim=2), "b t c s r -> (b t) c s r") - 1
        if self.bring is not None:
            features = self.bring(rearrange(inputs.features, "b t d g h -> (b t) d g h"))
            given = torch.cat([given, interpolate(features, size=given.shape[-2:], mode="nearest")], dim=1)
        return given, rearrange(base, "b t s r -> (b t) s r")
