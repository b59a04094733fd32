"""The VQ-GAN mask tokenizer of C2F-Seg (section 3.2, Eqs. 1 and 2; appendix A.1), for the faithful preset.

As published: convolutional encoder and decoder without attention, 256 learned codes, straight-through gradients, a
patch discriminator. ``variant`` chooses where paper and released code differ (see `VqGan`). Not as published: the
paper's perceptual loss compares features of a VGG network trained on photographs; here it compares features of the
discriminator (feature matching), which needs no external weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vidamodal.models.tokenizer import Codec

Variant = Literal["released", "paper"]
"""Which to follow where they differ: the released code or the printed paper."""
DECODED_AT_ONCE = 8
"""Masks that are decoded at once: the decoder's maps need much memory."""


@dataclass(frozen=True)
class VqGanConfig:
    """Sizes of the VQ-GAN; every multiplier after the first halves the resolution."""

    crop: int = 256
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    """Channels of each level, as multiples of ``width``."""
    blocks: int = 2
    """Residual blocks a level; the decoder has one more."""
    dim: int = 256
    codes: int = 256
    beta: float = 0.25
    """Weight of one of the quantiser's two terms."""
    critic: int = 64
    """Channels of the discriminator's first layer."""

    @property
    def patch(self) -> int:
        """Cells per side of a token."""
        return 1 << (len(self.multipliers) - 1)

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.crop // self.patch


@dataclass(frozen=True)
class Reconstruction:
    """A reconstruction of n masks, with gradients."""

    image: Float[Tensor, "n 1 s s"]
    """The decoder's output, which should be 0 or 1 and is not clamped."""
    codes: Int[Tensor, "n g g"]
    quantisation: Float[Tensor, " n"]
    """The last two terms of L_VQ for each mask."""


class VqGan(Codec):
    """Masks (n, s, s) in [0, 1] to codes (n, g, g) and back to logits.

    The decoder's output, clamped to [0, 1], is a probability, and `decode` returns its logits. The variant "paper"
    multiplies the commitment term of the quantiser by beta, "released" the codebook term.
    """

    def __init__(self, config: VqGanConfig, variant: Variant = "released") -> None:
        from vector_quantize_pytorch import VectorQuantize  # see `vidamodal.models.tokenizer.StoredCodebook`

        super().__init__()
        self.config, self.variant = config, variant
        self.encoder, self.decoder = _encoder(config), _decoder(config)
        self.before, self.after = nn.Conv2d(config.dim, config.dim, 1), nn.Conv2d(config.dim, config.dim, 1)
        self.quantiser = VectorQuantize(
            dim=config.dim, codebook_size=config.codes, accept_image_fmap=True, ema_update=False,
            learnable_codebook=True, rotation_trick=False, commitment_weight=0.0,
        )  # fmt: skip
        nn.init.uniform_(self.quantiser._codebook.embed, -1 / config.codes, 1 / config.codes)
        self.discriminator = Discriminator(config.critic)

    @property
    def codebook(self) -> Float[Tensor, "codes dim"]:
        """The embeddings of the codes."""
        embeddings: Tensor = self.quantiser.codebook
        return embeddings

    @property
    def last_layer(self) -> Tensor:
        """The weights whose gradients give the adaptive weight of the adversarial loss."""
        return cast(nn.Conv2d, self.decoder[-1]).weight

    def reconstruct(self, masks: Float[Tensor, "n s s"]) -> Reconstruction:
        """Return the reconstruction of masks (Eqs. 1 and 2), with gradients."""
        with torch.autocast(masks.device.type, enabled=False):  # see encode
            latent = self._latent(masks)
            quantised, codes, _ = self.quantiser(latent)
            # The library's term pulls code and latent equally; here each has its weight.
            chosen = rearrange(self.codebook[codes], "n g h c -> n c g h")
            codebook = (chosen - latent.detach()).square().mean(dim=(1, 2, 3))
            commitment = (chosen.detach() - latent).square().mean(dim=(1, 2, 3))
        beta = self.config.beta
        terms = codebook + beta * commitment if self.variant == "paper" else commitment + beta * codebook
        return Reconstruction(self.decoder(self.after(quantised)).float(), codes, terms)

    def latent(self, masks: Float[Tensor, "n s s"]) -> Float[Tensor, "n dim g g"]:
        """Return the encoder's output, before quantisation."""
        return torch.cat([self._latent(part) for part in torch.split(masks, DECODED_AT_ONCE)])

    def images(self, latent: Float[Tensor, "n g g dim"]) -> Float[Tensor, "n s s"]:
        """Decode embeddings to the logits of masks."""
        latent = rearrange(latent, "n g h c -> n c g h")
        images = [self.decoder(self.after(part))[:, 0].float() for part in torch.split(latent, DECODED_AT_ONCE)]
        return _logits(torch.cat(images))

    def _latent(self, masks: Float[Tensor, "n s s"]) -> Float[Tensor, "n dim g g"]:
        latent: Tensor = self.before(self.encoder(masks[:, None].float()))
        return latent


