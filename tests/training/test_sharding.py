"""The moving average of the weights."""

from __future__ import annotations

import torch

from tests.training.helpers import MODEL
from vidamodal.models.amodal import AmodalModel
from vidamodal.training.sharding import Average


def test_the_average_follows_the_weights_and_copies_the_codebook() -> None:
    average, model = AmodalModel(MODEL), AmodalModel(MODEL)
    before = {k: v.clone() for k, v in average.state_dict().items()}
    model.tokenizer.codebook.normal_()
    kept = Average(average, model)
    kept.update(0.75)
    after, new = kept.gather().state_dict(), model.state_dict()
    buffers = {name for name, _ in model.named_buffers()}
    for name, value in after.items():
        wanted = new[name] if name in buffers else 0.75 * before[name] + 0.25 * new[name]
        torch.testing.assert_close(value, wanted)
    assert any("embed" in name for name in buffers)
