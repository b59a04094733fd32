"""The batches of a step."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.utils.data import Dataset

from tests.training.helpers import simple_batch, tiny_config
from vidamodal.training.batches import Share, StepBatches
from vidamodal.training.stage import Stage


@dataclass
class Numbers:
    """The numbers of clips."""

    numbers: list[int]

    @staticmethod
    def join(parts: Sequence[Numbers]) -> Numbers:
        return Numbers([number for part in parts for number in part.numbers])


class Counting(Dataset[Numbers]):
    """Each clip holds its number."""

    def __getitem__(self, number: int) -> Numbers:
        return Numbers([number])


class CountingStage:
    def data(self, _request: object) -> Counting:
        return Counting()


class BatchStage:
    """Its samples are simple batches."""

    def data(self, _request: object) -> Any:
        return [simple_batch()] * 8


def test_batches_are_moved_to_the_device_of_the_process(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run")
    share = Share(0, 1, torch.device("meta"))
    batches = StepBatches(cast("Stage[Any]", BatchStage()), config, config.stages[0], 0, share)
    batches.start(0)
    ((_, batch),) = batches.current
    assert batch.amodal.is_meta and batch.crops.visible.is_meta


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_of_a_billion_steps_starts_at_once_and_shares_its_clips(tmp_path: Path, rank: int) -> None:
    config = tiny_config(tmp_path / "run", workers=0)
    settings = replace(config.stages[0], clips=6, steps=10**9, accumulate=1)
    tracemalloc.start()
    batches = StepBatches(cast("Stage[Any]", CountingStage()), config, settings, 0, Share(rank, 2, torch.device("cpu")))
    batches.start(5 * 10**8)
    first = batches.current
    batches.advance()
    assert tracemalloc.get_traced_memory()[1] < 1e9  # their numbers alone would take 12 GB
    tracemalloc.stop()
    numbers = [cast("Numbers", batch).numbers for step in (first, batches.current) for _, batch in step]
    start = 6 * 5 * 10**8
    assert numbers == [[start + rank + 2 * k for k in range(3)], [start + 6 + rank + 2 * k for k in range(3)]]
