"""Recording of a UNet's attention, and the maps that a shape prior is made of (AISDiff, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, scaled_dot_product_attention


@dataclass
class AttentionMaps:
    """Attention maps of n objects, summed over layers and steps of the same resolution, with their number."""

    grid: int
    """Cells per side of the resulting maps."""
    cross: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    """Cross-attention: sum and number of maps by the side of the layer's feature map."""
    self_attention: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    """Self-attention: sum and number of maps by the side of the layer's feature map."""

    def accepts(self, cells: int, is_cross: bool) -> bool:
        """Return whether a layer with so many cells is recorded: self-attention is never made coarser."""
        return is_cross or cells <= self.grid**2

    def add(self, weights: Float[Tensor, "n q k"], is_cross: bool) -> None:
        """Add the attention of one layer in one step, averaged over its heads."""
        side, maps = round(weights.shape[1] ** 0.5), self.cross if is_cross else self.self_attention
        total, count = maps.get(side, (0.0, 0))
        maps[side] = (total + weights, count + 1)

    def cross_attention(self, token_weights: Float[Tensor, "n k"]) -> Float[Tensor, "n g 1"]:
        """Return A_C: the mean cross-attention, summed over tokens with these weights."""
        parts = [
            resize_queries((total * token_weights[:, None]).sum(dim=-1, keepdim=True), side, self.grid)
            for side, (total, _) in self.cross.items()
        ]
        return torch.stack(parts).sum(dim=0) / sum(count for _, count in self.cross.values())

    def spread(self, cross: Float[Tensor, "n g 1"], power: int) -> Float[Tensor, "n g 1"]:
        """Return (A_S)^power A_C: the cross-attention, spread by the mean self-attention."""
        if not self.self_attention:
            raise ValueError(
                f"no layer with self-attention has at most {self.grid} x {self.grid} cells. Raise prior.grid."
            )
        maps = self.self_attention.items()
        parts = [count * _resize_square(total.to(cross), side, self.grid) for side, (total, count) in maps]
        mean = torch.stack(parts).sum(dim=0) / sum(count for _, (_, count) in maps)
        for _ in range(power):
            cross = mean @ cross
        return cross

    def prior(self, token_weights: Float[Tensor, "n k"], power: int) -> Float[Tensor, "n g g"]:
        """Return (A_S)^power A_C, rescaled to [0, 1].

        It is computed in double precision, because spreading leaves only small differences between cells.
        """
        cross = self.cross_attention(token_weights)
        precise = cross.cpu() if cross.device.type == "mps" else cross  # mps has no double precision
        prior = self.spread(precise.double(), power)
        prior = prior - prior.amin(dim=1, keepdim=True)
        prior = prior / prior.amax(dim=1, keepdim=True).clamp_min(1e-12)
        return rearrange(prior.float().to(cross.device), "n (h w) 1 -> n h w", h=self.grid)


class AttentionRecorder:
    """Attention processor for diffusers that computes the usual output and adds its weights to `AttentionMaps`."""

    def __init__(self, is_cross: bool) -> None:
        self.is_cross = is_cross
        self.maps: AttentionMaps | None = None

    def __call__(
        self,
        attention: Any,
        hidden_states: Float[Tensor, "n q d"],
        encoder_hidden_states: Float[Tensor, "n k e"] | None = None,
        attention_mask: None = None,
        *_: Any,
        **__: Any,
    ) -> Float[Tensor, "n q d"]:
        """Return the output of the attention layer; the signature is that of diffusers."""
        if attention_mask is not None:
            raise ValueError("attention with a mask cannot be recorded")
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and attention.norm_cross:
            context = attention.norm_encoder_hidden_states(context)
        query, key, value = (
            rearrange(part, "n k (h c) -> n h k c", h=attention.heads)
            for part in (attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context))
        )
        if self.maps is not None and self.maps.accepts(query.shape[2], self.is_cross):
            weights = (query.float() @ key.float().transpose(-1, -2) * attention.scale).softmax(dim=-1)
            self.maps.add(weights.mean(dim=1), self.is_cross)
            mixed = weights.to(value) @ value
        else:  # saves the memory of the weights
            mixed = scaled_dot_product_attention(query, key, value, scale=attention.scale)
        out: Tensor = rearrange(mixed, "n h k c -> n k (h c)")
        for layer in attention.to_out:
            out = layer(out)
        scale: float = attention.rescale_output_factor
        return out / scale


def install_recorders(unet: Any) -> list[AttentionRecorder]:
    """Replace the attention processors of a diffusers UNet by recorders; its output stays the same."""
    recorders = []
    for name, module in unet.named_modules():
        if name.endswith((".attn1", ".attn2")):
            recorders.append(AttentionRecorder(is_cross=name.endswith(".attn2")))
            module.set_processor(recorders[-1])
    return recorders


@contextmanager
def recording(recorders: Sequence[AttentionRecorder], maps: AttentionMaps) -> Iterator[None]:
    """Record the attention of everything that runs in this context."""
    for recorder in recorders:
        recorder.maps = maps
    try:
        yield
    finally:
        for recorder in recorders:
            recorder.maps = None


def resize_queries(weights: Float[Tensor, "n q k"], side: int, grid: int) -> Float[Tensor, "n g k"]:
    """Resize maps from side x side to grid x grid queries: linearly, or by averaging if that is coarser."""
    maps = rearrange(weights, "n (h w) k -> n k h w", h=side)
    if side < grid:
        maps = interpolate(maps, size=(grid, grid), mode="bilinear", align_corners=False)
    elif side > grid:
        maps = interpolate(maps, size=(grid, grid), mode="area")
    return rearrange(maps, "n k h w -> n (h w) k")


def _resize_square(weights: Float[Tensor, "n q q"], side: int, grid: int) -> Float[Tensor, "n g g"]:
    """Resize the queries and keys of self-attention, so that rows sum to 1 again."""
    if side != grid:
        queries = resize_queries(weights, side, grid)
        weights = rearrange(resize_queries(rearrange(queries, "n q k -> n k q"), side, grid), "n k q -> n q k")
    return weights / weights.sum(dim=-1, keepdim=True)
