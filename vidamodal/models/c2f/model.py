"""C2F-Seg (Gao et al., ICCV 2023), the model that ours is measured against: as faithful as paper and code allow.

Section 3 and appendix A of the paper; where the released code does something else, `C2FConfig.variant` chooses.
Known to differ from both: biases and norms are trained (the released optimiser forgets 127 tensors), gradients are
synchronised over processes, attention has no dropout of its own, and ResNet-50 comes without its unused classifier.
There is no embedding of time: with a window over the whole clip the model is blind to the order of frames, and the
roll changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from vidamodal.backbones.resnet import Backbone, BackboneConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.models.amodal import AmodalOutput, gumbel
from vidamodal.models.attention import attend
from vidamodal.models.c2f.vqgan import VqGan, VqGanConfig
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig

Variant = Literal["released", "paper"]
"""Whether to follow the printed paper or its released code where they differ."""


@dataclass(frozen=True)
class C2FTransformerConfig:
    """Sizes (section 4) and the switches of Table B.2."""

    width: int = 768
    depth: int = 8
    heads: int = 12
    mlp: int = 4
    dropout: float = 0.01
    temporal: bool = True
    """False: attention within frames alone, as for images and in "w/o ST module"."""
    window: int = 12
    """Frames that attention over time sees at once. As released: 24, the whole clip, where the roll changes nothing."""
    place: int = 4
    """Attention over time sees this many tokens squared of each frame."""
    roll: bool = True
    """Roll the frames by half a window after every block, round the ends of the clip."""
    attention: str = "auto"


@dataclass(frozen=True)
class C2FConfig:
    """All that a C2F model folder's config.json says.

    ``variant``, where paper and released code part:

    ==================  ==========================================  ============================================
    ..                  "paper"                                     "released"
    ==================  ==========================================  ============================================
    quantiser           beta on the commitment term                 beta on the codebook term
    adversarial loss    logarithms, weight as in A.1, delta 1e-6    hinge, 0.75 of the weight, 1e-4, clamped
    masked tokens       50 to 100 %, uniform                        max(cos(pi u / 2), 0.5)
    loss of tokens      on masked ones (Eq. 6)                      on all, labels smoothed by 0.1
    decoding            any code, by its confidence (A.2)           one of the best 3, with Gumbel noise
    attention           weighs the features (Eq. 8)                 one more channel, without the square root
    final mask          the refined one                             refined + coarse above one half
    ==================  ==========================================  ============================================
    """

    variant: Variant = "released"
    codec: Literal["vqgan", "light"] = "vqgan"
    """vqgan | light, the tokenizer of our own model"""
    vqgan: VqGanConfig = field(default_factory=VqGanConfig)
    light: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(crop=128, patch=8))
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    transformer: C2FTransformerConfig = field(default_factory=C2FTransformerConfig)
    refine: bool = True
    """False: the coarse mask is the result ("w/o refine", Table 3)."""
    refiner: int = 256
    """Channels at which the refinement begins."""
    attention: bool = True
    """False: refinement without Eq. 8 ("w/o attn", Table B.3)."""
    steps: int = 3
    """K of the iterative decoding."""
    greedy: bool = False
    """Decode the likeliest codes, without any draw."""
    windows: WindowConfig = field(default_factory=lambda: WindowConfig(mode="boxes", passes=1))
    chunk: int = 24
    overlap: int = 12
    threshold: float = 0.5
    temperature: float = 1.0
    """Chunks, their overlap, threshold and temperature as `ModelConfig` says."""

    @property
    def tokenizer(self) -> VqGanConfig | TokenizerConfig:
        """The chosen codec's config, which tells crop, grid, patch and number of codes."""
        return self.vqgan if self.codec == "vqgan" else self.light

    @property
    def head(self) -> str:
        """What stands where other models name their head: the refinement is part of this one."""
        return "c2f"


@dataclass(frozen=True)
class Refined:
    """Logits of the two branches of Eq. 9."""

    visible: Float[Tensor, "n s s"]
    amodal: Float[Tensor, "n s s"]


