"""The Pyramid Condition Network of CondDiff-AMO (section 3.3): PVTv2 with a noisy mask and time tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.backbones.pretrained import copy_weights, read_pretrained

COLOURS = 3


@dataclass(frozen=True)
class PyramidConfig:
    """Sizes of the four stages, in the terms of transformers' PvtV2Config; the defaults are PVTv2-B4."""

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 8, 27, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    """Factors by which keys and values are coarser than queries, per side."""
    ratios: tuple[int, ...] = (8, 8, 4, 4)
    """Ratios of the inner to the outer widths of the MLPs."""
    strides: tuple[int, ...] = (4, 2, 2, 2)
    inputs: int = COLOURS
    """Channels after the first convolution (Eq. 6). Pretrained weights need three."""
    drop_path: float = 0.0
    pretrained: str | None = None
    """Folder or Hub name of the weights that training starts from; a trained model has its own."""


class Pyramid(nn.Module):
    """Four feature maps of the condition, the first at ``1 / strides[0]`` of the input's resolution (Eqs. 6 and 7).

    The layers are those of transformers' PvtV2Backbone. A convolution that starts at zero adds the noisy mask to the
    first patch embedding, and a token that encodes the time precedes the patches of each stage. Layers that resample
    or convolve over positions skip this token.
    """

    def __init__(self, config: PyramidConfig, planes: int, noisy: bool) -> None:
        """Build the network.

        Args:
            config: Its sizes.
            planes: Input channels of the condition. If there are more than three, the first three are colours.
            noisy: True if the network also takes the noisy mask and the time.
        """
        super().__init__()
        if any(len(each) != 4 for each in (config.widths, config.depths, config.heads, config.reductions)):
            raise ValueError("pyramid.widths, depths, heads and reductions must have four entries, one for each stage")
        if planes < 1:
            raise ValueError("the condition has no input channel. Set image, mask or context to true.")
        self.config = config
        self.bring = nn.Conv2d(planes, config.inputs, 3, padding=1)  # Eq. 6
        self.backbone = _wrap_blocks(_build_backbone(config))
        if planes > COLOURS and config.inputs == COLOURS:  # pretrained weights expect unchanged colours
            with torch.no_grad():
                nn.init.zeros_(self.bring.weight[:, :COLOURS])
                self.bring.weight[range(COLOURS), range(COLOURS), 1, 1] = 1.0
        self.noisy = self.times = None
        if noisy:
            self.noisy = nn.Conv2d(1, config.widths[0], 7, stride=config.strides[0], padding=3)
            nn.init.zeros_(self.noisy.weight)
            nn.init.zeros_(self.noisy.bias)  # type: ignore[arg-type]
            self.times = nn.ModuleList(
                nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
                for width in config.widths
            )

    def forward(
        self,
        planes: Float[Tensor, "n c s s"],
        noisy: Float[Tensor, "n 1 s s"] | None,
        log_snr: Float[Tensor, " n"] | None,
    ) -> list[Float[Tensor, "n _ _ _"]]:
        """Return the maps of the four stages.

        Args:
            planes: Input channels of the condition.
            noisy: Noisy mask; None in a network that was built without it.
            log_snr: Logarithm of the signal-to-noise ratio, which stands for the time; None likewise.
        """
        x, maps = self.bring(planes), []
        for number, stage in enumerate(self.backbone.encoder.layers):
            tokens, height, width = stage.patch_embedding(x)
            if self.noisy is not None and noisy is not None and number == 0:
                tokens = tokens + rearrange(self.noisy(noisy), "n c h w -> n (h w) c")
            if self.times is not None and log_snr is not None:
                time = self.times[number](sinusoids(log_snr, self.config.widths[number]))[:, None]
                tokens = torch.cat([time, tokens], dim=1)
            for block in stage.blocks:
                tokens = block(tokens, height, width)
            tokens = stage.layer_norm(tokens)[:, tokens.shape[1] - height * width :]
            x = rearrange(tokens, "n (h w) c -> n c h w", h=height)
            maps.append(x)
        return maps

    def load_pretrained(self) -> None:
        """Load the weights that ``config.pretrained`` names, if any.

        Raises:
            InputError: If they cannot be loaded or do not fit.
        """
        name, setting = self.config.pretrained, "head.pyramid.pretrained"
        if name is not None:
            from transformers import PvtV2Backbone

            source = read_pretrained(PvtV2Backbone, name, setting, "OpenGVLab/pvt_v2_b4")
            copy_weights(self.backbone, _wrap_blocks(source), name, setting)


def sinusoids(log_snr: Float[Tensor, " n"], width: int) -> Float[Tensor, "n width"]:
    """Encode logarithms of signal-to-noise ratios, which have a range of about 40, by sines and cosines."""
    rates = torch.exp(torch.linspace(math.log(0.05), math.log(3.0), width // 2, device=log_snr.device))
    angles = log_snr[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TokenBlock(nn.Module):
    """A block of transformers' PVTv2 that accepts extra tokens before those of the height x width positions."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: Float[Tensor, "n k d"], height: int, width: int) -> Float[Tensor, "n k d"]:
        """Apply the block."""
        block, extra = self.block, tokens.shape[1] - height * width
        tokens = tokens + block.drop_path(self._attend(block.layer_norm_1(tokens), extra, height))
        x = block.mlp.dense1(block.layer_norm_2(tokens))
        x = torch.cat([x[:, :extra], block.mlp.dwconv(x[:, extra:], height, width)], dim=1)
        out: Tensor = tokens + block.drop_path(block.mlp.dense2(block.mlp.intermediate_act_fn(x)))
        return out

    def _attend(self, x: Float[Tensor, "n k d"], extra: int, height: int) -> Float[Tensor, "n k d"]:
        attention, keys = self.block.attention, x
        if attention.spatial_reduction_ratio > 1:
            positions = rearrange(x[:, extra:], "n (h w) d -> n d h w", h=height)
            coarse = rearrange(attention.spatial_reduction(positions), "n d h w -> n (h w) d")
            keys = torch.cat([x[:, :extra], attention.layer_norm(coarse)], dim=1)
        query, key, value = (
            rearrange(part, "n k (h c) -> n h k c", h=attention.num_attention_heads)
            for part in (attention.query(x), attention.key(keys), attention.value(keys))
        )
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)
        out: Tensor = attention.proj(rearrange(weights @ value, "n h k c -> n k (h c)"))
        return out


def _wrap_blocks(backbone: Any) -> Any:
    for stage in backbone.encoder.layers:
        stage.blocks = nn.ModuleList(TokenBlock(block) for block in stage.blocks)
    return backbone


def _build_backbone(config: PyramidConfig) -> Any:
    from transformers import PvtV2Backbone, PvtV2Config

    settings = PvtV2Config(
        num_channels=config.inputs,
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        num_attention_heads=list(config.heads),
        sr_ratios=list(config.reductions),
        mlp_ratios=list(config.ratios),
        strides=list(config.strides),
        drop_path_rate=config.drop_path,
    )
    return PvtV2Backbone(settings)
