"""Validation during training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.training.helpers import STAGE, logged, tiny_config, write_worlds
from vidamodal.training.run import train


def test_validation_scores_are_logged(tmp_path: Path) -> None:
    truth = write_worlds(tmp_path / "worlds")
    one, two = replace(STAGE, steps=1), replace(STAGE, steps=2)
    train(tiny_config(tmp_path / "run", validation=str(truth), tokenizer=one, amodal=two, validate_every=1), quiet=True)
    scores = [line for line in logged(tmp_path / "run") if "validation_full" in line]
    assert [(line["stage"], line["step"]) for line in scores] == [("amodal", 1), ("amodal", 2)]
    assert all(0 <= line["validation_full"] <= 1 and "validation_flicker" in line for line in scores)
