"""The VQ mask tokenizer: masks to a grid of codes and back (C2F-Seg, section 3.2, Eqs. 1-3).

As published: encoder, nearest code (Eq. 1), decoder (Eq. 2), 256 codes on a 16 x 16 grid. Not as published: the
VQ-GAN's architecture and its adversarial and perceptual losses, which take 71 % of the reference's compute for binary
masks; this codec folds each 4 x 4 patch into channels first and learns with BCE + Dice and an EMA codebook.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class TokenizerConfig:
    """Configuration of the tokenizer: a window of `crop` cells becomes (crop / patch)² tokens with `codes` values."""

    crop: int = 64
    patch: int = 4
    width: int = 48
    dim: int = 32
    codes: int = 256

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.crop // self.patch


class Codec(nn.Module, ABC):
    """Masks to a grid of codes and back, for any networks on either side of the codebook."""

    @property
    @abstractmethod
    def codebook(self) -> Float[Tensor, "codes dim"]:
        """The embeddings of the codes."""

    def prepare_training(self) -> None:
        """Add what only training needs. It must be called before the codec learns, and changes no weights."""

    @abstractmethod
    def latent(self, masks: Float[Tensor, "n s s"]) -> Float[Tensor, "n dim g g"]:
        """Return the encoder's output, before quantisation."""

    @abstractmethod
    def images(self, latent: Float[Tensor, "n g g dim"]) -> Float[Tensor, "n s s"]:
        """Decode embeddings to the logits of masks."""

    @torch.no_grad()
    def encode(self, masks: Float[Tensor, "n s s"]) -> Int[Tensor, "n g g"]:
        """Return the codes of masks (Eq. 1). The codebook is not updated.

        This is always computed in fp32: with bf16 the choice between near codes would depend on rounding, and the
        transformer, which embeds the codes, would have different inputs on different processors.
        """
        with torch.autocast(masks.device.type, enabled=False):
            latent = rearrange(self.latent(masks), "n c g h -> n g h c")
            book = self.codebook
            # argmin |z - e|^2 = argmax z.e - |e|^2 / 2
            return (latent @ book.T - 0.5 * book.square().sum(dim=1)).argmax(dim=-1)

    def decode(self, codes: Int[Tensor, "n g g"]) -> Float[Tensor, "n s s"]:
        """Return the logits of the masks that codes represent (Eqs. 2 and 7)."""
        return self.images(self.codebook[codes])

    def decode_soft(self, logits: Float[Tensor, "n g g codes"]) -> Float[Tensor, "n s s"]:
        """Return the logits of Eq. 7 for the expected embedding, softmax(logits) x codebook.

        Gradients of mask losses reach the logits of the codes.
        """
        return self.images(logits.float().softmax(dim=-1) @ self.codebook)


class StoredCodebook(nn.Module):
    """The state of a `VectorQuantize`, which is enough to encode and decode.

    Importing vector_quantize_pytorch takes longer than importing torch, so that only training does.
    """

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        state = self._codebook = nn.Module()
        state.register_buffer("initted", torch.tensor(False))
        state.register_buffer("cluster_size", torch.ones(1, codes))
        state.register_buffer("embed_avg", torch.zeros(1, codes, dim))
        state.register_buffer("embed", torch.zeros(1, codes, dim))

    @property
    def codebook(self) -> Float[Tensor, "codes dim"]:
        """The embeddings of the codes."""
        return self._codebook.get_buffer("embed")[0]


class MaskTokenizer(Codec):
    """Masks (n, s, s) in [0, 1] to codes (n, g, g) and back to logits."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        cells, width = config.patch**2, config.width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(config.patch), nn.Conv2d(cells, width, 3, padding=1), nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, config.dim, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(config.dim, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU(),
            nn.Conv2d(width, cells, 3, padding=1), nn.PixelShuffle(config.patch),
        )  # fmt: skip
        self.quantiser: nn.Module = StoredCodebook(config.codes, config.dim)

    def prepare_training(self) -> None:
        """Let the quantiser learn: an EMA updates its codebook."""
        if not isinstance(self.quantiser, StoredCodebook):
            return
        from vector_quantize_pytorch import VectorQuantize  # see StoredCodebook

        learner = VectorQuantize(
            dim=self.config.dim, codebook_size=self.config.codes, accept_image_fmap=True, decay=0.99,
            commitment_weight=0.25, kmeans_init=True, threshold_ema_dead_code=2,
        )  # fmt: skip
        learner.load_state_dict(self.quantiser.state_dict())
        self.quantiser = learner.to(self.codebook.device).train(self.training)

    @property
    def codebook(self) -> Float[Tensor, "codes dim"]:
        """The embeddings of the codes."""
        return cast(Tensor, self.quantiser.codebook)

    def forward(
        self, masks: Float[Tensor, "n s s"], last: bool = True
    ) -> tuple[Float[Tensor, "n s s"], Int[Tensor, "n g g"], Tensor]:
        """Return the logits of the reconstruction, the codes and the commitment loss, after `prepare_training`.

        In training mode, an EMA updates the codebook after the ``last`` batch of a step, from all its batches.
        """
        with torch.autocast(masks.device.type, enabled=False):  # see encode
            latent = self.latent(masks)
            quantised, codes, commitment = self.quantiser(latent, accum_ema_update=not last)
        return self.decoder(quantised)[:, 0].float(), codes, commitment.sum()

    def latent(self, masks: Float[Tensor, "n s s"]) -> Float[Tensor, "n dim g g"]:
        """Return the encoder's output, before quantisation."""
        encoded: Tensor = self.encoder(masks[:, None].float())
        return encoded

    def images(self, latent: Float[Tensor, "n g g dim"]) -> Float[Tensor, "n s s"]:
        """Decode embeddings to the logits of masks."""
        logits: Tensor = self.decoder(rearrange(latent, "n g h c -> n c g h"))
        return logits[:, 0].float()
