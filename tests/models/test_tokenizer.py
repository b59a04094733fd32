"""The mask tokenizer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.models.helpers import (
    CODEC,
    model,
    seeded,
)
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig


def discs(count: int, seed: int, side: int = CODEC.crop) -> Tensor:
    """Masks of a disc each, of random place and size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.uniform(0.2 * side, 0.8 * side, (2, count, 1, 1))
    radius = rng.uniform(0.15 * side, 0.4 * side, (count, 1, 1))
    return torch.from_numpy(np.hypot(y - cy, x - cx) < radius).float()


def test_the_tokenizer_learns_to_reconstruct_masks() -> None:
    torch.manual_seed(0)
    tokenizer = MaskTokenizer(TokenizerConfig(crop=16, width=24, dim=8, codes=64)).train()
    tokenizer.prepare_training()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    for step in range(150):
        masks = discs(24, step)
        logits, _, commitment = tokenizer(masks)
        (binary_cross_entropy_with_logits(logits, masks) + commitment).backward()
        optimizer.step()
        optimizer.zero_grad()
    truth = discs(50, 10**6) > 0.5
    tokenizer.eval()
    seen = tokenizer.decode(tokenizer.encode(truth.float())) > 0
    iou = (seen & truth).sum((1, 2)) / (seen | truth).sum((1, 2))
    assert iou.mean() > 0.85
    assert tokenizer.encode(truth.float()).unique().numel() > 8


def test_encode_gives_the_quantisers_own_nearest_codes() -> None:
    tokenizer = model().tokenizer
    tokenizer.prepare_training()
    masks = discs(20, 0)
    latent = tokenizer.encoder(masks[:, None])
    quantised, expected, _ = tokenizer.quantiser(latent)
    assert expected.unique().numel() > 4
    torch.testing.assert_close(tokenizer.encode(masks), expected)
    torch.testing.assert_close(tokenizer.decode(expected), tokenizer.decoder(quantised)[:, 0])


def test_forward_decodes_the_codes_it_returns() -> None:
    tokenizer = model().tokenizer
    tokenizer.prepare_training()
    masks = discs(10, 0)
    logits, found, _ = tokenizer(masks)
    torch.testing.assert_close(found, tokenizer.encode(masks))
    torch.testing.assert_close(logits, tokenizer.decode(found))


def test_encoding_leaves_the_codebook_alone() -> None:
    tokenizer = model().tokenizer.train()
    before = {k: v.clone() for k, v in tokenizer.state_dict().items()}
    tokenizer.encode(discs(10, 0))
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_soft_decoding_of_certain_codes_is_decoding() -> None:
    tokenizer = model().tokenizer
    found = torch.randint(0, CODEC.codes, (5, CODEC.grid, CODEC.grid), generator=seeded(0))
    sure = 50.0 * nn.functional.one_hot(found, CODEC.codes).float()
    torch.testing.assert_close(tokenizer.decode_soft(sure), tokenizer.decode(found))
    assert not torch.allclose(tokenizer.decode_soft(sure / 50), tokenizer.decode(found), atol=0.01)


def test_mask_losses_reach_the_logits_through_soft_decoding() -> None:
    tokenizer = model().tokenizer
    logits = torch.zeros(2, CODEC.grid, CODEC.grid, CODEC.codes, requires_grad=True)
    binary_cross_entropy_with_logits(tokenizer.decode_soft(logits), discs(2, 0)).backward()
    assert logits.grad is not None and (logits.grad.abs().sum(-1) > 0).all()
