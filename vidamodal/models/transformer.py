"""The spatio-temporal transformer: attention within frames, then over time, with temporal rolling.

C2F-Seg, sections 3.3 and 3.5, Fig. 4. As published: code embeddings of the visible and the (masked) amodal mask (Eqs. 3
and 6), a spatial and a temporal layer in each block, features rolled by half a window between blocks and unrolled at
the end. Not as published: embeddings are summed, not concatenated; an optional convolution over the window's pixels
replaces the ResNet of Eq. 4; windows are shorter than the clip and the roll's wrap is masked (with window = clip the
published roll changes nothing); frame numbers are embedded (without them the model ignores the order of frames); 2 x 2
tokens share one position in the attention, at a quarter of the cost. `vidamodal.models.c2f` follows the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vidamodal.data.crops import BOX_NUMBERS, PLANES, TrackCrops, halve
from vidamodal.models.attention import Backend, attend
from vidamodal.occlusion.evidence import DEPTH_PLANES

PERIODS = (4.0, 8.0, 16.0, 32.0, 64.0)
"""Periods, in frames, of the sinusoids that embed frame numbers."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the transformer, and a switch for each design decision."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp: int = 3
    features: int = 64
    """Channels on the token grid, before and after attention."""
    window: int = 16
    """Frames that attend to each other."""
    roll: bool = True
    """Shift the windows by half between blocks, so that information travels through the clip."""
    time: bool = True
    """Embed frame numbers."""
    occluders: bool = True
    """Read the other objects' masks, the edges and the known background, here and in the head."""
    order: bool = False
    """Read the depth order: the other objects' visible masks, positive in front and negative behind."""
    image: bool = False
    """Read the pixels of the window (instead of the ResNet of Eq. 4)."""
    depth_planes: bool = False
    """Read the evidence from depth (`vidamodal.occlusion.evidence.depth_planes`)."""
    presence: bool = False
    """Predict whether any of the object is inside the image."""
    tokens: bool = True
    """Represent masks as codes. False: the coarse mask is a linear function of the features."""
    temporal: bool = True
    """Let frames attend to each other. False: each frame is completed by itself."""
    attention: Backend = "auto"

    @property
    def extra_planes(self) -> tuple[str, ...]:
        """Names of the inputs beside masks, in the order of their channels."""
        names = ["order"] * self.order
        names += [f"image.{k}" for k in range(4 * self.image)]
        names += [f"depth.{k}" for k in range(DEPTH_PLANES * self.depth_planes)]
        return tuple(names)


class TransformerOutput(NamedTuple):
    """Predictions and features of the transformer."""

    codes: Float[Tensor, "b t g g codes"]
    """Logits of the amodal codes."""
    features: Float[Tensor, "b t c g g"]
    presence: Float[Tensor, "b t"] | None
    """Logits of any of the object being inside the image; None if the model does not predict that."""


