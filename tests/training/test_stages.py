"""Stages and model families."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.helpers import MODEL, STAGE, logged, simple_batch, tiny_config
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
    batch = replace(simple_batch(), counted=torch.ones(2000, 3))
    masked = stage._mask_codes(batch, range(50))
    share = masked.float().mean(dim=(1, 2))
    assert masked.shape == (2000, 16, 16)  # one answer for all frames
    assert 0.8 < (share == 1).float().mean() < 0.9
    assert share.min() > 0.35 and 0.7 < share[share < 1].mean() < 0.8
    one = stage._mask_codes(replace(batch, counted=torch.ones(40, 3)), [7])
    assert torch.equal(one, masked[7 * 40 : 8 * 40])  # each clip's own, whoever it is trained with


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
