"""Models that start from the weights of a smaller one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import TINY_TRANSFORMER, small_reader
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import save_model
from vidamodal.training.family import load_initial_weights
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


def test_new_blocks_do_not_change_the_output_at_first(tmp_path: Path) -> None:
    small, batch = small_reader(), TrainingClips(
        toy_bank(0), 0, 1, 1, ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=48, frames=4)),
        View(WindowConfig(), 16, pixels=True, order=True),
    )[0]  # fmt: skip
    save_model(tmp_path / "small", small, {}, "")
    grown = AmodalModel(replace(small.config, transformer=replace(TINY_TRANSFORMER, depth=4, order=True, image=True)))
    load_initial_weights(grown, str(tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(small(batch.crops).refined, grown.eval()(batch.crops).refined)
    for name, value in small.state_dict().items():
        assert torch.equal(value, grown.state_dict()[name])
    other = AmodalModel(replace(small.config, transformer=replace(TINY_TRANSFORMER, width=32)))
    with pytest.raises(InputError, match="has shape"):
        load_initial_weights(other, str(tmp_path / "small"))
