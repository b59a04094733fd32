"""Cumulative occlusion learning (2024) as a framewise head: the layer of one object, sampled in its window.

The cumulative mask is the union of the visible masks of the occluders. Beyond the paper, the network sees the
object's visible mask and, behind a transformer, the coarse mask and features; it always predicts the clean mask, so
that it trains with the losses of the other heads. See `vidamodal.segmenters.cumulative.model` for the segmenter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.heads.base import FramewiseHead, HeadInputs, probability_logits, window_colours
from vidamodal.segmenters.cumulative.config import Choice
from vidamodal.segmenters.cumulative.denoiser import Denoiser, DenoiserConfig, random_timesteps

FEATURE_CHANNELS = 8
"""Channels to which the transformer's features are projected."""


@dataclass(frozen=True)
class CumulativeHeadConfig:
    """Settings of the head."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    image: bool = True
    """Read the colours of the window."""
    samples: int = 1
    """Samples per object-frame: K."""
    choose: Choice = "selected"
    """How one mask is made of the samples."""
    noise: Literal["track", "frame"] = "track"
    """Sampling noise: shared by the frames of a track, or independent in each frame."""


class CumulativeHead(FramewiseHead):
    """Head that samples the amodal mask of an object behind its occluders."""

    ID = "cumulative"
    config_class = CumulativeHeadConfig

    stochastic = True
    reads_order = True

    def __init__(self, config: CumulativeHeadConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.samples < 1:
            raise ValueError(f"head.samples must be at least 1, not {config.samples}")
        self.config, self.reads_pixels, self.has_transformer = config, config.image, channels > 0
        planes = 3 * config.image + 2 + self.has_transformer * (1 + FEATURE_CHANNELS)
        self.denoise = Denoiser(config.denoiser, planes, crop, predicts_mask=True)
        self.bring = nn.Conv2d(channels, FEATURE_CHANNELS, 1) if channels else None
        if self.has_transformer:  # the untrained head returns the coarse mask
            for parameter in self.denoise.unet.conv_out.parameters():
                nn.init.zeros_(parameter)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The denoising UNet."""
        return (self.denoise,)

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return logits of the most representative sample, or of the mean of the samples."""
        b, t, s, _ = inputs.coarse.shape
        planes, base = self._condition(inputs)
        frames = 1 if self.config.noise == "track" else t

        def noise() -> Tensor:
            gaussian = inputs.noise.normal(inputs.coarse, frames, s, s).expand(b, t, s, s)
            return rearrange(gaussian, "b t s r -> (b t) s r")

        samples = torch.stack([self.denoise.sample(planes, noise, base) for _ in range(self.config.samples)])
        probabilities = ((samples + 1) / 2).clamp(0, 1)
        probability = probabilities.mean(dim=0)
        if self.config.choose == "selected":
            masks = (samples > 0).float()
            distance = (masks - masks.mean(dim=0)).abs().sum(dim=(2, 3))
            probability = probabilities[distance.argmin(dim=0), torch.arange(b * t, device=distance.device)]
        return rearrange(probability_logits(probability), "(b t) s r -> b t s r", b=b)

    def training_logits(self, inputs: HeadInputs, truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Denoise the ground truth from a random timestep of each frame."""
        b, t, s, _ = truth.shape
        planes, base = self._condition(inputs)
        gaussian = inputs.noise.normal(truth, t, s, s)
        time = random_timesteps(inputs.noise.uniform(truth, t)).flatten()
        mask, gaussian = (rearrange(each, "b t s r -> (b t) s r") for each in (truth, gaussian))
        logits: Tensor = self.denoise(planes, self.denoise.add_noise(mask, gaussian, time), time, base)
        return rearrange(logits, "(b t) s r -> b t s r", b=b)

    def _condition(self, inputs: HeadInputs) -> tuple[Float[Tensor, "bt c s s"], Float[Tensor, "bt s s"]]:
        """Return the condition channels, and the logits to which the prediction is added."""
        crops, coarse = inputs.crops, inputs.coarse.float()
        planes = [torch.stack([crops.occluders(), crops.visible], dim=2)]
        if self.config.image:
            planes.insert(0, window_colours(crops))
        if self.has_transformer:
            planes.append(torch.sigmoid(coarse)[:, :, None])
        condition = 2 * rearrange(torch.cat(planes, dim=2), "b t c s r -> (b t) c s r") - 1
        if self.bring is not None:
            features = self.bring(rearrange(inputs.features, "b t d g h -> (b t) d g h"))
            condition = torch.cat([condition, interpolate(features, size=condition.shape[-2:], mode="nearest")], dim=1)
        base = coarse if self.has_transformer else torch.zeros_like(coarse)
        return condition, rearrange(base, "b t s r -> (b t) s r")
