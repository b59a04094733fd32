"""Noise, state transition and ensemble of CondDiff-AMO (sections 3.2 and 3.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

from vidamodal.heads.base import HeadInputs

MAX_LOG_SNR = 15.0


@dataclass(frozen=True)
class SamplingNoise:
    """All random numbers of one sampling, for u frames: the t frames of a track, or one that they share."""

    normal: Float[Tensor, "b T u s s"]
    """Gaussian noise of each step."""
    transition: Float[Tensor, "b u s s"]
    """Value of 1 - t at which a cell leaves the amodal state, in [0, 1]: it never returns (Eq. 4)."""
    threshold: Float[Tensor, "b u s s"]
    """Probability above which a cell belongs to a sampled binary mask."""

    @staticmethod
    def sample(inputs: HeadInputs, steps: int, shared: bool, grain: float) -> SamplingNoise:
        """Sample the noise.

        Args:
            inputs: Inputs of the head.
            steps: Number of steps T.
            shared: True if all frames of a track share their noise.
            grain: See `CondDiffConfig.grain`.
        """
        t, s = inputs.coarse.shape[1:3]
        frames = 1 if shared else t
        normal = smooth_noise(inputs.noise.normal(inputs.coarse, steps + 2, frames, s, s), grain)
        uniform = torch.special.ndtr(normal[:, steps:])
        return SamplingNoise(normal[:, :steps], uniform[:, 0], uniform[:, 1])

    def gaussian(self, step: int) -> Float[Tensor, "b u s s"]:
        """Return the Gaussian noise of a step, counted from 1."""
        return self.normal[:, step - 1]


def smooth_noise(noise: Float[Tensor, "b k u s s"], deviation: float) -> Float[Tensor, "b k u s s"]:
    """Smooth noise by a Gaussian with circular borders, and keep its variance."""
    if deviation == 0:
        return noise
    radius = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=noise.device) / deviation) ** 2)
    kernel = kernel / kernel.norm()
    maps = rearrange(noise, "b k u s r -> (b k u) 1 s r")
    maps = conv2d(pad(maps, (radius, radius, 0, 0), mode="circular"), kernel.view(1, 1, 1, -1))
    maps = conv2d(pad(maps, (0, 0, radius, radius), mode="circular"), kernel.view(1, 1, -1, 1))
    return maps.view_as(noise)


def log_snr_at(like: Float[Tensor, "b t s s"], time: float | Tensor) -> Float[Tensor, "b t 1 1"]:
    """Return the logarithm of the signal-to-noise ratio at times in [0, 1].

    The schedule is a cosine, shifted for windows ``like`` of other than 64 x 64 cells.
    """
    times = torch.as_tensor(time, dtype=torch.float32, device=like.device).expand(like.shape[:2] + (1, 1))
    log_snr = -2 * torch.log(torch.tan(math.pi / 2 * times.clamp(1e-4, 1 - 1e-4)))
    return log_snr.clamp(-MAX_LOG_SNR, MAX_LOG_SNR) + 2 * math.log(64 / like.shape[-1])


def add_noise(
    state: Float[Tensor, "b t s s"], gaussian: Float[Tensor, "b u s s"], log_snr: Float[Tensor, "b t 1 1"]
) -> Float[Tensor, "b t s s"]:
    """Return a state with values in [0, 1], rescaled to [-1, 1], after all forward steps up to a time (Eq. 1)."""
    return torch.sigmoid(log_snr).sqrt() * (2 * state - 1) + torch.sigmoid(-log_snr).sqrt() * gaussian


def reverse_step(
    noisy: Float[Tensor, "b t s s"],
    mask: Float[Tensor, "b t s s"],
    log_snr: Float[Tensor, "b t 1 1"],
    next_log_snr: Float[Tensor, "b t 1 1"],
    gaussian: Float[Tensor, "b u s s"],
) -> Float[Tensor, "b t s s"]:
    """Return the noisy mask after one reverse step without state transition (Eqs. 2 and 3).

    Args:
        noisy: Noisy mask before the step.
        mask: Predicted clean mask, in [0, 1].
        log_snr: Logarithm of the signal-to-noise ratio before the step.
        next_log_snr: The same after the step.
        gaussian: Standard normal noise.
    """
    alpha_bar, next_alpha_bar = torch.sigmoid(log_snr), torch.sigmoid(next_log_snr)
    alpha = alpha_bar / next_alpha_bar
    beta = 1 - alpha
    mean = (alpha.sqrt() * (1 - next_alpha_bar) * noisy + next_alpha_bar.sqrt() * beta * (2 * mask - 1)) / (
        1 - alpha_bar
    )
    return mean + (beta * (1 - next_alpha_bar) / (1 - alpha_bar)).sqrt() * gaussian


def ensemble(predictions: Float[Tensor, "steps b t s s"]) -> Float[Tensor, "b t s s"]:
    """Return the mean over the steps in cells that at least half of the steps contain, and 0 elsewhere (Eq. 12)."""
    majority = ((predictions > 0.5).float().mean(dim=0) + 0.5).floor()
    return majority * predictions.mean(dim=0)
