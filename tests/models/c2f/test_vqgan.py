"""The VQ-GAN codec of C2F-Seg."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch import nn

from tests.models.c2f.helpers import CODES, VQGAN, model, random_batch, random_weights
from vidamodal.models.c2f.vqgan import Variant, VqGan

pytest.importorskip("transformers")


def test_the_codec_encodes_to_the_nearest_codes_and_decodes_them() -> None:
    codec = model().tokenizer
    assert isinstance(codec, VqGan)
    masks = random_batch(4, 5).amodal.flatten(0, 1)
    latent = codec._latent(masks)
    distances = (rearrange(latent, "n c g h -> n g h 1 c") - codec.codebook).square().sum(dim=-1)
    codes = codec.encode(masks)
    assert codes.shape == (20, 4, 4) and codes.unique().numel() > 3
    assert torch.equal(codes, distances.argmin(dim=-1))
    made = codec.reconstruct(masks)
    assert torch.equal(made.codes, codes)
    torch.testing.assert_close(
        torch.sigmoid(codec.decode(codes)), made.image[:, 0].clamp(1e-5, 1 - 1e-5), atol=1e-5, rtol=0
    )
    sure = 60.0 * nn.functional.one_hot(codes, CODES)
    torch.testing.assert_close(codec.decode_soft(sure), codec.decode(codes), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_each_term_of_the_quantiser_has_its_weight(variant: Variant) -> None:
    codec = VqGan(VQGAN, variant).train()
    random_weights(codec)
    masks = random_batch().amodal.flatten(0, 1)
    codec.reconstruct(masks).quantisation.sum().backward()
    latent, codes = codec._latent(masks).detach(), codec.encode(masks)
    latent = rearrange(latent, "n c g h -> n g h c").requires_grad_(True)
    book = codec.codebook.detach().requires_grad_(True)
    ((book[codes] - latent).square().sum() / (VQGAN.dim * VQGAN.grid**2)).backward()
    assert latent.grad is not None and book.grad is not None
    to_code, to_latent = (1.0, 0.25) if variant == "paper" else (0.25, 1.0)
    gradient = codec.quantiser._codebook.embed.grad
    assert isinstance(gradient, torch.Tensor)
    torch.testing.assert_close(gradient[0], to_code * book.grad)
    # The latent's share arrives at the bias of the layer that makes it.
    assert codec.before.bias is not None and codec.before.bias.grad is not None
    expected = to_latent * latent.grad.sum(dim=(0, 1, 2))
    torch.testing.assert_close(codec.before.bias.grad, expected, rtol=1e-4, atol=1e-6)


def test_gradients_pass_straight_through_the_codes() -> None:
    codec = VqGan(VQGAN).train()
    codec.reconstruct(random_batch().amodal.flatten(0, 1)).image.square().sum().backward()
    first = next(codec.encoder.parameters())
    assert first.grad is not None and first.grad.any()
    assert codec.quantiser._codebook.embed.grad is None
