"""The loop over steps: accumulation and data workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.agreement import check_accumulation
from tests.training.helpers import logged, tiny_config, weights
from vidamodal.training.run import train


@pytest.mark.parametrize("stage", ["tokenizer", "amodal"])
def test_accumulation_does_not_change_the_result(tmp_path: Path, stage: str) -> None:
    check_accumulation(tmp_path, stage)


@pytest.mark.parametrize("workers", [1, 2])
def test_data_workers_do_not_change_the_result(unbroken: Path, tmp_path: Path, workers: int) -> None:
    train(tiny_config(tmp_path / "run", workers=workers), quiet=True)
    assert weights(tmp_path / "run") == weights(unbroken)
    assert [line["loss"] for line in logged(tmp_path / "run")] == [line["loss"] for line in logged(unbroken)]
