"""Cumulative occlusion learning (2024): ordered amodal layers of a frame by diffusion.

As in the paper:

- A UNet predicts the noise in a layer's mask from the image and the cumulative mask of the layers in front (section
  4.1, Eqs. 3 to 10), with a linear schedule of 1000 steps.
- Training uses ground-truth cumulative masks and includes the blank layer N + 1 (Algorithm 1).
- Inference predicts layer after layer (Algorithm 2): the most representative of K samples, spatial integrity, and
  N_max and Area_min from the training data.

Choices where the paper is silent:

- Masks and colours lie in [-1, 1]. A sample is thresholded at 0 and counts as null if it is empty.
- Distances of samples are L1; ties go to the first sample.
- Spatial integrity compares a mask with all masks of the previous layer, not only with the last one.
- The connected parts of a layer become instances, so that touching objects of one layer are not separated.

Deviations: DDIM in few steps, a network that predicts the clean mask (``predicts``) and learns faster, and noise that
is shared by the frames of a clip.
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
from vidamodal.segmenters.cumulative.denoiser import Denoiser, random_timesteps
from vidamodal.segmenters.cumulative.layering import LayerStack
from vidamodal.types import FrameInstance


class CumulativeSegmenter(FrameSegmenter):
    """Segmenter that predicts the occlusion layers of a frame, front to back."""

    ID = "cumulative"
    config_class = CumulativeSegmenterConfig

    def __init__(self, config: CumulativeSegmenterConfig) -> None:
        super().__init__(config)
        if min(config.samples, config.together) < 1:
            raise ValueError("segmenter.samples and segmenter.together must be at least 1")
        if min(config.most_layers, config.least_area) < 0 or not 0 <= config.omitted <= 1:
            raise ValueError(
                "segmenter.most_layers and segmenter.least_area must be at least 0, segmenter.omitted between 0 and 1"
            )
        self.config: CumulativeSegmenterConfig = config
        self.denoise = Denoiser(config.denoiser, 4, config.size, config.predicts == "mask")

    @property
    def size(self) -> int:
        """Cells per side of the canvas."""
        return self.config.size

    @torch.no_grad()
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        """Return the instances of each frame; see `FrameSegmenter.segment`."""
        return [stack.instances() for stack in self.predict_layers(frames, seeds)]

    @torch.no_grad()
    def predict_layers(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[LayerStack]:
        """Return the layers of each frame (Algorithm 2); arguments as in `segment`."""
        if not self.config.most_layers or not self.config.least_area:
            raise ValueError("most_layers (N_max) and least_area (Area_min) are not set. Training sets them.")
        stacks, batch = [LayerStack.empty(self.config) for _ in frames], self.config.together
        for number in range(1, self.config.most_layers + 1):
            open_frames = [k for k, stack in enumerate(stacks) if not stack.complete]
            for begin in range(0, len(open_frames), batch):
                chunk = open_frames[begin : begin + batch]
                padded = chunk + chunk[-1:] * (batch - len(chunk))
                cumulative = torch.from_numpy(np.stack([stacks[k].cumulative for k in padded])).to(frames)
                samples = self.sample_layer(frames[padded], cumulative, number, [seeds[k] for k in padded])
                for k, samples_of_frame in zip(chunk, samples.cpu().numpy(), strict=False):
                    stacks[k].add(samples_of_frame)
        return stacks

    @torch.no_grad()
    def sample_layer(
        self,
        frames: Float[Tensor, "b 3 s s"],
        cumulative: Float[Tensor, "b s s"],
        number: int,
        seeds: Sequence[int],
    ) -> Float[Tensor, "b k s s"]:
        """Sample the next layer of each frame K times (Eq. 11).

        Args:
            frames: Colours in [0, 1].
            cumulative: Cumulative masks of the layers in front.
            number: Number of the layer.
            seeds: Seed of each frame.

        Returns:
            Masks with values between -1 and 1.
        """
        count = self.config.samples
        planes = self._condition(frames, cumulative, torch.full((len(frames),), number))
        noise = Noise.of(*(_combined_seed(seed, number, k) for seed in seeds for k in range(count)))
        planes = repeat(planes, "b c s r -> (b k) c s r", k=count)
        samples = self.denoise.sample(planes, lambda: noise.normal(planes, *planes.shape[2:]))
        return rearrange(samples, "(b k) s r -> b k s r", k=count)

    def layer_losses(
        self,
        image: Float[Tensor, "b 3 s s"],
        cumulative: Float[Tensor, "b s s"],
        number: Int[Tensor, " b"],
        mask: Float[Tensor, "b s s"],
        noise: Noise,
    ) -> Float[Tensor, " b"]:
        """Return the loss of each layer: Eq. 10, or BCE + Dice if the network predicts masks.

        Args:
            image: Colours in [0, 1].
            cumulative: Ground-truth cumulative masks of the layers in front.
            number: Numbers of the layers.
            mask: Ground-truth masks of the layers.
            noise: Random numbers for noise and timesteps.
        """
        gaussian, time = noise.normal(mask, *mask.shape[1:]), random_timesteps(noise.uniform(mask))
        noisy = self.denoise.add_noise(mask, gaussian, time)
        out: Tensor = self.denoise(self._condition(image, cumulative, number), noisy, time)
        if not self.denoise.predicts_mask:
            return (out - gaussian).square().mean(dim=(1, 2))
        probability = torch.sigmoid(out)
        overlap, total = (probability * mask).sum(dim=(1, 2)), (probability + mask).sum(dim=(1, 2))
        dice = 1 - (2 * overlap + 1) / (total + 1)
        return binary_cross_entropy_with_logits(out, mask, reduction="none").mean(dim=(1, 2)) + dice

    def _condition(
        self, image: Float[Tensor, "b 3 s s"], cumulative: Float[Tensor, "b s s"], number: Int[Tensor, " b"]
    ) -> Float[Tensor, "b 4 s s"]:
        """Return the channels that Eq. 7 concatenates with the noisy mask."""
        context = cumulative
        if not self.config.cumulative:
            share = number / (self.config.most_layers + 1)
            context = share.to(cumulative)[:, None, None].expand_as(cumulative)
        return 2 * torch.cat([image, context[:, None]], dim=1) - 1


def _combined_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
