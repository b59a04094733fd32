"""The same results from other arithmetic: processes, accumulation, bf16, attention, and CUDA where there is a GPU."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import Limits, run_child
from scripts.dev.torture_checks.sandbox import renew, write_part_of_sample
from tests.training.agreement import check_accumulation, check_agreement, learn_alone_and_together
from vidamodal.inference.api import predict
from vidamodal.metrics.evaluate import evaluate
from vidamodal.metrics.primary import MEASURES
from vidamodal.models.attention import Backend
from vidamodal.models.folder import load_model

NAME = "numerics"
TRIED = (
    "one process against two (DDP and FSDP2), one batch against accumulated ones, fp32 against bf16, math against sdpa "
    "attention, and the CPU against CUDA where there is a GPU"
)
PROMISE = (
    "training: gradients within 1e-5 of the largest, weights and losses within 1e-6; prediction: all scores of the "
    "bundled clip within 0.3 points"
)
COUNT = 5
POINTS = 0.3
_LIMITS = Limits(600, memory=None)

Check = Callable[[Path, range], None]
"""Called with an empty folder and the frames of the bundled clip to predict. Raises AssertionError."""


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Compare each pair in turn, first on the whole clip, then on random parts of it; see `base.Check`."""
    for number in range(count):
        name, check = CHECKS[number % len(CHECKS)]
        first = random.Random(f"{seed} {number}").randrange(12)
        frames = range(24) if number < len(CHECKS) else range(first, first + 12)
        ended = run_child(partial(check, renew(folder / "work"), frames), folder / "log", _LIMITS)
        lost = ended.fault or (f"status {ended.status}" if ended.status else None)
        yield Attempt(f"{name}, frames {frames.start} to {frames.stop - 1}", lost)


def _two_processes(sharded: str, folder: Path, _frames: range) -> None:
    check_agreement(*learn_alone_and_together(folder), sharded)


def _accumulation(folder: Path, _frames: range) -> None:
    for stage in ("tokenizer", "amodal"):
        check_accumulation(folder / stage, stage)


def _bf16(folder: Path, frames: range) -> None:
    _compare(_scores(folder, frames), _scores(folder, frames, precision=torch.bfloat16))


def _attention(folder: Path, frames: range) -> None:
    _compare(_scores(folder, frames, attention="math"), _scores(folder, frames, attention="sdpa"))


def _cuda(folder: Path, frames: range) -> None:
    _compare(_scores(folder, frames), _scores(folder, frames, device="cuda"))


def _scores(
    folder: Path,
    frames: range,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
    attention: Backend = "auto",
) -> dict[str, float | None]:
    """Return the scores of the bundled model on a part of the bundled clip, in points."""
    video, masks = folder / "video", folder / "clip.tracks.json"
    if not masks.exists():
        write_part_of_sample(frames, video, masks)
    loaded = load_model()
    for part in loaded.model.modules():
        config: Any = getattr(part, "config", None)
        if hasattr(config, "attention"):
            part.config = replace(config, attention=attention)
    with mock.patch("vidamodal.inference.runtime.pick_precision", return_value=precision):
        predict(video, masks, folder / "out", model=loaded, device=device, formats=["tracks"], exhaustive=True)
    primary = evaluate(folder / "out/tracks.json", masks).primary
    values = {name: getattr(primary, name) for name in MEASURES}
    return {name: None if value is None else 100 * value for name, value in values.items()}


def _compare(one: dict[str, float | None], two: dict[str, float | None]) -> None:
    assert any(value is not None for value in one.values())
    for name, value in one.items():
        other = two[name]
        assert (value is None) == (other is None), f"{name}: {value} and {other}"
        if value is not None and other is not None:
            assert abs(value - other) <= POINTS, f"{name}: {value:.2f} and {other:.2f} points"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("bf16", _bf16),
    ("attention", _attention),
    ("two processes (DDP)", partial(_two_processes, "")),
    ("two processes (FSDP2)", partial(_two_processes, "sharded ")),
    ("accumulation", _accumulation),
    *((("CUDA", _cuda),) if torch.cuda.is_available() else ()),
)
"""The comparisons by name."""