class Block(nn.Module):
    """Attention over the positions of a frame, attention over a window's frames at each position, and an MLP."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.space_norm, self.mlp_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.space_qkv, self.space_out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        if config.temporal:
            self.time_norm = nn.LayerNorm(d)
            self.time_qkv, self.time_out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, config.mlp * d), nn.GELU(), nn.Linear(config.mlp * d, d))

    def forward(self, x: Float[Tensor, "b t k d"], mask: Bool[Tensor, "b w f f"]) -> Float[Tensor, "b t k d"]:
        """Apply the block; ``mask[b, w, i, j]`` is True if frame i of window w may attend to frame j."""
        h, b = self.config.heads, len(x)
        qkv = rearrange(self.space_qkv(self.space_norm(x)), "b t k (three h c) -> three (b t) h k c", three=3, h=h)
        query, key, value = qkv.unbind(0)
        y = attend(query, key, value, None, self.config.attention)
        x = x + self.space_out(rearrange(y, "(b t) h k c -> b t k (h c)", b=b))
        if self.config.temporal:
            x = x + self._over_time(x, mask)
        return x + cast(Tensor, self.mlp(self.mlp_norm(x)))

    def initialize_as_identity(self) -> None:
        """Set the last layer of each branch to zero, so that the block passes its input through at first."""
        outs = [self.space_out, self.time_out] if self.config.temporal else [self.space_out]
        for layer in (*outs, self.mlp[-1]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def _over_time(self, x: Float[Tensor, "b t k d"], mask: Bool[Tensor, "b w f f"]) -> Float[Tensor, "b t k d"]:
        h, (b, t) = self.config.heads, x.shape[:2]
        frames = mask.shape[-1]
        qkv = self.time_qkv(self.time_norm(x))
        qkv = rearrange(qkv, "b (w f) k (three h c) -> three (b w k) h f c", f=frames, three=3, h=h)
        allowed = repeat(mask, "b w f g -> (b w k) 1 f g", k=x.shape[2])
        query, key, value = qkv.unbind(0)
        y = attend(query, key, value, allowed, self.config.attention)
        return cast(Tensor, self.time_out(rearrange(y, "(b w k) h f c -> b (w f) k (h c)", b=b, w=t // frames)))


class AmodalTransformer(nn.Module):
    """Crops and codes of tracks in, code logits, features on the token grid and presence out.

    Without tokens, codes are ignored, and the logits are those of the 4 x 4 cells of each token.
    """

    def __init__(self, config: TransformerConfig, crop: int, grid: int, codes: int) -> None:
        super().__init__()
        if crop != 4 * grid:
            raise ValueError(f"the stem folds 4 x 4 cells into a token: crop {crop} is not four times grid {grid}")
        if grid % 2:
            raise ValueError(f"attention joins 2 x 2 tokens, so tokenizer.crop must be a multiple of 8, not {crop}")
        if config.window % 2:
            raise ValueError(f"the roll is half a window, so the window must be even, not {config.window}")
        if config.width % config.heads:
            raise ValueError(f"width {config.width} cannot be shared by {config.heads} heads")
        c, d = config.features, config.width
        self.config, self.grid, self.mask_code = config, grid, codes
        self.enter = nn.Conv2d(4 * PLANES, c // 2, 3, padding=1)
        self.stem = nn.Conv2d(2 * c, c, 3, padding=1)
        if config.extra_planes:  # zero at first, so that a trained model can get further inputs
            self.extra = nn.Conv2d(4 * len(config.extra_planes), c // 2, 3, padding=1)
            for parameter in self.extra.parameters():
                nn.init.zeros_(parameter)
        if config.tokens:
            self.visible_codes = nn.Embedding(codes, c)
            self.amodal_codes = nn.Embedding(codes + 1, c)  # one more for [MASK]
        self.gather = nn.Linear(4 * c, d)
        self.place = nn.Parameter(0.02 * torch.randn((grid // 2) ** 2, d))
        self.box = nn.Sequential(nn.Linear(BOX_NUMBERS, d), nn.GELU(), nn.Linear(d, d))
        self.clock = nn.Linear(2 * len(PERIODS), d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(d)
        self.spread = nn.Linear(d, 4 * c)
        self.merge = nn.Sequential(nn.GroupNorm(8, c), nn.GELU(), nn.Conv2d(c, c, 3, padding=1))
        self.predict = nn.Sequential(nn.GroupNorm(8, c), nn.GELU(), nn.Conv2d(c, codes if config.tokens else 16, 1))
        if config.presence:
            self.presence = nn.Sequential(nn.Linear(2 * d, d), nn.GELU(), nn.Linear(d, 1))
        for table in (self.visible_codes, self.amodal_codes) if config.tokens else ():
            nn.init.normal_(table.weight, std=0.02)

    def forward(
        self, crops: TrackCrops, visible: Int[Tensor, "b t g g"], amodal: Int[Tensor, "b t g g"]
    ) -> TransformerOutput:
        """Return the logits of the amodal codes, the features and the presence.

        Args:
            crops: Inputs of b tracks over t frames.
            visible: Codes of the visible masks.
            amodal: Known codes of the amodal masks, and ``mask_code`` where they are predicted (Eq. 6).
        """
        b = visible.shape[0]
        crops = crops if self.config.occluders else crops.alone()
        near = self._embed(crops, visible, amodal)
        x = rearrange(near, "(b t) c (g p) (h q) -> b t (g h) (p q c)", b=b, p=2, q=2)
        x = self.gather(x) + self.place + self._embed_time(crops)[:, :, None] + self.box(crops.box)[:, :, None]
        x = self.norm(self._roll_through_blocks(x, crops.valid))
        presence = self._predict_presence(x) if self.config.presence else None
        x = rearrange(self.spread(x), "b t (g h) (p q c) -> (b t) c (g p) (h q)", p=2, q=2, g=self.grid // 2)
        features = near + x
        features = features + self.merge(features)
        logits = rearrange(self.predict(features), "(b t) n g h -> b t g h n", b=b)
        return TransformerOutput(logits, rearrange(features, "(b t) c g h -> b t c g h", b=b), presence)

    def _predict_presence(self, x: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t"]:
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=-1)
        return cast(Tensor, self.presence(pooled)[..., 0])

    def _embed(
        self, crops: TrackCrops, visible: Int[Tensor, "b t g g"], amodal: Int[Tensor, "b t g g"]
    ) -> Float[Tensor, "bt c g g"]:
        """Return the sum of the embeddings of maps and codes (Eq. 3) on the token grid."""
        x = self.enter(halve(crops.planes()))
        if self.config.extra_planes:
            x = x + self.extra(halve(self._extra_planes(crops)))
        x = cast(Tensor, self.stem(nn.functional.pixel_unshuffle(nn.functional.gelu(x), 2)))
        if not self.config.tokens:
            return x
        codes: Tensor = self.visible_codes(visible) + self.amodal_codes(amodal)
        return x + rearrange(codes, "b t g h c -> (b t) c g h")

    def _extra_planes(self, crops: TrackCrops) -> Float[Tensor, "b t c s s"]:
        """Return the inputs beside masks, as in `TransformerConfig.extra_planes`.

        They are the depth order, colours with a channel that is 1 where they are known, and evidence from depth.
        """
        planes = [crops.order[:, :, None]] if self.config.order else []
        if self.config.image:
            has_colours = crops.image.amax(dim=(2, 3, 4), keepdim=True) > 0  # frames of mask-only worlds are black
            known = crops.inside[:, :, None] * has_colours
            planes += [2 * crops.image - known, known]
        if self.config.depth_planes:
            planes.append(crops.depth)
        return torch.cat(planes, dim=2)

    def _embed_time(self, crops: TrackCrops) -> Float[Tensor, "b t d"]:
        angles = crops.time[..., None] * (2 * torch.pi / crops.time.new_tensor(PERIODS))
        clock: Tensor = self.clock(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return clock * float(self.config.time)

    def _roll_through_blocks(self, x: Float[Tensor, "b t k d"], valid: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k d"]:
        """Apply the blocks with temporal rolling (section 3.5), without the paper's circular wrap.

        Frames are padded to whole windows and rolled by half a window after each block. Two frames of a window attend
        to each other only if they are less than a window apart in the clip, which masks the wrap.
        """
        frames = x.shape[1]
        window = min(self.config.window, frames + frames % 2)
        padding = -frames % window
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, padding))
        valid = nn.functional.pad(valid, (0, padding))
        index = torch.arange(frames + padding, device=x.device)
        shift = window // 2 if self.config.roll and frames > window else 0
        for block in self.blocks:
            x = block(x, _window_mask(index, valid, window))
            x, valid, index = x.roll(-shift, 1), valid.roll(-shift, 1), index.roll(-shift, 0)
        return x.roll(shift * len(self.blocks), 1)[:, :frames]


def _window_mask(index: Int[Tensor, " t"], valid: Bool[Tensor, "b t"], window: int) -> Bool[Tensor, "b w f f"]:
    """Return which frames of a window attend to which: valid ones less than a window apart, and each to itself."""
    index = rearrange(index, "(w f) -> w f", f=window)
    near = (index[:, :, None] - index[:, None, :]).abs() < window
    keys = rearrange(valid, "b (w f) -> b w 1 f", f=window)
    allowed: Tensor = near & keys
    return allowed | torch.eye(window, dtype=torch.bool, device=valid.device)