class Discriminator(nn.Module):
    """Scores patches, higher for real masks (PatchGAN with two inner layers), and returns its features."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [1, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList()
        for k, (before, after) in enumerate(pairwise(channels)):
            norm = nn.BatchNorm2d(after) if k else nn.Identity()
            convolution = nn.Conv2d(before, after, 4, stride=1 if k == 2 else 2, padding=1, bias=not k)
            self.layers.append(nn.Sequential(convolution, norm, nn.LeakyReLU(0.2)))
        self.score = nn.Conv2d(channels[-1], 1, 4, padding=1)

    def forward(self, images: Float[Tensor, "n 1 s s"]) -> tuple[Float[Tensor, "n 1 p p"], list[Tensor]]:
        """Return the scores of patches and the features of each layer."""
        features, x = [], images
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return self.score(x), features


class ResidualBlock(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _norm(before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1),
            _norm(after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Float[Tensor, "n c s s"]) -> Float[Tensor, "n d s s"]:
        """Apply the block."""
        residual: Tensor = self.body(x)
        return cast(Tensor, self.shortcut(x)) + residual


def _encoder(config: VqGanConfig) -> nn.Sequential:
    widths = [config.width * m for m in config.multipliers]
    layers: list[nn.Module] = [nn.Conv2d(1, config.width, 3, padding=1)]
    for level, width in enumerate(widths):
        if level:  # halve the resolution; the padding is on one side only
            layers += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(widths[level - 1], widths[level - 1], 3, stride=2)]
        before = widths[max(level - 1, 0)]
        layers += [ResidualBlock(before if not k else width, width) for k in range(config.blocks)]
    layers += [ResidualBlock(width, width), ResidualBlock(width, width)]
    return nn.Sequential(*layers, _norm(width), nn.SiLU(), nn.Conv2d(width, config.dim, 3, padding=1))


def _decoder(config: VqGanConfig) -> nn.Sequential:
    widths = [config.width * m for m in config.multipliers][::-1]
    layers: list[nn.Module] = [nn.Conv2d(config.dim, widths[0], 3, padding=1)]
    layers += [ResidualBlock(widths[0], widths[0]), ResidualBlock(widths[0], widths[0])]
    for level, width in enumerate(widths):
        before = widths[max(level - 1, 0)]
        if level:  # double the resolution
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(before, before, 3, padding=1)]
        layers += [ResidualBlock(before if not k else width, width) for k in range(config.blocks + 1)]
    return nn.Sequential(*layers, _norm(width), nn.SiLU(), nn.Conv2d(width, 1, 3, padding=1))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


def _logits(image: Float[Tensor, "n s s"]) -> Float[Tensor, "n s s"]:
    """Return the logits of an output that is a probability, clamped so that they are finite."""
    return torch.logit(image, eps=1e-5)
