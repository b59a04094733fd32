"""Switches that turn parts of the transformer off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.helpers import small_reader
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, False),
        ({"temporal": False}, True),
        ({"tokens": False}, False),
        ({"tokens": False, "temporal": False}, True),
    ],
)
def test_without_temporal_attention_frames_are_independent(changes: dict[str, bool], same: bool) -> None:
    made = small_reader(**changes)
    data = TrainingClips(
        toy_bank(1), 0, 1, 1, ClipConfig(2, 4, 0.0, world=WorldConfig(size=48, frames=4)), View(WindowConfig(), 16)
    )
    crops = data[0].crops
    other = replace(crops, visible=crops.visible.clone())
    other.visible[:, 3] = 1 - other.visible[:, 3]
    with torch.no_grad():
        one, two = made(crops), made(other)
    assert (one.codes is None) == (not made.config.transformer.tokens)
    assert torch.equal(one.refined[:, :3], two.refined[:, :3]) == same
    assert not torch.equal(one.refined[:, 3], two.refined[:, 3])
    if one.codes is None:
        with pytest.raises(InputError, match="tokens is false"):
            made.sample(crops, 2, torch.Generator())
