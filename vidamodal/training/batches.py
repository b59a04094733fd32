"""Batches of a stage for one process, with the seeds of their clips, fetched one step ahead."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.stage import SampleRequest, Stage
from vidamodal.types import InputError

Record = TypeVar("Record")
SeededBatch = tuple[tuple[int, ...], Any]
"""The seeds of the clips of a batch, and the batch."""


@dataclass(frozen=True)
class Share:
    """Which clips of every step a process trains on: those whose number leaves the remainder ``rank``."""

    rank: int
    ranks: int
    device: torch.device


class StepBatches:
    """The batches of this process, step by step. Clip numbers and seeds do not depend on the number of processes."""

    def __init__(self, stage: Stage[Any], config: TrainConfig, settings: StageConfig, seed: int, share: Share) -> None:
        self._stage, self._config, self._settings, self._seed, self._share = stage, config, settings, seed, share
        self._steps: Iterator[list[SeededBatch]] = iter(())
        self.current: list[SeededBatch] = []
        self.waited = 0.0
        """Seconds spent waiting for data."""

    def start(self, first: int) -> None:
        """Fetch the batches of the step ``first``, which become `current`."""
        self._steps = self._iterate(first)
        self.advance()

    def advance(self) -> None:
        """Fetch the batches of the next step, which become `current`; none after the last step."""
        began = time.monotonic()
        self.current = next(self._steps, [])
        self.waited += time.monotonic() - began

    def _iterate(self, first: int) -> Iterator[list[SeededBatch]]:
        batches = _unwrap_errors(self._load(first))
        for _ in range(first, self._settings.steps):
            step = [next(batches) for _ in range(self._settings.accumulate)]
            yield [(seeds, _move(batch, self._share.device)) for seeds, batch in step]

    def _load(self, first: int) -> Iterator[SeededBatch]:
        settings, workers = self._settings, self._config.workers
        clips, count = settings.clips, settings.clips * settings.steps
        data = self._stage.data(SampleRequest(self._config.worlds, self._seed, clips, count, settings.sample))
        numbers = range(clips * first + self._share.rank, count, self._share.ranks)  # each process has as many clips
        size = clips // self._share.ranks // settings.accumulate
        loader = DataLoader(
            Subset[Any](data, numbers),
            batch_size=size,
            num_workers=workers,
            collate_fn=_join,
            worker_init_fn=_use_one_thread,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,
        )
        for begin, batch in zip(range(0, len(numbers), size), loader, strict=True):
            yield tuple(self._clip_seed(k) for k in numbers[begin : begin + size]), batch

    def _clip_seed(self, number: int) -> int:
        """Return the seed of what a stage samples for a clip; the clip itself has another one."""
        return int(np.random.SeedSequence([self._seed, 2, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _unwrap_errors(batches: Iterator[SeededBatch]) -> Iterator[SeededBatch]:
    """Restore an InputError of a loader's worker, which wraps it in a traceback."""
    try:
        yield from batches
    except InputError as error:
        message = str(error).strip().splitlines()[-1]
        raise InputError(message.partition("InputError: ")[2] or message) from None


def _move(record: Record, device: torch.device) -> Record:
    """Return a record of tensors on a device; a CUDA device copies from pinned memory without waiting."""
    changes: dict[str, Any] = {}
    for f in fields(record):  # type: ignore[arg-type]
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            cuda = device.type == "cuda"
            changes[f.name] = value.pin_memory().to(device, non_blocking=True) if cuda else value.to(device)
        elif is_dataclass(value):
            changes[f.name] = _move(value, device)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def _join(parts: list[Any]) -> Any:
    return type(parts[0]).join(parts)


def _use_one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
