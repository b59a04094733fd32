"""Training configs of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.helpers import tiny_config
from vidamodal.config import build
from vidamodal.hub import bundled_models, find_model
from vidamodal.training.config import TrainConfig, stage_classes
from vidamodal.training.legacy import upgrade
from vidamodal.training.run import train
from vidamodal.types import InputError

STAGE: dict[str, Any] = {"steps": 4}


@pytest.mark.parametrize(
    ("changes", "family", "kinds"),
    [
        ({}, "amodal", ["tokenizer", "amodal"]),
        ({"tokenizer": {"steps": 0}}, "amodal", ["amodal"]),
        ({"only_head": True, "model": {"head": "conddiff"}}, "head", ["head"]),
        ({"framewise": {"crop": 32}}, "framewise", ["head"]),
        ({"c2f": {"codec": "light"}}, "c2f", ["tokenizer", "c2f"]),
        ({"c2f": {"codec": "vqgan"}}, "c2f", ["vqgan", "c2f"]),
        ({"segmenter": {"head": "cumulative", "settings": {"size": 32}}}, "cumulative", ["layers"]),
        ({"segmenter": {"head": "aisdiff", "settings": {}}}, "aisdiff", ["painting", "detection"]),
    ],
)
def test_old_sections_become_a_family_and_stages(changes: dict[str, Any], family: str, kinds: list[str]) -> None:
    old = {"seed": 3, "model": {"head": "conv"}, "head": {}, "tokenizer": STAGE, "amodal": STAGE, **changes}
    config = build(TrainConfig, upgrade(old), "old")
    assert config.seed == 3 and family == config.model.ID
    assert [stage.kind for stage in config.stages] == kinds and config.stages[-1].steps == 4
    stage_classes(config)


@pytest.mark.parametrize("name", bundled_models())
def test_the_recorded_configs_of_bundled_models_can_be_upgraded(name: str) -> None:
    recorded = json.loads((find_model(name) / "config.json").read_text())["training"]["config"]
    stage_classes(build(TrainConfig, upgrade(recorded), name))


def test_a_run_of_an_earlier_version_is_resumed(unbroken: Path) -> None:
    path = unbroken / "config.json"
    new = path.read_text()
    config = json.loads(new)
    model, stages = config.pop("model"), config.pop("stages")
    sections = {stage.pop("kind"): stage for stage in stages}
    path.write_text(json.dumps(config | sections | {"model": model["network"], "head": model["head"]}))
    train(tiny_config(unbroken), quiet=True)
    assert path.read_text() == new


def test_a_run_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"stages": [], "model": {"family": "amodal"}, "phases": 3}')
    with pytest.raises(InputError, match=r"'phases'.*finish the run with that version"):
        train(tiny_config(tmp_path), quiet=True)
