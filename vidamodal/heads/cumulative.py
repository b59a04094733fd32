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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from scipy.ndimage import label
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from vidamodal.backbones.pretrained import diffusers
from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import FrameSegmenter, FramewiseHead, HeadInputs
from vidamodal.noise import Noise
from vidamodal.types import FrameInstance, InputError

TIMES = 1000
"""T of the noise schedule."""
BROUGHT = 8
"""Channels to which the transformer's features are brought."""
SURE = 1e-4
"""Probabilities are this far from 0 and 1 when they become logits."""
NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Cells that hang together, corners included."""


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


@dataclass(frozen=True)
class SegmenterConfig:
    """Of the segmenter of bare frames; the defaults of what the paper names are the paper's."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    size: int = 64
    """Cells a side of the canvas that frames are brought to."""
    predicts: str = "noise"
    """noise (Eq. 10) | mask: the clean one, by BCE + Dice."""
    samples: int = 3
    """K (Table 1)."""
    choose: str = "selected"
    """selected | mean: the most representative sample of a layer, or where half of them agree (Table 2)."""
    cumulative: bool = True
    """Without, the network is told a layer's number in place of what lies in front of it. A control (Table 4)."""
    noise: str = "clip"
    """clip | frame: whether the frames of a clip share their noise."""
    omitted: float = 0.0
    """Share of cumulative masks that a layer is taken out of in training (Eq. 12)."""
    most_layers: int = 0
    """N_max; 0: training finds it in its data."""
    least_area: int = 0
    """Area_min in cells; 0: likewise."""
    together: int = 1
    """Frames that go through the network at once, always as many, so that what else there is changes nothing: more of
    them serve a GPU."""


@dataclass(frozen=True)
class Config:
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


class Denoiser(nn.Module):
    """The UNet and its noise schedule. ``clean``: it predicts logits of the clean mask, else the noise."""

    def __init__(self, config: DenoiserConfig, planes: int, size: int, clean: bool) -> None:
        super().__init__()
        levels = len(config.widths)
        _one_of("denoiser.sampler", config.sampler, "ddim", "ddpm")
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


