"""CondDiff-AMO (AAAI 2026): amodal completion as the denoising of a mask, as a framewise head.

Followed: the Unidirectional State Transition (section 3.2, Eqs. 4 and 5), the Pyramid Condition Network (3.3, Eqs. 6
and 7) with the noisy mask and a time token in every stage and Occlusion-aware Context Refinement behind it, the
Denoising Network with Local Emphasis and the Adaptive Feature Gate (Eqs. 8 and 9), weighted BCE and IoU (Eq. 10), and
the Visible-Guided Prediction Ensemble (3.4, Eqs. 11 and 12).

Where the paper is silent or contradicts itself: the noise has a cosine schedule in continuous time, and the networks
are told the logarithm of its signal-to-noise ratio; amodal states survive until time t with probability 1 - t; the
reverse step of Eqs. 4 and 5, which is not given, mixes the predicted mask with the last state by the same draw that
makes the forward chain, and adds noise again; sampling begins with the last state under noise (section 3.2), which at
t = 1 is noise alone (section 3.4). The weights of Eq. 10 are those of structure losses, with a neighbourhood in
proportion to the window.

Beyond the paper: noise in grains larger than a cell, since independent cells give every shape away; one noise for all
frames of a track; the transformer's coarse mask as condition and as last state; states of the network's own guesses in
training (`rollout`); a condition that does not see the noisy mask and is computed once, not at every step (`late`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate, pad

from vidamodal.backbones.pvt import Pyramid, PyramidConfig, sinusoids
from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import FramewiseHead, HeadInputs
from vidamodal.types import InputError

NEIGHBOURHOOD = 31 / 256
"""Side of the neighbourhood that weighs a pixel in the loss, over the window's."""
MOST_LOG_SNR = 15.0
SURE = 1e-4
"""Probabilities are this far from 0 and 1 when they become logits."""


@dataclass(frozen=True)
class CondDiffConfig:
    """Sizes, the switches of the paper's Table 4, and ours."""

    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    width: int = 64
    """Channels of the fused condition and of the Denoising Network."""
    image: bool = True
    """The Pyramid Condition Network sees the window's colours (I of Eq. 6) ..."""
    mask: bool = True
    """... and the visible mask (M_v of Eq. 6; Table 4: VM) ..."""
    context: bool = False
    """... and where other objects, borders and the image's end are; not in the paper."""
    ocr: bool = True
    """Occlusion-aware Context Refinement of the deepest features; else they stay as they are."""
    afg: bool = True
    """Adaptive Feature Gate; else one more convolution fuses the finest features (Table 4: LE)."""
    ust: bool = True
    """Unidirectional State Transition; else noise alone (Eqs. 1 to 3)."""
    vgpe: bool = True
    """Visible-Guided Prediction Ensemble; else the last step's prediction."""
    late: bool = False
    """The noisy mask and the time enter the Denoising Network alone: the condition is computed once a frame."""
    start: str = "visible"
    """visible | coarse: the last state of the transition."""
    noise: str = "track"
    """track | frame: whether the frames of a track share their noise in sampling."""
    grain: float = 0.0
    """Deviation in cells of the Gaussian that smoothes the noise; 0: every cell has its own, as published."""
    draw: bool = False
    """Predicted masks are drawn from their probabilities before they become a state; else they stay soft."""
    steps: int = 10
    """T of the sampling."""
    blind: float = 0.0
    """Share of object-frames that learn from noise alone, where sampling begins and the mask is decided; the others
    learn at times drawn evenly, as published."""
    rollout: float = 0.0
    """Share of object-frames that learn from a state made of the network's own prediction from noise alone, as in
    sampling; the published training has states of the truth alone (0)."""
    regression: bool = False
    """The same network without any noise: the last state in, the mask out, one step. A control."""


