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


def test_depth_has_no_influence_before_training_and_some_afterwards() -> None:
    torch.manual_seed(0)
    inputs = head_inputs(16, 6)
    blind = ConvHead(ConvConfig(width=8, deep=16), 16, 6)
    reader = ConvHead(ConvConfig(width=8, deep=16, depth=True), 16, 6)
    assert reader.reads_depth and not blind.reads_depth
    for parameter in blind.leave.parameters():
        torch.nn.init.normal_(parameter)
    reader.load_state_dict({**reader.state_dict(), **blind.state_dict()})
    assert torch.equal(blind(inputs), reader(inputs))
    torch.nn.init.normal_(reader.extra.weight)
    assert not torch.allclose(blind(inputs), reader(inputs), atol=1e-2)