class C2F(nn.Module):
    """Pixels and visible masks of tracks in, amodal masks of the same tracks out."""

    def __init__(self, config: C2FConfig) -> None:
        super().__init__()
        codec = config.tokenizer
        self.config, self.mask_code = config, codec.codes
        self.tokenizer: VqGan | MaskTokenizer = (
            VqGan(config.vqgan, config.variant) if config.codec == "vqgan" else MaskTokenizer(config.light)
        )
        self.backbone = Backbone(config.backbone, codec.patch)
        widths = config.backbone.widths
        self.transformer = C2FTransformer(config.transformer, widths[-1], codec.grid, codec.codes)
        form = config.variant if config.attention else "none"
        self.refiner = Refiner(config.refiner, widths, form) if config.refine else None

    @property
    def view(self) -> View:
        """How it looks at clips."""
        return View(self.config.windows, self.config.tokenizer.crop, pixels=True)

    @property
    def stochastic(self) -> bool:
        """Whether its prediction is drawn."""
        return not self.config.greedy

    def forward(self, crops: TrackCrops) -> AmodalOutput:
        """The prediction with draws that are always the same."""
        return self.complete(crops, torch.Generator().manual_seed(0))

    def complete(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        """The prediction, in ``config.steps`` rounds."""
        return self.sample(crops, self.config.steps, generator)

    @torch.no_grad()
    def sample(self, crops: TrackCrops, steps: int, generator: torch.Generator) -> AmodalOutput:
        """Codes in ``steps`` rounds (A.2), the coarse mask (Eq. 7) and the refined one (Eqs. 8 and 9)."""
        maps = self.look(crops)
        logits, codes = self._decode(maps[-1], self.encode(crops.visible), crops.valid, steps, generator)
        coarse = self.tokenizer.decode(rearrange(codes, "b t g h -> (b t) g h"))
        final = coarse if self.refiner is None else self._final(coarse, self.refiner(maps, torch.sigmoid(coarse)))
        coarse, final = (rearrange(x, "(b t) s r -> b t s r", b=len(codes)) for x in (coarse, final))
        return AmodalOutput(logits, coarse, final)

    def look(self, crops: TrackCrops) -> tuple[Float[Tensor, "bt c g g"], ...]:
        """The backbone's maps of the crops' pixels, Eq. 4."""
        if crops.image.shape[2] != 3:
            raise InputError("C2F-Seg reads pixels, and this input has masks alone")
        return self.backbone(rearrange(crops.image, "b t c s r -> (b t) c s r"))

    def encode(self, masks: Float[Tensor, "b t s s"]) -> Int[Tensor, "b t g g"]:
        """Codes of the masks of tracks, Eq. 1."""
        codes = self.tokenizer.encode(rearrange(masks, "b t s r -> (b t) s r"))
        return rearrange(codes, "(b t) g h -> b t g h", b=len(masks))

    def _decode(
        self,
        image: Float[Tensor, "bt c g g"],
        visible: Int[Tensor, "b t g g"],
        valid: Bool[Tensor, "b t"],
        steps: int,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b t g g codes"], Int[Tensor, "b t g g"]]:
        """Iterative decoding, A.2: all codes are drawn in every round, and the least sure ones masked again."""
        released, greedy = self.config.variant == "released", self.config.greedy
        amodal = torch.full_like(visible, self.mask_code)
        places = visible.shape[-1] ** 2
        for step in range(steps):
            left = 1 - (step + 1) / steps
            logits = self.transformer(image, visible, amodal, valid)[..., : self.mask_code].float()
            drawn = sample_codes(logits, 1 if greedy else 3 if released else self.mask_code, generator)
            sure = logits.log_softmax(dim=-1).gather(-1, drawn[..., None])[..., 0]
            if released and not greedy:
                sure = sure + 4.5 * left * gumbel(sure.shape, generator).to(sure.device)
            open_places = amodal == self.mask_code
            codes = torch.where(open_places, drawn, amodal)
            # What was kept stays; of the rest, as many as the cosine says are masked again.
            sure = rearrange(sure.masked_fill(~open_places, torch.inf), "b t g h -> b t (g h)")
            rank = sure.argsort(dim=-1, stable=True).argsort(dim=-1).view_as(codes)
            masked = math.floor(places * math.sin(math.pi / 2 * left))
            amodal = torch.where(rank < masked, self.mask_code, codes)
        return logits, codes

    def _final(self, coarse: Float[Tensor, "n s s"], refined: Refined) -> Float[Tensor, "n s s"]:
        if self.config.variant == "paper":
            return refined.amodal
        both = torch.sigmoid(refined.amodal) + torch.sigmoid(coarse)
        return torch.logit(both, eps=1e-5)


def sample_codes(logits: Float[Tensor, "*n codes"], top: int, generator: torch.Generator) -> Int[Tensor, "*n"]:
    """One of the ``top`` likeliest codes at each place, by their probabilities (Gumbel-max)."""
    best, codes = logits.topk(top, dim=-1)
    if top > 1:
        best = best + gumbel(best.shape, generator).to(best.device)
    return codes.gather(-1, best.argmax(dim=-1, keepdim=True))[..., 0]


class C2FTransformer(nn.Module):
    """Predicts the codes of amodal masks from image, visible codes and known amodal ones (section 3.3, Eqs. 3 to 6).

    One token for each place of each frame: half of its channels are the image's, a quarter the visible mask's and a
    quarter the amodal mask's.
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
        """Logits of all codes and [MASK]. ``amodal`` is [MASK] where a code is to be predicted; ``valid`` as crops'."""
        b, g = len(visible), visible.shape[-1]
        seen = rearrange(self.image(image), "(b t) c g h -> b t (g h) c", b=b)
        codes = [
            rearrange(e(c), "b t g h c -> b t (g h) c") for e, c in ((self.visible, visible), (self.amodal, amodal))
        ]
        x = self.dropout(torch.cat([seen, *codes], dim=-1) + self.position)
        x = self._roll_through_blocks(x, valid)
        return rearrange(self.classify(self.head(x)), "b t (g h) n -> b t g h n", g=g)

    def _roll_through_blocks(self, x: Float[Tensor, "b t k d"], valid: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k d"]:
        """Section 3.5: after every block the frames are rolled by half a window, at the end they are rolled back.

        The roll is circular, so first and last frames come to share windows. Clips are padded to whole windows, and
        what fills them is masked.
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
    """Fig. 4: attention within each frame, attention over frames within a window of places, and an MLP."""

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
        """``valid`` tells which of the f frames of window w there are."""
        b, f, p = len(x), valid.shape[-1], self.config.place
        x = x + rearrange(self.space(rearrange(x, "b t k d -> (b t) k d"), None), "(b t) k d -> b t k d", b=b)
        if self.time is not None:
            sizes = {"f": f, "p": p, "q": p, "g": self.grid // p}
            keys = valid | ~valid.any(dim=-1, keepdim=True)  # a window of nothing but filling may look at it
            mask = repeat(keys, "b w f -> (b w g h) 1 1 (f p q)", **sizes, h=self.grid // p)
            y = rearrange(x, "b (w f) (g p h q) d -> (b w g h) (f p q) d", **sizes)
            y = self.time(y, mask)
            x = x + rearrange(y, "(b w g h) (f p q) d -> b (w f) (g p h q) d", b=b, h=self.grid // p, **sizes)
        return x + self.mlp(self.norm(x))


class C2FAttention(nn.Module):
    """Multi-head attention behind a norm."""

    def __init__(self, config: C2FTransformerConfig) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.norm, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "n k d"], mask: Bool[Tensor, "n 1 1 k"] | None) -> Float[Tensor, "n k d"]:
        qkv = rearrange(self.qkv(self.norm(x)), "n k (three h c) -> three n h k c", three=3, h=self.config.heads)
        query, key, value = qkv.unbind(0)
        if mask is not None:
            mask = mask.expand(-1, -1, query.shape[2], -1)
        y = attend(query, key, value, mask, self.config.attention)
        return self.dropout(self.out(rearrange(y, "n h k c -> n k (h c)")))


class Refiner(nn.Module):
    """Convolutional refinement with a visible and an amodal branch (section 3.4, Eqs. 8 and 9).

    The coarse mask comes down to the token grid by its nearest pixel, and all upsampling repeats pixels, as released.
    """

    def __init__(self, width: int, widths: tuple[int, ...], attention: str) -> None:
        """``widths``: channels of the backbone's four maps. ``attention``: paper | released | none."""
        super().__init__()
        if width % 16:
            raise ValueError(f"the refinement's channels are halved four times: {width} is not a multiple of 16")
        self.attention = attention
        self.image = _convolve(widths[3], widths[3], 1)
        self.reduce = _convolve(widths[3], width)
        self.weighed = _convolve(widths[3], width) if attention == "paper" else None
        inner = width + 1 + {"paper": width, "released": 1, "none": 0}[attention]
        self.enter = nn.Sequential(_convolve(inner, inner), _convolve(inner, width // 2))
        self.third = nn.Conv2d(widths[2], width // 2, 1)
        self.shared = _convolve(width // 2, width // 4)
        self.visible, self.amodal = Branch(width // 4, widths[:2]), Branch(width // 4, widths[:2])

    def forward(self, maps: tuple[Float[Tensor, "n c g g"], ...], coarse: Float[Tensor, "n s s"]) -> Refined:
        """``coarse`` is a probability."""
        first, second, third, fourth = maps
        image = self.image(fourth)
        small = interpolate(coarse[:, None], size=image.shape[-2:], mode="nearest")
        x = torch.cat([self.reduce(image), *self._attend(image, small), small.to(image.dtype)], dim=1)
        x = _double(self.enter(x) + self.third(third))
        x = self.shared(x)
        visible, amodal = (
            interpolate(branch(x, second, first), size=coarse.shape[-2:], mode="nearest")[:, 0].float()
            for branch in (self.visible, self.amodal)
        )
        return Refined(visible, amodal)

    def _attend(self, image: Float[Tensor, "n c g g"], mask: Float[Tensor, "n 1 g g"]) -> list[Tensor]:
        if self.attention == "none":
            return []
        weights = attention_map(image.float(), mask.float(), scaled=self.attention == "paper").to(image.dtype)
        return [weights] if self.weighed is None else [self.weighed(weights * image)]


def attention_map(
    image: Float[Tensor, "n c g g"], mask: Float[Tensor, "n 1 g g"], scaled: bool
) -> Float[Tensor, "n 1 g g"]:
    """The softmax of Eq. 8 over the places of a frame; ``scaled``: with its square root of d, the number of channels.

    As printed, the shapes of mask and features do not fit. As released, the mask stands for the mean feature under it.
    """
    query = (image * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp_min(1e-6)
    scores = torch.einsum("nc,ncgh->ngh", query, image) * (image.shape[1] ** -0.5 if scaled else 1.0)
    return rearrange(rearrange(scores, "n g h -> n (g h)").softmax(-1), "n (g h) -> n 1 g h", g=image.shape[2])


class Branch(nn.Module):
    """One of the two ends of the refinement: up from half to eight times the token grid, with skips of the backbone."""

    def __init__(self, width: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, second = widths
        self.second, self.first = nn.Conv2d(second, width, 1), nn.Conv2d(first, width // 2, 1)
        self.middle, self.end = _convolve(width, width // 2), _convolve(width // 2, width // 4)
        self.leave = nn.Conv2d(width // 4, 1, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "n c p p"], second: Float[Tensor, "n d p p"], first: Float[Tensor, "n e q q"]
    ) -> Float[Tensor, "n 1 r r"]:
        x = self.middle(_double(x + self.second(second)))
        x = self.end(_double(x + self.first(first)))
        return self.leave(x)


def _convolve(before: int, after: int, size: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, size, padding=size // 2, bias=False)  # the norm has one
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _double(x: Float[Tensor, "n c p p"]) -> Float[Tensor, "n c q q"]:
    return interpolate(x, scale_factor=2, mode="nearest")
