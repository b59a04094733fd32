"""Denoising UNet of cumulative occlusion learning and its noise schedule (section 4.1, Eqs. 3 to 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

TIMESTEPS = 1000
"""T of the noise schedule."""


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the UNet, and how it is sampled.

    The paper uses no patches, widths of 128, 256, 384 and 512 with 2 or 3 blocks, and attention in two levels.
    """

    widths: tuple[int, ...] = (32, 48, 64)
    """Channels of each level, divisible by 8. Every level has half the resolution of the previous one."""
    patch: int = 2
    """Cells per side of the patches that are folded into channels, so that the first level has a lower resolution."""
    blocks: int = 1
    """Residual blocks per level."""
    attention: int = 1
    """Number of levels with attention, counted from the deepest. It is costly on a CPU from 16 x 16 cells up."""
    sampler: Literal["ddim", "ddpm"] = "ddim"
    """The paper uses DDPM (Eq. 9) with all 1000 steps."""
    steps: int = 20
    """Sampling steps."""


class Denoiser(nn.Module):
    """UNet that predicts the noise in a mask, or the clean mask, from the noisy mask and condition channels."""

    def __init__(self, config: DenoiserConfig, planes: int, size: int, predicts_mask: bool) -> None:
        """Build the UNet and its schedule.

        Args:
            config: Its settings.
            planes: Number of condition channels.
            size: Cells per side of the masks.
            predicts_mask: True to predict logits of the clean mask, False to predict the noise.
        """
        super().__init__()
        _check_sizes(config, size)
        self.config, self.predicts_mask = config, predicts_mask
        self.unet = _build_unet(config, planes, size)
        self.schedule = _build_schedule(config, predicts_mask)

    def forward(
        self,
        planes: Float[Tensor, "n c s s"],
        noisy: Float[Tensor, "n s s"],
        time: Int[Tensor, " n"],
        base: Float[Tensor, "n s s"] | float = 0.0,
    ) -> Float[Tensor, "n s s"]:
        """Return the predicted noise, or logits of the clean mask.

        Args:
            planes: Condition channels, in [-1, 1]; together with ``noisy`` they are X of Eq. 7.
            noisy: Noisy masks.
            time: Timesteps.
            base: Logits to which the prediction is added.
        """
        p = self.config.patch
        x = torch.cat([planes, noisy[:, None]], dim=1)
        out: Tensor = self.unet(rearrange(x, "n c (s p) (r q) -> n (c p q) s r", p=p, q=p), time).sample
        return rearrange(out, "n (p q) s r -> n (s p) (r q)", p=p, q=p).float() + base

    def add_noise(
        self, mask: Float[Tensor, "n s s"], noise: Float[Tensor, "n s s"], time: Int[Tensor, " n"]
    ) -> Float[Tensor, "n s s"]:
        """Return masks with values 0 and 1 after the forward process up to a timestep (Eqs. 4 and 8)."""
        noisy: Tensor = self.schedule.add_noise(2 * mask - 1, noise, time.to(mask.device))
        return noisy

    def sample(
        self,
        planes: Float[Tensor, "n c s s"],
        noise: Callable[[], Float[Tensor, "n s s"]],
        base: Float[Tensor, "n s s"] | float = 0.0,
    ) -> Float[Tensor, "n s s"]:
        """Sample masks with values between -1 and 1 (Eqs. 9 and 11).

        Args:
            planes: Condition channels, in [-1, 1].
            noise: Function that returns standard normal noise: called once at first and, for DDPM, once per step.
            base: As in `forward`.
        """
        x = noise()
        for time in self.schedule.timesteps:
            out = self(planes, x, time.to(x.device).expand(len(x)), base)
            step_noise = noise() if self.config.sampler == "ddpm" else None
            x = self.schedule.step(
                torch.tanh(out / 2) if self.predicts_mask else out,
                int(time),
                x,
                eta=0.0 if step_noise is None else 1.0,
                use_clipped_model_output=True,
                variance_noise=step_noise,
            ).prev_sample
        return x


def random_timesteps(uniform: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Convert random numbers in [0, 1) to timesteps of the schedule."""
    return (uniform * TIMESTEPS).long().clamp_max(TIMESTEPS - 1)


def _check_sizes(config: DenoiserConfig, size: int) -> None:
    levels = len(config.widths)
    if any(width % 8 for width in config.widths) or not levels:
        raise ValueError(f"denoiser.widths must be divisible by 8, not {config.widths}")
    if not 0 <= config.attention <= levels:
        raise ValueError(f"denoiser.attention must lie between 0 and {levels}, the number of levels")
    if config.patch < 1 or size % (config.patch * 2 ** (levels - 1)):
        raise ValueError(f"{levels} levels and patches of {config.patch} do not divide a canvas of {size} cells")
    if not 1 <= config.steps <= TIMESTEPS or config.blocks < 1:
        raise ValueError(f"denoiser.steps must lie between 1 and {TIMESTEPS}, and denoiser.blocks must be at least 1")


def _build_unet(config: DenoiserConfig, planes: int, size: int) -> Any:
    from diffusers import UNet2DModel

    plain = len(config.widths) - config.attention
    return UNet2DModel(
        sample_size=size // config.patch,
        in_channels=(planes + 1) * config.patch**2,
        out_channels=config.patch**2,
        layers_per_block=config.blocks,
        block_out_channels=config.widths,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * config.attention,
        up_block_types=("AttnUpBlock2D",) * config.attention + ("UpBlock2D",) * plain,
        norm_num_groups=8,
        attention_head_dim=config.widths[-1] // 4,  # four heads, as in the paper
        resnet_time_scale_shift="scale_shift",
    )


def _build_schedule(config: DenoiserConfig, predicts_mask: bool) -> Any:
    from diffusers import DDIMScheduler

    # DDIM with eta = 1 equals DDPM, and it accepts external noise.
    schedule = DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="linear",
        prediction_type="sample" if predicts_mask else "epsilon",
        clip_sample=True,
        timestep_spacing="trailing",
    )
    schedule.set_timesteps(config.steps)
    return schedule
