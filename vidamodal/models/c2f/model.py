"""C2F-Seg (Gao et al., ICCV 2023), the control that this project is compared with, as faithful as possible.

Section 3 and appendix A of the paper; `C2FConfig.variant` chooses where the released code differs. Known differences
from both: biases and norms are trained (the released optimiser omits 127 tensors), gradients are synchronised over
processes, attention has no dropout on its weights, and ResNet-50 has no unused classifier. There is no time embedding:
with a window over the whole clip the model ignores the order of frames, and the roll changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vidamodal.backbones.resnet import Backbone, BackboneConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.models.amodal import AmodalOutput, gumbel_noise
from vidamodal.models.c2f.c2f_transformer import C2FTransformer, C2FTransformerConfig
from vidamodal.models.c2f.refiner import Refined, Refiner
from vidamodal.models.c2f.vqgan import Variant, VqGan, VqGanConfig
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig


@dataclass(frozen=True)
class C2FConfig:
    """Configuration of C2F-Seg, as in config.json.

    ``variant`` chooses where paper and released code differ:

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
    """The VQ-GAN, or the tokenizer of this project."""
    vqgan: VqGanConfig = field(default_factory=VqGanConfig)
    light: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(crop=128, patch=8))
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    transformer: C2FTransformerConfig = field(default_factory=C2FTransformerConfig)
    refine: bool = True
    """False: the coarse mask is the result ("w/o refine", Table 3)."""
    refiner: int = 256
    """Channels at the beginning of the refinement."""
    attention: bool = True
    """False: refinement without Eq. 8 ("w/o attn", Table B.3)."""
    steps: int = 3
    """Rounds of the iterative decoding (K)."""
    greedy: bool = False
    """Decode the most probable codes instead of sampling."""
    windows: WindowConfig = field(default_factory=lambda: WindowConfig(mode="boxes", passes=1))
    chunk: int = 24
    """Frames that are predicted together; see `vidamodal.models.amodal.ModelConfig` for this and what follows."""
    overlap: int = 12
    threshold: float = 0.5
    temperature: float = 1.0
    partial: PartialDecision = field(default_factory=PartialDecision)
    presence_threshold: float = 0.5
    mirror: bool = False

    @property
    def tokenizer(self) -> VqGanConfig | TokenizerConfig:
        """Configuration of the chosen codec, which has crop, grid, patch and number of codes."""
        return self.vqgan if self.codec == "vqgan" else self.light

    @property
    def head(self) -> str:
        """The id reported where other models have a head: the refinement is part of this model."""
        return "c2f"


class C2F(nn.Module):
    """Completes the visible masks of tracks: pixels and visible masks in, amodal masks of the same tracks out."""

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
        attention = config.variant if config.attention else "none"
        self.refiner = Refiner(config.refiner, widths, attention) if config.refine else None

    @property
    def view(self) -> View:
        """The windows and input channels of the model."""
        return View(self.config.windows, self.config.tokenizer.crop, pixels=True)

    takes_anchors = False
    """This model does not complete tracks from true masks of some of their frames."""

    @property
    def stochastic(self) -> bool:
        """True if the prediction is sampled."""
        return not self.config.greedy

    def forward(self, crops: TrackCrops) -> AmodalOutput:
        """Return the prediction with a fixed seed."""
        return self.complete(crops, torch.Generator().manual_seed(0))

    def complete(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        """Return the prediction, decoded in ``config.steps`` rounds."""
        return self.sample(crops, self.config.steps, generator)

    @torch.no_grad()
    def sample(self, crops: TrackCrops, steps: int, generator: torch.Generator) -> AmodalOutput:
        """Return codes decoded in ``steps`` rounds (A.2), the coarse mask (Eq. 7) and the refined one (Eqs. 8, 9)."""
        maps = self.image_maps(crops)
        logits, codes = self._decode(maps[-1], self.encode(crops.visible), crops.valid, steps, generator)
        coarse = self.tokenizer.decode(rearrange(codes, "b t g h -> (b t) g h"))
        final = coarse if self.refiner is None else self._final(coarse, self.refiner(maps, torch.sigmoid(coarse)))
        coarse, final = (rearrange(x, "(b t) s r -> b t s r", b=len(codes)) for x in (coarse, final))
        return AmodalOutput(logits, coarse, final)

    def image_maps(self, crops: TrackCrops) -> tuple[Float[Tensor, "bt c g g"], ...]:
        """Return the backbone's four maps of the crops' pixels (Eq. 4).

        Raises:
            InputError: If the crops have no pixels.
        """
        if crops.image.shape[2] != 3:
            raise InputError("C2F-Seg reads pixels, but the input has only masks. Pass the video.")
        maps: tuple[Tensor, ...] = self.backbone(rearrange(crops.image, "b t c s r -> (b t) c s r"))
        return maps

    def encode(self, masks: Float[Tensor, "b t s s"]) -> Int[Tensor, "b t g g"]:
        """Return the codes of the masks of tracks (Eq. 1)."""
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
        """Decode iteratively (A.2): each round samples all codes and masks the least confident ones again."""
        amodal = torch.full_like(visible, self.mask_code)
        for step in range(steps):
            logits = self.transformer(image, visible, amodal, valid)[..., : self.mask_code].float()
            codes, amodal = self._decode_round(logits, amodal, 1 - (step + 1) / steps, generator)
        return logits, codes

    def _decode_round(
        self,
        logits: Float[Tensor, "b t g g codes"],
        amodal: Int[Tensor, "b t g g"],
        remaining: float,
        generator: torch.Generator,
    ) -> tuple[Int[Tensor, "b t g g"], Int[Tensor, "b t g g"]]:
        """Return the codes after a round, and the same with the least confident ones masked.

        The cosine schedule gives their number from the share of rounds that remain; earlier codes stay.
        """
        released, greedy = self.config.variant == "released", self.config.greedy
        sampled = sample_codes(logits, 1 if greedy else 3 if released else self.mask_code, generator)
        confidence = logits.log_softmax(dim=-1).gather(-1, sampled[..., None])[..., 0]
        if released and not greedy:
            confidence = confidence + 4.5 * remaining * gumbel_noise(confidence.shape, generator).to(confidence.device)
        is_open = amodal == self.mask_code
        codes = torch.where(is_open, sampled, amodal)
        confidence = rearrange(confidence.masked_fill(~is_open, torch.inf), "b t g h -> b t (g h)")
        rank = confidence.argsort(dim=-1, stable=True).argsort(dim=-1).view_as(codes)
        masked = math.floor(codes.shape[-1] ** 2 * math.sin(math.pi / 2 * remaining))
        return codes, torch.where(rank < masked, self.mask_code, codes)

    def _final(self, coarse: Float[Tensor, "n s s"], refined: Refined) -> Float[Tensor, "n s s"]:
        if self.config.variant == "paper":
            return refined.amodal
        both = torch.sigmoid(refined.amodal) + torch.sigmoid(coarse)
        return torch.logit(both, eps=1e-5)


def sample_codes(logits: Float[Tensor, "*n codes"], top: int, generator: torch.Generator) -> Int[Tensor, "*n"]:
    """Sample one of the ``top`` most probable codes at each position (Gumbel-max)."""
    best, codes = logits.topk(top, dim=-1)
    if top > 1:
        best = best + gumbel_noise(best.shape, generator).to(best.device)
    return codes.gather(-1, best.argmax(dim=-1, keepdim=True))[..., 0]
