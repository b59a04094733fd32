"""Networks of CondDiff-AMO: condition, refinement, gate and denoising (section 3.3, Fig. 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, interpolate, pixel_shuffle, pixel_unshuffle, silu

from vidamodal.backbones.pvt import Pyramid, sinusoids
from vidamodal.heads.conddiff.config import CondDiffConfig


class ConditionNetwork(nn.Module):
    """The Pyramid Condition Network, and the fusion of its maps for the Denoising Network (Fig. 3)."""

    def __init__(self, config: CondDiffConfig, planes: int, channels: int) -> None:
        super().__init__()
        widths, width = config.pyramid.widths, config.width
        self.pyramid = Pyramid(config.pyramid, planes, noisy=not config.late)
        self.refine = ContextRefinement(widths[3], width) if config.ocr else nn.Identity()
        self.emphasis = nn.ModuleList(_local_emphasis(each, width) for each in widths)
        self.fuse = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for _ in range(2))
        self.gate = FeatureGate(width) if config.afg else nn.Conv2d(2 * width, width, 1)
        self.bring = nn.Conv2d(channels, width, 1) if channels else None

    def forward(
        self,
        planes: Float[Tensor, "n c s s"],
        features: Float[Tensor, "n d g g"],
        noisy: Float[Tensor, "n 1 s s"] | None,
        log_snr: Float[Tensor, " n"] | None,
    ) -> Float[Tensor, "n width p p"]:
        """Return A_1 of Eq. 9, plus the projected features of the transformer, if there is one."""
        *maps, deepest = self.pyramid(planes, noisy, log_snr)  # Eqs. 6 and 7
        maps = [*maps, self.refine(deepest)]
        size = maps[0].shape[-2:]
        first, second, third, fused = (
            interpolate(emphasis(each), size=size, mode="bilinear", align_corners=False)
            for emphasis, each in zip(self.emphasis, maps, strict=True)
        )
        for fuse, each in zip(self.fuse, (third, second), strict=True):
            fused = fuse(torch.cat([fused, each], dim=1))
        encoded: Tensor = self.gate(torch.cat([fused, first], dim=1))
        if self.bring is not None:
            encoded = encoded + interpolate(self.bring(features), size=size, mode="nearest")
        return encoded


class FeatureGate(nn.Module):
    """The Adaptive Feature Gate: a weight between deep and fine features per position and channel (Eqs. 8 and 9)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, both: Float[Tensor, "n two_c p p"]) -> Float[Tensor, "n c p p"]:
        """Fuse the deep and the fine features, which are concatenated in ``both``."""
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
        """Refine the deepest features of the pyramid."""
        near = torch.relu(sum(branch(x) for branch in self.near))
        far = torch.relu(sum(branch(x) for branch in self.far))
        pooled = torch.relu(self.pooled(x.mean(dim=(2, 3), keepdim=True))).expand_as(near)
        branches = [attend(each) for attend, each in zip(self.channels, (near, far, pooled), strict=True)]
        y = x + self.join(torch.cat(branches, dim=1))
        scores = [
            interpolate(score(avg_pool2d(y, side)), size=y.shape[-2:], mode="nearest")
            for score, side in zip(self.places, (min(scale, y.shape[-1]) for scale in self.SCALES), strict=True)
        ]
        refined: Tensor = y * (1 + torch.sigmoid(torch.stack(scores).sum(dim=0)))
        return refined


class ChannelAttention(nn.Module):
    """Weights of channels, computed from their means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, x: Float[Tensor, "n c p p"]) -> Float[Tensor, "n c p p"]:
        """Multiply each channel by its weight."""
        weights: Tensor = self.weigh(x.mean(dim=(2, 3)))
        return x * weights[:, :, None, None]


class DenoisingNetwork(nn.Module):
    """A small U-shaped network from the noisy mask and the encoded condition to the clean mask (Fig. 3B)."""

    FINE = 16

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        if stride & (stride - 1) or stride < 2:
            raise ValueError(f"the first of head.pyramid.strides must be a power of 2, not {stride}")
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
        encoded: Float[Tensor, "n width p p"],
        log_snr: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 1 s s"]:
        """Return logits of the clean mask."""
        level = self.embed(sinusoids(log_snr, encoded.shape[1]))
        fine = gelu(self.enter(torch.cat([noisy, planes], dim=1)))
        x = self.first(self.down(pixel_unshuffle(fine, 2)), level)
        x = self.second(self.join(torch.cat([x, encoded], dim=1)), level)
        x = pixel_shuffle(self.up(x), self.stride)
        logits: Tensor = self.leave(torch.cat([x, fine], dim=1))
        return logits


class TimedBlock(nn.Module):
    """Residual convolutions, scaled and shifted by the embedded noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.level = nn.Linear(width, 2 * width)
        for parameter in self.two.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "n c p p"], level: Float[Tensor, "n c"]) -> Float[Tensor, "n c p p"]:
        """Return ``x`` plus the output of the convolutions."""
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        y = self.one(silu(self.before(x)))
        y = self.after(y) * (1 + scale) + shift
        out: Tensor = x + self.two(silu(y))
        return out


def _local_emphasis(before: int, after: int) -> nn.Sequential:
    """Local Emphasis, without its resampling."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )
