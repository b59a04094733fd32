"""The registry of heads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vidamodal.heads
from tests.helpers import head_inputs
from tests.segmenters.test_base import drop_in
from vidamodal.heads.base import find_head, head_ids
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.types import InputError

TOY_HEAD = """
from dataclasses import dataclass
from vidamodal.heads.base import FramewiseHead

@dataclass(frozen=True)
class ShiftConfig:
    shift: float = 7.0

class ShiftHead(FramewiseHead):
    ID = "shift"
    config_class = ShiftConfig

    def __init__(self, config, crop, channels):
        super().__init__(config, crop, channels)
        self.shift = config.shift

    def forward(self, inputs):
        return inputs.coarse + self.shift
"""


def test_bundled_heads() -> None:
    assert head_ids() == ["aisdiff", "coarse", "conddiff", "conv", "cumulative"]
    assert all(identity == find_head(identity).ID for identity in head_ids())


def test_a_head_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_in(monkeypatch, vidamodal.heads, tmp_path, "any_name", TOY_HEAD)
    assert "shift" in head_ids()
    crops = head_inputs(16).crops
    output = FramewiseModel(FramewiseConfig(head="shift", crop=16))(crops)
    torch.testing.assert_close(output.refined, output.coarse + 7)


@pytest.mark.parametrize("name", ["nosuch", "base", "../conv"])
def test_unknown_heads_are_refused_with_a_list_of_all(name: str) -> None:
    with pytest.raises(InputError, match=r"Choose one of .*conv"):
        find_head(name)


def test_importing_heads_and_segmenters_does_not_import_transformers_or_diffusers() -> None:
    code = (
        "import sys; from vidamodal.heads.base import head_ids; from vidamodal.segmenters.base import segmenter_ids; "
        "head_ids(), segmenter_ids(); print({'transformers', 'diffusers'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
