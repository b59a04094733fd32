"""UNet and noise schedule of cumulative occlusion learning (section 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vidamodal.backbones.pretrained import diffusers

TIMES = 1000
"""T of the noise schedule."""


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the UNet, and how it is sampled from.

    Published: no patches, widths 128, 256, 384 and 512 with 2 or 3 blocks, and two levels that attend.
    """

    widths: tuple[int, ...] = (32, 48, 64)
    """Of each level, every one at half the side of the one before; divisible by 8."""
    patch: int = 2
    """Cells a side that become channels before the first level, which works at so many times fewer cells a side."""
    blocks: int = 1
    """Residual blocks a level."""
    attention: int = 1
    """How many of the deepest levels attend. On a CPU the map of 16 x 16 cells would take as long as all else."""
    sampler: str = "ddim"
    """ddim | ddpm (Eq. 9, which the paper runs in all 1000 steps)."""
    steps: int = 20
    """Of sampling."""


class Denoiser(nn.Module):
    """The UNet and its noise schedule. ``clean``: it predicts logits of the clean mask, else the noise."""

    def __init__(self, config: DenoiserConfig, planes: int, size: int, clean: bool) -> None:
        super().__init__()
        levels = len(config.widths)
        check_choice("denoiser.sampler", config.sampler, "ddim", "ddpm")
        if any(width % 8 for width in config.widths) or not levels:
            raise ValueError(f"denoiser.widths must be divisible by 8, not {config.widths}")
        if not 0 <= config.attention <= levels:
            raise ValueError(f"denoiser.attention must lie between 0 and {levels}, the number of levels")
        if config.patch < 1 or size % (config.patch * 2 ** (levels - 1)):
            raise ValueError(f"{levels} levels and patches of {config.patch} do not divide a canvas of {size} cells")
        if not 1 <= config.steps <= TIMES or config.blocks < 1:
            raise ValueError(f"denoiser.steps must lie between 1 and {TIMES}, and denoiser.blocks from 1 up")
        library, plain = diffusers("this head's UNet"), levels - config.attention
        self.config, self.clean = config, clean
        self.unet = library.UNet2DModel(
            sample_size=size // config.patch,
            in_channels=(planes + 1) * config.patch**2,
            out_channels=config.patch**2,
            layers_per_block=config.blocks,
            block_out_channels=config.widths,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * config.attention,
            up_block_types=("AttnUpBlock2D",) * config.attention + ("UpBlock2D",) * plain,
            norm_num_groups=8,
            attention_head_dim=config.widths[-1] // 4,  # four heads, as published
            resnet_time_scale_shift="scale_shift",
        )
        # DDIM with eta = 1 is DDPM, and takes the noise that it is given.
        self.schedule = library.DDIMScheduler(
            num_train_timesteps=TIMES,
            beta_schedule="linear",
            prediction_type="sample" if clean else "epsilon",
            clip_sample=True,
            timestep_spacing="trailing",
        )
        self.schedule.set_timesteps(config.steps)

    def forward(
        self,
        planes: Float[Tensor, "n c s s"],
        noisy: Float[Tensor, "n s s"],
        time: Int[Tensor, " n"],
        base: Float[Tensor, "n s s"] | float = 0.0,
    ) -> Float[Tensor, "n s s"]:
        """X of Eq. 7 to logits of the clean mask, added to ``base``, or to the noise."""
        p = self.config.patch
        given = torch.cat([planes, noisy[:, None]], dim=1)
        out: Tensor = self.unet(rearrange(given, "n c (s p) (r q) -> n (c p q) s r", p=p, q=p), time).sample
        return rearrange(out, "n (p q) s r -> n (s p) (r q)", p=p, q=p).float() + base

    def spoil(
        self, mask: Float[Tensor, "n s s"], noise: Float[Tensor, "n s s"], time: Int[Tensor, " n"]
    ) -> Float[Tensor, "n s s"]:
        """A mask with values 0 and 1 under the noise of a time (Eqs. 4 and 8)."""
        noisy: Tensor = self.schedule.add_noise(2 * mask - 1, noise, time.to(mask.device))
        return noisy

    def sample(
        self,
        planes: Float[Tensor, "n c s s"],
        noise: Callable[[], Float[Tensor, "n s s"]],
        base: Float[Tensor, "n s s"] | float = 0.0,
    ) -> Float[Tensor, "n s s"]:
        """Masks between -1 and 1 (Eqs. 9 and 11); ``noise`` is asked for each step that draws."""
        x = noise()
        for time in self.schedule.timesteps:
            out = self(planes, x, time.to(x.device).expand(len(x)), base)
            fresh = noise() if self.config.sampler == "ddpm" else None
            x = self.schedule.step(
                torch.tanh(out / 2) if self.clean else out,
                int(time),
                x,
                eta=0.0 if fresh is None else 1.0,
                use_clipped_model_output=True,
                variance_noise=fresh,
            ).prev_sample
        return x


def random_steps(uniform: Tensor) -> Tensor:
    """Steps of the schedule from numbers between 0 and 1."""
    return (uniform * TIMES).long().clamp_max(TIMES - 1)


def check_choice(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: choose {' or '.join(allowed)}")