class Segmenter(FrameSegmenter):
    """Whole frames to instances in layers."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        _one_of("segmenter.predicts", config.predicts, "noise", "mask")
        _one_of("segmenter.choose", config.choose, "selected", "mean")
        _one_of("segmenter.noise", config.noise, "clip", "frame")
        if min(config.samples, config.together) < 1:
            raise ValueError("segmenter.samples and segmenter.together must be at least 1")
        if min(config.most_layers, config.least_area) < 0 or not 0 <= config.omitted <= 1:
            raise ValueError("segmenter.most_layers and least_area must be at least 0, omitted between 0 and 1")
        self.config: SegmenterConfig = config
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
        spoilt, time = noise.normal(mask, *mask.shape[1:]), _times(noise.uniform(mask))
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


@dataclass(frozen=True)
class Layer:
    """A layer that was found."""

    number: int
    """1 in front."""
    mask: Bool[np.ndarray, "s s"]
    front: Bool[np.ndarray, "s s"]
    """The cumulative mask before it."""
    probability: Float[np.ndarray, "s s"]
    """Over its samples."""


@dataclass
class Layers:
    """Algorithm 2 for one frame: takes the samples of one layer after the other, until it has ended."""

    config: SegmenterConfig
    cumulative: Bool[np.ndarray, "s s"]
    found: list[Layer] = field(default_factory=list)
    ended: bool = False

    @staticmethod
    def none(config: SegmenterConfig) -> Layers:
        """Before the first layer."""
        return Layers(config, np.zeros((config.size, config.size), dtype=bool))

    def add(self, samples: Float[np.ndarray, "k s s"]) -> None:
        """The samples, between -1 and 1, of the next layer. Ends if they are null or too small, or the last ones."""
        mask = representative(samples > 0, self.config.choose)
        if mask is None or np.count_nonzero(mask) < self.config.least_area:
            self.ended = True
            return
        number = self.found[-1].number + 1 if self.found else 1
        if self.found:  # spatial integrity: what hides under nothing of the layer before belongs to it
            before = np.any([layer.mask for layer in self.found if layer.number == number - 1], axis=0)
            number -= not (mask & before).any()
        self.found.append(Layer(number, mask, self.cumulative, np.clip((samples + 1) / 2, 0, 1).mean(axis=0)))
        self.cumulative = self.cumulative | mask
        self.ended = len(self.found) == self.config.most_layers

    def masks(self) -> Bool[np.ndarray, "m s s"]:
        """All that each layer has."""
        deepest = self.found[-1].number if self.found else 0
        masks = np.zeros((deepest, *self.cumulative.shape), dtype=bool)
        for layer in self.found:
            masks[layer.number - 1] |= layer.mask
        return masks

    def instances(self) -> list[FrameInstance]:
        """The connected parts of each layer that are large enough, and of which something shows."""
        out = []
        for layer in self.found:
            parts, count = label(layer.mask, NEIGHBOURS)
            around, _ = label(layer.mask | (layer.probability > 0.25), NEIGHBOURS)
            for part in range(1, count + 1):
                mask = parts == part
                visible = mask & ~layer.front
                if np.count_nonzero(mask) < self.config.least_area or not visible.any():
                    continue
                near = np.isin(around, around[mask]) & ~(layer.mask & ~mask)
                score = layer.probability[mask].sum() / (np.count_nonzero(mask) + layer.probability[near & ~mask].sum())
                out.append(FrameInstance(visible, mask, layer.number, None, float(score)))
        return out


def representative(samples: Bool[np.ndarray, "k s s"], choose: str = "selected") -> Bool[np.ndarray, "s s"] | None:
    """Of the samples of a layer the one with the least absolute difference to the mean of those that are not null, or
    with ``choose`` "mean" where at least half of them agree; None if all are null."""
    there = samples[samples.any(axis=(1, 2))]
    if not len(there):
        return None
    mean = there.mean(axis=0)
    if choose == "mean":
        return np.asarray(mean >= 0.5)
    return np.asarray(there[np.abs(there - mean).sum(axis=(1, 2)).argmin()])


class Head(FramewiseHead):
    """Draws the layer of one object in its window, behind what others show."""

    draws = True
    order = True

    def __init__(self, config: Config, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        _one_of("head.choose", config.choose, "selected", "mean")
        _one_of("head.noise", config.noise, "track", "frame")
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
        spoilt, time = inputs.noise.normal(truth, t, s, s), _times(inputs.noise.uniform(truth, t)).flatten()
        mask, spoilt = (rearrange(each, "b t s r -> (b t) s r") for each in (truth, spoilt))
        logits = self.denoise(planes, self.denoise.spoil(mask, spoilt, time), time, base)
        return rearrange(logits, "(b t) s r -> b t s r", b=b)

    def _given(self, inputs: HeadInputs) -> tuple[Float[Tensor, "bt c s s"], Float[Tensor, "bt s s"]]:
        """What joins the noisy mask, and the logits that the prediction begins with."""
        crops, coarse = inputs.crops, inputs.coarse.float()
        planes = [torch.stack([in_front(crops), crops.visible], dim=2)]
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


def in_front(crops: TrackCrops) -> Float[Tensor, "b t s s"]:
    """The cumulative mask of an object: what others show, but for those known to lie behind it."""
    return crops.others * (crops.order >= 0)


def _times(uniform: Tensor) -> Tensor:
    """Steps of the schedule from numbers between 0 and 1."""
    return (uniform * TIMES).long().clamp_max(TIMES - 1)


def _key(*numbers: int) -> int:
    """One seed from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _one_of(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: choose {' or '.join(allowed)}")