class CondDiffHead(FramewiseHead):
    """Draws an amodal mask for each frame by denoising."""

    ID = "conddiff"
    config_class = CondDiffConfig

    def __init__(self, config: CondDiffConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.start not in ("visible", "coarse"):
            raise ValueError(f"head.start is {config.start!r}: choose visible or coarse")
        if config.noise not in ("track", "frame"):
            raise ValueError(f"head.noise is {config.noise!r}: choose track or frame")
        if config.start == "coarse" and not channels:
            raise ValueError("head.start is coarse, and there is no coarse mask without a transformer")
        if config.steps < 1:
            raise ValueError(f"head.steps must be at least 1, not {config.steps}")
        self.config, self.joined = config, channels > 0
        self.draws, self.pixels = not config.regression, config.image
        self.shift = 2 * math.log(64 / crop)
        planes = 3 * config.image + config.mask + 5 * config.context + self.joined
        self.condition = ConditionNetwork(config, planes, channels)
        self.denoise = DenoisingNetwork(config.width, planes, config.pyramid.strides[0])
        if self.joined:  # it begins as a copy of the coarse mask
            for parameter in self.denoise.leave[-1].parameters():
                nn.init.zeros_(parameter)

    def load_pretrained(self) -> None:
        self.condition.pyramid.load_pretrained()

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Samples in T steps (section 3.4); logits of the ensemble."""
        last, given = self._last_state(inputs), self._given(inputs)
        if self.config.regression:
            return self._predict(given, 2 * last - 1, self._log_snr(last, 1.0))
        condition = self.condition(given.planes, given.features, None, None) if self.config.late else None
        steps, visible = self.config.steps, inputs.crops.visible
        fields = Fields.draw(inputs, steps, self.config.noise == "track", self.config.grain)
        noisy, predictions = fields.gaussian(steps).expand_as(last), []
        state = last
        for step in range(steps, 0, -1):
            log_snr = self._log_snr(last, step / steps)
            if self.config.ust:
                noisy = _spoil(state, fields.gaussian(step), log_snr)
            guess = torch.sigmoid(self._predict(given, noisy, log_snr, condition))
            if self.config.vgpe and step <= steps / 2:  # Eq. 11, by the number of steps made
                guess = torch.maximum(guess, visible)
            predictions.append(guess)
            before = (step - 1) / steps
            drawn = (guess > fields.threshold).float() if self.config.draw else guess
            if self.config.ust:
                state = torch.where(fields.transition < 1 - before, drawn, last)
            elif before:
                noisy = self._posterior(noisy, drawn, log_snr, self._log_snr(last, before), fields.gaussian(step - 1))
        final = ensemble(torch.stack(predictions)) if self.config.vgpe else predictions[-1]
        return torch.logit(final.float(), eps=SURE)

    def learn(self, inputs: HeadInputs, truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Predicts the mask from its state at a random time (Eqs. 1, 4 and 5), another one for every frame."""
        last, given = self._last_state(inputs), self._given(inputs)
        if self.config.regression:
            return self._predict(given, 2 * last - 1, self._log_snr(last, 1.0))
        fields = Fields.draw(inputs, 2, False, self.config.grain)
        time = inputs.noise.uniform(last, last.shape[1], 1, 1)
        if self.config.blind:
            time = time.masked_fill(inputs.noise.uniform(last, last.shape[1], 1, 1) < self.config.blind, 1.0)
        if self.config.rollout:
            own = inputs.noise.uniform(last, last.shape[1], 1, 1) < self.config.rollout
            truth = torch.where(own, self._first_guess(given, last, fields.gaussian(2)), truth)
        log_snr = self._log_snr(last, time)
        state = torch.where(fields.transition < 1 - time, truth, last) if self.config.ust else truth
        return self._predict(given, _spoil(state, fields.gaussian(1), log_snr), log_snr)

    @torch.no_grad()
    def _first_guess(
        self, given: Given, last: Float[Tensor, "b t s s"], gaussian: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t s s"]:
        """The mask that the first step of sampling predicts."""
        log_snr = self._log_snr(last, 1.0)
        guess = torch.sigmoid(self._predict(given, _spoil(last, gaussian, log_snr), log_snr))
        return (guess > 0.5).float() if self.config.draw else guess

    def loss(
        self, logits: Float[Tensor, "b t s s"], truth: Float[Tensor, "b t s s"], inside: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t"]:
        """Weighted BCE + weighted IoU (Eq. 10): cells near an outline weigh up to six times as much."""
        logits, side = logits.float(), 2 * round(NEIGHBOURHOOD * logits.shape[-1] / 2) + 1
        around = avg_pool2d(truth, side, stride=1, padding=side // 2, count_include_pad=False)
        weight = (1 + 5 * (around - truth).abs()) * inside
        bce = binary_cross_entropy_with_logits(logits, truth, reduction="none")
        chosen = torch.sigmoid(logits)
        both = _sum(chosen * truth * weight)
        union = _sum((chosen + truth) * weight) - both
        return _sum(bce * weight) / _sum(weight).clamp_min(1) + 1 - (both + 1) / (union + 1)

    def _last_state(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Into what the transition turns an amodal mask."""
        if self.config.start == "visible":
            return inputs.crops.visible
        return torch.maximum(torch.sigmoid(inputs.coarse.float()), inputs.crops.visible)

    def _given(self, inputs: HeadInputs) -> Given:
        """What the condition is made from: cat(I, M_v) of Eq. 6, and what is beyond the paper."""
        crops = inputs.crops
        planes = [crops.visible[:, :, None][:, :, :0]]
        if self.config.image:
            if crops.image.shape[2] != 3:
                raise InputError("this head reads pixels, and this input has masks alone")
            planes.append(crops.image)
        if self.config.mask:
            planes.append(crops.visible[:, :, None])
        if self.config.context:
            planes.append(_context(crops))
        if self.joined:
            planes.append(torch.sigmoid(inputs.coarse.float())[:, :, None])
        base = inputs.coarse.float() if self.joined else torch.zeros_like(inputs.coarse, dtype=torch.float32)
        return Given(_frames(torch.cat(planes, dim=2)), _frames(inputs.features), base)

    def _predict(
        self,
        given: Given,
        noisy: Float[Tensor, "b t s s"],
        log_snr: Float[Tensor, "b t 1 1"],
        condition: Tensor | None = None,
    ) -> Float[Tensor, "b t s s"]:
        """Logits of the clean mask; ``condition``: if it is known already."""
        b = len(noisy)
        image, level = rearrange(noisy, "b t s r -> (b t) 1 s r"), rearrange(log_snr, "b t 1 1 -> (b t)")
        if condition is None:
            seen = (None, None) if self.config.late else (image, level)
            condition = self.condition(given.planes, given.features, *seen)
        logits = self.denoise(image, given.planes, condition, level)
        return given.base + rearrange(logits.float(), "(b t) 1 s r -> b t s r", b=b)

    def _log_snr(self, like: Float[Tensor, "b t s s"], time: float | Tensor) -> Float[Tensor, "b t 1 1"]:
        """Of the noise at a time: a cosine schedule, shifted for windows of other than 64 cells."""
        times = torch.as_tensor(time, dtype=torch.float32, device=like.device).expand(like.shape[:2] + (1, 1))
        plain = -2 * torch.log(torch.tan(math.pi / 2 * times.clamp(1e-4, 1 - 1e-4)))
        return plain.clamp(-MOST_LOG_SNR, MOST_LOG_SNR) + self.shift

    @staticmethod
    def _posterior(
        noisy: Float[Tensor, "b t s s"],
        guess: Float[Tensor, "b t s s"],
        now: Float[Tensor, "b t 1 1"],
        before: Float[Tensor, "b t 1 1"],
        gaussian: Tensor,
    ) -> Float[Tensor, "b t s s"]:
        """A step back without transition: Eqs. 2 and 3, from the predicted mask."""
        alpha_bar, alpha_bar_before = torch.sigmoid(now), torch.sigmoid(before)
        alpha = alpha_bar / alpha_bar_before
        beta = 1 - alpha
        mean = (alpha.sqrt() * (1 - alpha_bar_before) * noisy + alpha_bar_before.sqrt() * beta * (2 * guess - 1)) / (
            1 - alpha_bar
        )
        return mean + (beta * (1 - alpha_bar_before) / (1 - alpha_bar)).sqrt() * gaussian


def ensemble(predictions: Float[Tensor, "steps b t s s"]) -> Float[Tensor, "b t s s"]:
    """Eq. 12: the mean over the steps where at least half of them are above one half, else nothing."""
    chosen = ((predictions > 0.5).float().mean(dim=0) + 0.5).floor()
    return chosen * predictions.mean(dim=0)


@dataclass(frozen=True)
class Given:
    """All that a prediction is conditioned on, and the logits that it corrects."""

    planes: Float[Tensor, "bt c s s"]
    features: Float[Tensor, "bt d g g"]
    base: Float[Tensor, "b t s s"]


@dataclass(frozen=True)
class Fields:
    """All that one sampling draws."""

    normal: Float[Tensor, "b T u s s"]
    """Of each step, for one frame or for all t."""
    transition: Float[Tensor, "b u s s"]
    """When a cell leaves the amodal state, as 1 - t: it stays in the other for good, in all steps."""
    threshold: Float[Tensor, "b u s s"]
    """Above which probability a cell is drawn."""

    @staticmethod
    def draw(inputs: HeadInputs, steps: int, shared: bool, grain: float) -> Fields:
        """For so many steps; ``shared``: one for all frames of a track."""
        t, s = inputs.coarse.shape[1:3]
        u = 1 if shared else t
        normal = _grains(inputs.noise.normal(inputs.coarse, steps + 2, u, s, s), grain)
        uniform = torch.special.ndtr(normal[:, steps:])
        return Fields(normal[:, :steps], uniform[:, 0], uniform[:, 1])

    def gaussian(self, step: int) -> Float[Tensor, "b u s s"]:
        """That of a step, counted from 1."""
        return self.normal[:, step - 1]


def _grains(noise: Float[Tensor, "b k u s s"], deviation: float) -> Float[Tensor, "b k u s s"]:
    """Smoothed over neighbouring cells, round the borders, and of deviation 1 again."""
    if deviation == 0:
        return noise
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=noise.device) / deviation) ** 2)
    kernel = kernel / kernel.norm()
    maps = rearrange(noise, "b k u s r -> (b k u) 1 s r")
    maps = nn.functional.conv2d(pad(maps, (reach, reach, 0, 0), mode="circular"), kernel.view(1, 1, 1, -1))
    maps = nn.functional.conv2d(pad(maps, (0, 0, reach, reach), mode="circular"), kernel.view(1, 1, -1, 1))
    return maps.view_as(noise)


def _spoil(
    state: Float[Tensor, "b t s s"], gaussian: Float[Tensor, "b u s s"], log_snr: Float[Tensor, "b t 1 1"]
) -> Float[Tensor, "b t s s"]:
    """A state between -1 and 1 under noise (Eq. 1, from the start at once)."""
    return torch.sigmoid(log_snr).sqrt() * (2 * state - 1) + torch.sigmoid(-log_snr).sqrt() * gaussian


def _context(crops: TrackCrops) -> Float[Tensor, "b t 5 s s"]:
    known = crops.known[..., None, None].expand_as(crops.visible)
    return torch.stack([crops.others, crops.edges, crops.inside, crops.background, known], dim=2)


def _frames(maps: Float[Tensor, "b t c s s"]) -> Float[Tensor, "bt c s s"]:
    return rearrange(maps, "b t c s r -> (b t) c s r")


def _sum(maps: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t"]:
    return reduce(maps, "b t h w -> b t", "sum")


class ConditionNetwork(nn.Module):
    """The Pyramid Condition Network, and what fuses its maps for the Denoising Network (Fig. 3)."""

    def __init__(self, config: CondDiffConfig, planes: int, channels: int) -> None:
        super().__init__()
        widths, width = config.pyramid.widths, config.width
        self.pyramid = Pyramid(config.pyramid, planes, noisy=not config.late)
        self.refine = ContextRefinement(widths[3], width) if config.ocr else nn.Identity()
        self.emphasis = nn.ModuleList(_emphasis(each, width) for each in widths)
        self.fuse = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for _ in range(2))
        self.gate = FeatureGate(width) if config.afg else nn.Conv2d(2 * width, width, 1)
        self.bring = nn.Conv2d(channels, width, 1) if channels else None
        self.gated = config.afg

    def forward(
        self,
        planes: Float[Tensor, "n c s s"],
        features: Float[Tensor, "n d g g"],
        noisy: Float[Tensor, "n 1 s s"] | None,
        log_snr: Float[Tensor, " n"] | None,
    ) -> Float[Tensor, "n width p p"]:
        """A_1 of Eq. 9, with what the transformer knows added."""
        *maps, deepest = self.pyramid(planes, noisy, log_snr)  # Eqs. 6 and 7
        maps = [*maps, self.refine(deepest)]
        size = maps[0].shape[-2:]
        first, second, third, fused = (
            interpolate(emphasis(each), size=size, mode="bilinear", align_corners=False)
            for emphasis, each in zip(self.emphasis, maps, strict=True)
        )
        for fuse, each in zip(self.fuse, (third, second), strict=True):
            fused = fuse(torch.cat([fused, each], dim=1))
        condition: Tensor = self.gate(torch.cat([fused, first], dim=1))
        if self.bring is not None:
            condition = condition + interpolate(self.bring(features), size=size, mode="nearest")
        return condition


def _emphasis(before: int, after: int) -> nn.Sequential:
    """Local Emphasis without its resampling."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )


class FeatureGate(nn.Module):
    """The Adaptive Feature Gate, Eqs. 8 and 9: what lies deep or what is fine, at every place and in every channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, both: Float[Tensor, "n two_c p p"]) -> Float[Tensor, "n c p p"]:
        deep, fine = both.chunk(2, dim=1)
        gate = torch.sigmoid(self.gate(both))
        return gate * deep + (1 - gate) * fine


class ContextRefinement(nn.Module):
    """Occlusion-aware Context Refinement: three branches with channel attention, then pyramid attention (Fig. 3)."""

    SCALES = (1, 2, 4)

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.near = nn.ModuleList(nn.Conv2d(width, inner, 3, padding=r, dilation=r) for r in (1, 3))
        self.far = nn.ModuleList(nn.Conv2d(width, inner, 3, padding=r, dilation=r) for r in (6, 12))
        self.pooled = nn.Conv2d(width, inner, 1)
        self.channels = nn.ModuleList(ChannelAttention(inner) for _ in range(3))
        self.join = nn.Conv2d(3 * inner, width, 1)
        self.places = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in self.SCALES)

    def forward(self, x: Float[Tensor, "n c p p"]) -> Float[Tensor, "n c p p"]:
        near = torch.relu(sum(branch(x) for branch in self.near))
        far = torch.relu(sum(branch(x) for branch in self.far))
        pooled = torch.relu(self.pooled(x.mean(dim=(2, 3), keepdim=True))).expand_as(near)
        branches = [attend(each) for attend, each in zip(self.channels, (near, far, pooled), strict=True)]
        y = x + self.join(torch.cat(branches, dim=1))
        scores = [
            interpolate(score(avg_pool2d(y, side)), size=y.shape[-2:], mode="nearest")
            for score, side in zip(self.places, (min(scale, y.shape[-1]) for scale in self.SCALES), strict=True)
        ]
        return y * (1 + torch.sigmoid(torch.stack(scores).sum(dim=0)))


class ChannelAttention(nn.Module):
    """Weighs channels by what they hold on average."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, x: Float[Tensor, "n c p p"]) -> Float[Tensor, "n c p p"]:
        return x * self.weigh(x.mean(dim=(2, 3)))[:, :, None, None]


class DenoisingNetwork(nn.Module):
    """A small U from the noisy mask through the condition to the clean one (Fig. 3B)."""

    FINE = 16

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        if stride & (stride - 1) or stride < 2:
            raise ValueError(f"the first stride must be a power of 2, not {stride}")
        self.stride, fine = stride, self.FINE
        self.enter = nn.Conv2d(1 + planes, fine, 3, padding=1)
        self.down = nn.Conv2d(fine * 4, width, 3, padding=1, stride=stride // 2)
        self.embed = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first, self.second = TimedBlock(width), TimedBlock(width)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.up = nn.Conv2d(width, stride**2 * fine // 2, 1)
        self.leave = nn.Sequential(
            nn.Conv2d(fine // 2 + fine, fine, 3, padding=1), nn.GELU(), nn.Conv2d(fine, 1, 3, padding=1)
        )

    def forward(
        self,
        noisy: Float[Tensor, "n 1 s s"],
        planes: Float[Tensor, "n c s s"],
        condition: Float[Tensor, "n width p p"],
        log_snr: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 1 s s"]:
        level = self.embed(sinusoids(log_snr, condition.shape[1]))
        fine = nn.functional.gelu(self.enter(torch.cat([noisy, planes], dim=1)))
        x = self.first(self.down(nn.functional.pixel_unshuffle(fine, 2)), level)
        x = self.second(self.join(torch.cat([x, condition], dim=1)), level)
        x = nn.functional.pixel_shuffle(self.up(x), self.stride)
        return self.leave(torch.cat([x, fine], dim=1))


class TimedBlock(nn.Module):
    """Residual convolutions that the noise level scales and shifts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.level = nn.Linear(width, 2 * width)
        for parameter in self.two.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "n c p p"], level: Float[Tensor, "n c"]) -> Float[Tensor, "n c p p"]:
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        y = self.one(nn.functional.silu(self.before(x)))
        y = self.after(y) * (1 + scale) + shift
        return x + self.two(nn.functional.silu(y))
