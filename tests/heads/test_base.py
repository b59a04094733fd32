"""The registry of heads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import vidamodal.heads
from tests.heads.conddiff.helpers import SMALL as CONDDIFF
from tests.helpers import head_inputs
from tests.segmenters.aisdiff.helpers import PRIOR
from tests.segmenters.cumulative.helpers import TINY
from tests.segmenters.test_base import drop_in
from vidamodal.heads.aisdiff import AISDiffHeadConfig
from vidamodal.heads.base import FramewiseHead, find_head
from vidamodal.heads.conv import ConvConfig
from vidamodal.heads.cumulative import CumulativeHeadConfig
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.registry import find_classes
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


def head_ids() -> list[str]:
    """Return the ids of all heads."""
    return list(find_classes(vidamodal.heads, FramewiseHead))  # type: ignore[type-abstract]


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
        "import sys; from vidamodal.heads.base import find_head; from vidamodal.segmenters.base import segmenter_ids; "
        "find_head('conv'), segmenter_ids(); print({'transformers', 'diffusers'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("conv", ConvConfig(width=8, deep=16)),
        ("conddiff", CONDDIFF),
        ("cumulative", CumulativeHeadConfig(TINY)),
        ("aisdiff", AISDiffHeadConfig(width=8, prior=PRIOR)),
    ],
)
def test_training_calls_the_networks_that_are_compiled(name: str, config: Any) -> None:
    head = find_head(name)(config, 32, 0)
    called: list[torch.nn.Module] = []
    for network in head.networks:
        network.register_forward_pre_hook(lambda module, _: called.append(module))
    inputs = head_inputs(32)
    head.training_logits(inputs, (inputs.coarse > 0).float())
    assert set(called) == set(head.networks)
    trained = {id(p) for network in head.networks for p in network.parameters() if p.requires_grad}
    assert trained == {id(p) for p in head.parameters() if p.requires_grad}
