"""Cumulative occlusion learning (2024): ordered amodal layers by diffusion, from bare frames or beside masks.

Followed: a UNet that predicts the noise of a layer's mask from the picture and the cumulative mask of the layers in
front (section 4.1, Eqs. 3 to 10; diffusers' UNet2DModel and a linear schedule of 1000 steps), training with true
cumulative masks and the blank layer N + 1 (Algorithm 1), and inference layer by layer (Algorithm 2): K samples, of
which the most representative one is taken, spatial integrity, N_max and Area_min from the training data.

Where the paper is silent: masks and colours lie in [-1, 1]; a sample is cut at 0, and null without a cell; norms are
L1, ties go to the first sample; a layer is compared with all that the layer before has, not with the last mask alone.
Layers become instances by their connected parts, so that objects which touch within one layer stay one.

Beyond the paper: DDIM in few steps; a network that predicts the clean mask in place of the noise (`predicts`), which
learns sooner; one noise for all frames of a clip. As a framewise head it sees the object's own visible mask (and the
transformer's coarse mask and features, where there are any), and the cumulative mask is what other objects show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vidamodal.noise import Noise
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.segmenters.cumulative.config import CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.denoiser import Denoiser, check_choice, random_steps
from vidamodal.segmenters.cumulative.layering import Layers
from vidamodal.types import FrameInstance


class CumulativeSegmenter(FrameSegmenter):
    """Whole frames to instances in layers."""

    ID = "cumulative"
    config_class = CumulativeSegmenterConfig

    def __init__(self, config: CumulativeSegmenterConfig) -> None:
        super().__init__(config)
        check_choice("segmenter.predicts", config.predicts, "noise", "mask")
        check_choice("segmenter.choose", config.choose, "selected", "mean")
        check_choice("segmenter.noise", config.noise, "clip", "frame")
        if min(config.samples, config.together) < 1:
            raise ValueError("segmenter.samples and segmenter.together must be at least 1")
        if min(config.most_layers, config.least_area) < 0 or not 0 <= config.omitted <= 1:
            raise ValueError("segmenter.most_layers and least_area must be at least 0, omitted between 0 and 1")
        self.config: CumulativeSegmenterConfig = config
        self.denoise = Denoiser(config.denoiser, 4, config.size, config.predicts == "mask")

    @property
    def size(self) -> int:
        return self.config.size

    @torch.no_grad()
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        return [layers.instances() for layers in self.layers(frames, seeds)]

    @torch.no_grad()
    def layers(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[Layers]:
        """Algorithm 2, for each frame by itself."""
        if not self.config.most_layers or not self.config.least_area:
            raise ValueError("the segmenter does not know N_max and Area_min, which training finds")
        stacks = [Layers.none(self.config) for _ in frames]
        for number in range(1, self.config.most_layers + 1):
            waiting = [k for k, layers in enumerate(stacks) if not layers.ended]
            for begin in range(0, len(waiting), self.config.together):
                group = waiting[begin : begin + self.config.together]
                filled = group + group[-1:] * (self.config.together - len(group))
                cumulative = torch.from_numpy(np.stack([stacks[k].cumulative for k in filled])).to(frames)
                drawn = self.draw(frames[filled], cumulative, number, [seeds[k] for k in filled])
                for k, samples in zip(group, drawn.cpu().numpy(), strict=False):
                    stacks[k].add(samples)
        return stacks

    def learn(
        self,
        image: Float[Tensor, "b 3 s s"],
        cumulative: Float[Tensor, "b s s"],
        number: Int[Tensor, " b"],
        mask: Float[Tensor, "b s s"],
        noise: Noise,
    ) -> Float[Tensor, " b"]:
        """The loss of each layer: its mask, its number and the cumulative mask of the layers in front."""
        spoilt, time = noise.normal(mask, *mask.shape[1:]), random_steps(noise.uniform(mask))
        out = self.denoise(self._planes(image, cumulative, number), self.denoise.spoil(mask, spoilt, time), time)
        if not self.denoise.clean:
            return (out - spoilt).square().mean(dim=(1, 2))  # Eq. 10
        found = torch.sigmoid(out)
        dice = 1 - (2 * (found * mask).sum(dim=(1, 2)) + 1) / ((found + mask).sum(dim=(1, 2)) + 1)
        return binary_cross_entropy_with_logits(out, mask, reduction="none").mean(dim=(1, 2)) + dice

    def _planes(
        self, image: Float[Tensor, "b 3 s s"], cumulative: Float[Tensor, "b s s"], number: Int[Tensor, " b"]
    ) -> Float[Tensor, "b 4 s s"]:
        """What Eq. 7 joins with the noisy mask."""
        told = cumulative
        if not self.config.cumulative:
            share = number / (self.config.most_layers + 1)
            told = share.to(cumulative)[:, None, None].expand_as(cumulative)
        return 2 * torch.cat([image, told[:, None]], dim=1) - 1

    @torch.no_grad()
    def draw(
        self,
        frames: Float[Tensor, "b 3 s s"],
        cumulative: Float[Tensor, "b s s"],
        number: int,
        seeds: Sequence[int],
    ) -> Float[Tensor, "b k s s"]:
        """K samples, between -1 and 1, of the next layer of each frame, behind what ``cumulative`` has (Eq. 11)."""
        count = self.config.samples
        planes = self._planes(frames, cumulative, torch.full((len(frames),), number))
        noise = Noise.of(*(_key(seed, number, k) for seed in seeds for k in range(count)))
        planes = repeat(planes, "b c s r -> (b k) c s r", k=count)
        drawn = self.denoise.sample(planes, lambda: noise.normal(planes, *planes.shape[2:]))
        return rearrange(drawn, "(b k) s r -> b k s r", k=count)


def _key(*numbers: int) -> int:
    """One seed from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
