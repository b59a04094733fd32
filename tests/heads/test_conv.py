"""The convolutional head."""

from __future__ import annotations

import torch

from tests.helpers import head_inputs
from vidamodal.heads.conv import ConvConfig, ConvHead


def test_the_untrained_head_returns_the_coarse_mask() -> None:
    torch.manual_seed(0)
    for channels in (0, 6):
        inputs = head_inputs(16, channels)
        assert torch.equal(ConvHead(ConvConfig(width=8, deep=16), 16, channels)(inputs), inputs.coarse)
