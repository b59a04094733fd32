"""Stages and model families."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.helpers import MODEL, STAGE, logged, simple_batch, tiny_config
from vidamodal.data.clips import TrainingBatch
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.training import stages
from vidamodal.training.family import Family
from vidamodal.training.losses import LossConfig
from vidamodal.training.run import train
from vidamodal.training.stage import find_stage
from vidamodal.training.stages.amodal import AmodalStage
from vidamodal.types import InputError


def test_most_samples_have_all_codes_masked_and_the_others_at_least_half() -> None:
    config = replace(MODEL, tokenizer=replace(MODEL.tokenizer, crop=64))
    stage = AmodalStage(AmodalModel(config), LossConfig())
    batch = batch_of(2000)
    masked = stage._mask_codes(batch, range(50))
    anchored = ~masked.any(dim=(2, 3))
    pattern = masked.any(dim=1)  # one answer for all frames without an anchor
    assert torch.equal(masked, pattern[:, None] & ~anchored[:, :, None, None])
    share = pattern.float().mean(dim=(1, 2))
    assert 0.8 < (share == 1).float().mean() < 0.9
    assert share.min() > 0.35 and 0.7 < share[share < 1].mean() < 0.8
    one = stage._mask_codes(batch_of(40), [7])
    assert torch.equal(one, masked[7 * 40 : 8 * 40])  # each clip's own, whoever it is trained with


def batch_of(tracks: int) -> TrainingBatch:
    """Return a simple batch of more tracks, of which the last frame is padding."""
    batch = simple_batch(tracks=tracks)
    batch.crops.valid[:, 2] = False
    return batch


def test_some_tracks_have_anchors_in_one_or_two_usable_frames() -> None:
    config = replace(MODEL, tokenizer=replace(MODEL.tokenizer, crop=64))
    stage, batch = AmodalStage(AmodalModel(config), LossConfig()), batch_of(2000)
    batch.annotated[:500, 0] = 0
    anchored = ~stage._mask_codes(batch, range(50)).any(dim=(2, 3))
    count = anchored.sum(dim=1)
    assert not anchored[:, 2].any() and not anchored[:500, 0].any()  # padding, and frames without ground truth
    assert 0.25 < (count > 0).float().mean() < 0.35
    assert 0.35 < (count[500:][count[500:] > 0] == 2).float().mean() < 0.65


FAMILY = """
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.training.family import MaskFamily
from vidamodal.training.stages.amodal import AmodalStage


@dataclass(frozen=True)
class ToyFamily(MaskFamily):
    ID = "toy"
    family: Literal["toy"] = "toy"
    network: ModelConfig = field(default_factory=ModelConfig)

    def new_model(self, _config):
        return AmodalModel(self.network)


class ToyStage(AmodalStage):
    ID = "toy"
    families = ("toy",)
    name = "toy"
"""


def test_a_new_family_and_stage_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(FAMILY)
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "vidamodal.training.stages.toy", raising=False)
    stage = replace(STAGE, kind="toy", steps=1)
    family = Family.variant("toy")(network=MODEL)
    folder = train(replace(tiny_config(tmp_path / "run"), model=family, stages=(stage,)), quiet=True)
    assert load_model(str(folder)).model.config == MODEL
    assert [line["stage"] for line in logged(tmp_path / "run")] == ["toy"]


@pytest.mark.parametrize(("kind", "family"), [("nosuch", "amodal"), ("vqgan", "amodal"), ("tokenizer", "head")])
def test_a_stage_of_another_family_is_refused(kind: str, family: str) -> None:
    with pytest.raises(InputError, match=f"the family '{family}' has no stage '{kind}'"):
        find_stage(kind, family)
