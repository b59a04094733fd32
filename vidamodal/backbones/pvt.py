"""PVTv2 as CondDiff-AMO's Pyramid Condition Network has it: the noisy mask and a time token enter every stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vidamodal.backbones.pretrained import read_pretrained, take_weights, transformers

COLOURS = 3


@dataclass(frozen=True)
class PyramidConfig:
    """Stages as transformers' PvtV2Config names them; the defaults are PVTv2-B4."""

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 8, 27, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    """Each stage's keys and values are so many times coarser a side."""
    ratios: tuple[int, ...] = (8, 8, 4, 4)
    """Of the widths inside and outside the MLPs."""
    strides: tuple[int, ...] = (4, 2, 2, 2)
    inputs: int = COLOURS
    """Channels to which the input is brought first (Eq. 6): three fit pretrained weights."""
    drop_path: float = 0.0
    pretrained: str | None = None
    """A name on the Hub or a folder whose weights training begins with; a trained model brings its own."""


class Pyramid(nn.Module):
    """Planes (n, c, s, s) to the maps of the four stages (Eqs. 6 and 7), the first at 1 / strides[0] of the side.

    transformers' PvtV2Backbone, whose layers are walked here: the noisy mask is added to the first patches by a
    convolution that begins at zero, and in each stage a token that tells the time stands before the patches. What
    resamples or convolves over places leaves it out.
    """

    def __init__(self, config: PyramidConfig, planes: int, noisy: bool) -> None:
        super().__init__()
        if any(len(each) != 4 for each in (config.widths, config.depths, config.heads, config.reductions)):
            raise ValueError("the pyramid has four stages: four widths, depths, heads and reductions")
        if planes < 1:
            raise ValueError("the condition sees nothing: switch on image, mask or context")
        self.config = config
        self.bring = nn.Conv2d(planes, config.inputs, 3, padding=1)  # Eq. 6
        self.backbone = _with_time(_library().PvtV2Backbone(_settings(config)))
        if planes > COLOURS and config.inputs == COLOURS:  # colours come first, and pass as they are
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
        """``noisy`` and ``log_snr`` are None in a pyramid that was built without."""
        x, maps = self.bring(planes), []
        for number, stage in enumerate(self.backbone.encoder.layers):
            tokens, height, width = stage.patch_embedding(x)
            if self.noisy is not None and noisy is not None and number == 0:
                tokens = tokens + rearrange(self.noisy(noisy), "n c h w -> n (h w) c")
            time = None
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
        """Put the weights of ``config.pretrained`` in, if there is one; InputError if they cannot be had or do not fit.

        Safetensors only; a folder, or a name on the Hub, which may be offline.
        """
        name, where = self.config.pretrained, "head.pyramid.pretrained"
        if name is not None:
            given = read_pretrained(_library().PvtV2Backbone, name, where, "OpenGVLab/pvt_v2_b4")
            take_weights(self.backbone, _with_time(given), name, where)


def sinusoids(log_snr: Float[Tensor, " n"], width: int) -> Float[Tensor, "n width"]:
    """Of a log signal-to-noise ratio, whose range is about 40."""
    rates = torch.exp(torch.linspace(math.log(0.05), math.log(3.0), width // 2, device=log_snr.device))
    angles = log_snr[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Through(nn.Module):
    """A block of transformers' PVTv2 over height x width tokens and whatever stands before them."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: Float[Tensor, "n k d"], height: int, width: int) -> Float[Tensor, "n k d"]:
        block, first = self.block, tokens.shape[1] - height * width
        tokens = tokens + block.drop_path(self._attend(block.layer_norm_1(tokens), first, height))
        x = block.mlp.dense1(block.layer_norm_2(tokens))
        x = torch.cat([x[:, :first], block.mlp.dwconv(x[:, first:], height, width)], dim=1)
        return tokens + block.drop_path(block.mlp.dense2(block.mlp.intermediate_act_fn(x)))

    def _attend(self, x: Float[Tensor, "n k d"], first: int, height: int) -> Float[Tensor, "n k d"]:
        attention, keys = self.block.attention, x
        if attention.spatial_reduction_ratio > 1:
            places = rearrange(x[:, first:], "n (h w) d -> n d h w", h=height)
            coarse = rearrange(attention.spatial_reduction(places), "n d h w -> n (h w) d")
            keys = torch.cat([x[:, :first], attention.layer_norm(coarse)], dim=1)
        query, key, value = (
            rearrange(part, "n k (h c) -> n h k c", h=attention.num_attention_heads)
            for part in (attention.query(x), attention.key(keys), attention.value(keys))
        )
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)
        return attention.proj(rearrange(weights @ value, "n h k c -> n k (h c)"))


def _with_time(backbone: Any) -> Any:
    """Its blocks let tokens pass that have no place."""
    for stage in backbone.encoder.layers:
        stage.blocks = nn.ModuleList(Through(block) for block in stage.blocks)
    return backbone


def _settings(config: PyramidConfig) -> Any:
    return _library().PvtV2Config(
        num_channels=config.inputs,
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        num_attention_heads=list(config.heads),
        sr_ratios=list(config.reductions),
        mlp_ratios=list(config.ratios),
        strides=list(config.strides),
        drop_path_rate=config.drop_path,
    )


def _library() -> Any:
    return transformers("this head's PVTv2", "diffusion")
