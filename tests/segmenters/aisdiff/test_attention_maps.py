"""Recording of attention, and shape priors from its maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from tests.segmenters.aisdiff.helpers import (
    LABELS,
)
from vidamodal.segmenters.aisdiff.attention_maps import AttentionMaps, recording
from vidamodal.segmenters.aisdiff.diffsp import DiffSP
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig


@pytest.mark.parametrize("grid", [16, 8])  # with 8, one layer's self-attention is too fine to be recorded
@pytest.mark.parametrize("theirs", [AttnProcessor, AttnProcessor2_0])
def test_recording_does_not_change_the_output(theirs: type, grid: int) -> None:
    torch.manual_seed(0)
    model = DiffSP(PriorConfig(), LABELS).eval().own
    assert model is not None
    tokens, _ = model.encode(torch.tensor([0, 2, -1]), LABELS)
    x = torch.randn(3, 7, 32, 32)
    maps = AttentionMaps(grid)
    with torch.no_grad():
        with recording(model.recorders, maps):
            ours = model.unet(x, 500, tokens).sample
        model.unet.set_attn_processor(theirs())
        assert (ours - model.unet(x, 500, tokens).sample).abs().max() < 1e-4
    assert set(maps.cross) == {16, 8} and set(maps.self_attention) == {16, 8} - {16 if grid == 8 else 0}
    for kind in (maps.cross, maps.self_attention):
        for total, count in kind.values():
            torch.testing.assert_close(total.sum(dim=-1), torch.full(total.shape[:2], float(count)))


def test_the_prior_is_a_power_of_self_attention_times_cross_attention() -> None:
    torch.manual_seed(0)
    maps = AttentionMaps(4)
    own, cross = ((9 * torch.rand(2, 16, k)).softmax(dim=-1) for k in (16, 2))
    for weight in (0.5, 1.5):  # two steps
        maps.add(weight * own, is_cross=False)
        maps.add(weight * cross, is_cross=True)
    found = maps.prior(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), power=3)
    for k, token in enumerate((1, 0)):
        expected = np.linalg.matrix_power(own[k].double().numpy(), 3) @ cross[k, :, token].double().numpy()
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        np.testing.assert_allclose(found[k].flatten().numpy(), expected, atol=1e-4)


def test_coarser_maps_are_resized_to_the_grid() -> None:
    coarse = torch.zeros(1, 4, 4)
    coarse[0, :, 0] = 1  # all cells attend to the top left one
    maps = AttentionMaps(4)
    maps.add(coarse, is_cross=False)
    maps.add(coarse[..., :2], is_cross=True)
    assert not maps.accepts(64, is_cross=False) and maps.accepts(64, is_cross=True)  # finer than the grid
    fine = maps.prior(torch.tensor([[1.0, 0.0]]), 1)
    assert fine.shape == (1, 4, 4) and set(maps.self_attention) == {2} and torch.isfinite(fine).all()
