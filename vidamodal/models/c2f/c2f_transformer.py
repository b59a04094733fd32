"""The transformer of C2F-Seg with spatio-temporal attention and temporal rolling (sections 3.3 and 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from vidamodal.models.attention import Backend, attend


@dataclass(frozen=True)
class C2FTransformerConfig:
    """Sizes of the transformer (section 4) and the switches of Table B.2."""

    width: int = 768
    depth: int = 8
    heads: int = 12
    mlp: int = 4
    dropout: float = 0.01
    temporal: bool = True
    """False: attention within frames only, as for images and in "w/o ST module"."""
    window: int = 12
    """Frames that attend to each other. As released: 24, the whole clip, with which the roll changes nothing."""
    place: int = 4
    """Side, in tokens, of the part of each frame that attention over time covers."""
    roll: bool = True
    """Roll the frames by half a window after every block, around the ends of the clip."""
    attention: Backend = "auto"


class C2FTransformer(nn.Module):
    """Predicts the codes of amodal masks from image, visible codes and known amodal codes (section 3.3, Eqs. 3 to 6).

    Each position of each frame is one token: half of its channels embed the image, a quarter the visible and a quarter
    the amodal code.
    """

    def __init__(self, config: C2FTransformerConfig, channels: int, grid: int, codes: int) -> None:
        super().__init__()
        d = config.width
        if d % 4 or d % config.heads:
            raise ValueError(f"width {d} must be a multiple of 4 and of the {config.heads} heads")
        if config.window % 2 or config.window < 2:
            raise ValueError(f"the roll is half a window, so the window must be even, not {config.window}")
        if grid % config.place:
            raise ValueError(f"windows of {config.place} tokens do not divide the grid of {grid}")
        self.config = config
        self.image = nn.Conv2d(channels, d // 2, 3, padding=1)
        self.visible, self.amodal = nn.Embedding(codes + 1, d // 4), nn.Embedding(codes + 1, d // 4)  # with [MASK]
        self.position = nn.Parameter(torch.zeros(grid**2, d))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(C2FBlock(config, grid) for _ in range(config.depth))
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU(), nn.LayerNorm(d))
        self.classify = nn.Linear(d, codes + 1)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.position, std=0.02)

    def forward(
        self,
        image: Float[Tensor, "bt c g g"],
        visible: Int[Tensor, "b t g g"],
        amodal: Int[Tensor, "b t g g"],
        valid: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t g g classes"]:
        """Return the logits of all codes and [MASK] (Eq. 5).

        Args:
            image: Features of the images of b tracks over t frames, on the token grid.
            visible: Codes of the visible masks.
            amodal: Known codes of the amodal masks, and [MASK] where they are predicted (Eq. 6).
            valid: False in frames that pad the batch.
        """
        x = self._embed(image, visible, amodal)
        x = self._roll_through_blocks(x, valid)
        logits: Tensor = self.classify(self.head(x))
        return rearrange(logits, "b t (g h) n -> b t g h n", g=visible.shape[-1])

    def _embed(
        self, image: Float[Tensor, "bt c g g"], visible: Int[Tensor, "b t g g"], amodal: Int[Tensor, "b t g g"]
    ) -> Float[Tensor, "b t k d"]:
        """Return the tokens of Eq. 3: image, visible and amodal embeddings side by side, plus the position."""
        maps = rearrange(self.image(image), "(b t) c g h -> b t (g h) c", b=len(visible))
        codes = [
            rearrange(embedding(grid), "b t g h c -> b t (g h) c")
            for embedding, grid in ((self.visible, visible), (self.amodal, amodal))
        ]
        tokens: Tensor = self.dropout(torch.cat([maps, *codes], dim=-1) + self.position)
        return tokens

    def _roll_through_blocks(self, x: Float[Tensor, "b t k d"], valid: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k d"]:
        """Apply the blocks, rolling the frames by half a window after each and back at the end (section 3.5).

        The roll is circular, so that the first and last frames share windows. Clips are padded to whole windows, and
        the padding is masked.
        """
        frames = x.shape[1]
        window = min(self.config.window, frames + frames % 2)
        padding = -frames % window
        x, valid = pad(x, (0, 0, 0, 0, 0, padding)), pad(valid, (0, padding))
        shift = window // 2 if self.config.roll else 0
        for block in self.blocks:
            x = block(x, rearrange(valid, "b (w f) -> b w f", f=window)).roll(-shift, 1)
            valid = valid.roll(-shift, 1)
        return x.roll(shift * len(self.blocks), 1)[:, :frames]


class C2FBlock(nn.Module):
    """Attention within each frame, attention over the frames of a window in parts of the grid, and an MLP (Fig. 4)."""

    def __init__(self, config: C2FTransformerConfig, grid: int) -> None:
        super().__init__()
        d = config.width
        self.config, self.grid = config, grid
        self.space = C2FAttention(config)
        self.time = C2FAttention(config) if config.temporal else None
        self.norm = nn.LayerNorm(d)
        self.mlp = nn.Sequential(
            nn.Linear(d, config.mlp * d), nn.GELU(), nn.Linear(config.mlp * d, d), nn.Dropout(config.dropout)
        )

    def forward(self, x: Float[Tensor, "b t k d"], valid: Bool[Tensor, "b w f"]) -> Float[Tensor, "b t k d"]:
        """Apply the block; ``valid`` is False in frames of a window that are padding."""
        b, f, p = len(x), valid.shape[-1], self.config.place
        x = x + rearrange(self.space(rearrange(x, "b t k d -> (b t) k d"), None), "(b t) k d -> b t k d", b=b)
        if self.time is not None:
            sizes = {"f": f, "p": p, "q": p, "g": self.grid // p}
            keys = valid | ~valid.any(dim=-1, keepdim=True)  # an empty softmax would be nan
            mask = repeat(keys, "b w f -> (b w g h) 1 1 (f p q)", **sizes, h=self.grid // p)
            y = rearrange(x, "b (w f) (g p h q) d -> (b w g h) (f p q) d", **sizes)
            y = self.time(y, mask)
            x = x + rearrange(y, "(b w g h) (f p q) d -> b (w f) (g p h q) d", b=b, h=self.grid // p, **sizes)
        return x + cast(Tensor, self.mlp(self.norm(x)))


class C2FAttention(nn.Module):
    """Multi-head attention after a norm."""

    def __init__(self, config: C2FTransformerConfig) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.norm, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "n k d"], mask: Bool[Tensor, "n 1 1 k"] | None) -> Float[Tensor, "n k d"]:
        """Attend among the k tokens; ``mask`` is False for tokens that nobody attends to."""
        qkv = rearrange(self.qkv(self.norm(x)), "n k (three h c) -> three n h k c", three=3, h=self.config.heads)
        query, key, value = qkv.unbind(0)
        if mask is not None:
            mask = mask.expand(-1, -1, query.shape[2], -1)
        y = attend(query, key, value, mask, self.config.attention)
        return cast(Tensor, self.dropout(self.out(rearrange(y, "n h k c -> n k (h c)"))))
