"""The convolutional head."""

from __future__ import annotations

import torch

from tests.models.helpers import (
    MODEL,
    random_crops,
)
from vidamodal.heads.conv import ConvConfig
from vidamodal.models.amodal import AmodalModel


def test_the_conv_head_starts_as_a_copy_of_the_coarse_mask() -> None:
    torch.manual_seed(0)
    fresh = AmodalModel(MODEL, ConvConfig(width=8, deep=16)).eval()
    output = fresh(random_crops(1, 3))
    assert torch.equal(output.refined, output.coarse)
