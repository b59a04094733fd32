"""What happens around a training step: metrics, progress bar, checkpoints and validation."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from vidamodal.media.files import write_text
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.family import Learner
from vidamodal.training.sharding import Average
from vidamodal.training.stage import Stage
from vidamodal.training.validate import validate


@dataclass(frozen=True)
class StageContext:
    """What the loop and its callbacks share."""

    accelerator: Accelerator
    config: TrainConfig
    settings: StageConfig
    stage: Stage[Any]
    average: Average[Learner]
    checkpoints: Checkpoints
    optimizer: torch.optim.Optimizer
    quiet: bool

    @property
    def model(self) -> nn.Module:
        """The model in training."""
        return self.average.model

    @property
    def output(self) -> Path:
        """Folder of the run."""
        return Path(self.config.output)

    def is_due(self, done: int, every: int) -> bool:
        """Return whether something that happens every so many steps, and after the last one, happens now."""
        return done % every == 0 or done == self.settings.steps


@dataclass(frozen=True)
class StepResult:
    """What a step yields."""

    done: int
    """Number of steps so far."""
    losses: Mapping[str, Tensor]
    """This process's share of the losses."""
    norm: Tensor
    rate: float
    frames: int
    """Object-frames of the step, over all processes."""
    waited: float
    """Seconds spent waiting for data since the stage began or was resumed."""


class Callback:
    """Called before, during and after a stage, in all processes."""

    def on_start(self, first: int) -> None:
        """Prepare for the step ``first``."""

    def on_step(self, result: StepResult) -> None:
        """Act after a step."""

    def on_end(self) -> None:
        """Close what is open."""


class Metrics(Callback):
    """Writes metrics.jsonl and TensorBoard events. Both forget steps that are repeated after resuming."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.board: SummaryWriter | None = None
        self.path = context.output / "metrics.jsonl"
        self.latest: dict[str, float] = {}
        self.began, self.frames = time.monotonic(), 0

    def on_start(self, first: int) -> None:
        """Drop what was logged after the checkpoint that the run resumes from."""
        self.began = time.monotonic()
        if not self.context.accelerator.is_main_process:
            return
        self._forget(first)
        folder = self.context.output / "tensorboard" / self.context.stage.name
        self.board = SummaryWriter(str(folder), purge_step=first + 1)

    def on_step(self, result: StepResult) -> None:
        """Log the means over all processes every ``log_every`` steps."""
        self.frames += result.frames
        if result.done % self.context.config.log_every:
            return
        seconds = time.monotonic() - self.began
        self.latest = dict(zip(result.losses, self._mean(list(result.losses.values())), strict=True))
        self.log(result.done, self.latest | {
            "norm": float(result.norm), "rate": result.rate,
            "object_frames_per_second": self.frames / seconds, "waiting_for_data": result.waited / seconds,
        })  # fmt: skip

    def on_end(self) -> None:
        """Close TensorBoard's files."""
        if self.board is not None:
            self.board.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write values to both logs; only the main process does."""
        if self.board is None:
            return
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"stage": self.context.stage.name, "step": step, **values}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def _mean(self, values: list[Tensor]) -> list[float]:
        mean = self.context.accelerator.reduce(torch.stack([value.float() for value in values]), "mean")
        return [float(value) for value in mean]

    def _forget(self, step: int) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may have cut the last one
        name = self.context.stage.name
        kept = [record for record in records if record["stage"] != name or record["step"] <= step]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))


class ProgressBar(Callback):
    """Shows the progress of the stage and its latest loss."""

    def __init__(self, context: StageContext, metrics: Metrics) -> None:
        self.context, self.metrics = context, metrics
        self.bar: tqdm[Any] | None = None

    def on_start(self, first: int) -> None:
        """Open the bar in the main process."""
        hidden = self.context.quiet or not self.context.accelerator.is_main_process
        name, steps = self.context.stage.name, self.context.settings.steps
        self.bar = tqdm(total=steps, initial=first, desc=name, unit="step", disable=hidden)

    def on_step(self, result: StepResult) -> None:
        """Advance the bar."""
        assert self.bar is not None
        self.bar.update()
        if result.done % self.context.config.log_every == 0:
            self.bar.set_postfix(loss=f"{self.metrics.latest['loss']:.3f}")

    def on_end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


class SaveCheckpoints(Callback):
    """Writes a checkpoint every ``save_every`` steps and after the last one."""

    def __init__(self, context: StageContext) -> None:
        self.context = context

    def on_step(self, result: StepResult) -> None:
        """Write a checkpoint if one is due."""
        context = self.context
        if not context.is_due(result.done, context.config.save_every):
            return
        whole = context.average.gather()
        context.checkpoints.save(
            result.done, context.model, whole, context.optimizer, {"seed": context.config.seed},
            write=context.accelerator.is_main_process,
        )  # fmt: skip


class Validate(Callback):
    """Scores the averaged weights every ``validate_every`` steps and after the last one."""

    def __init__(self, context: StageContext, metrics: Metrics) -> None:
        self.context, self.metrics = context, metrics

    def on_step(self, result: StepResult) -> None:
        """Validate and log the scores if that is due."""
        config = self.context.config
        due = self.context.stage.validates and self.context.is_due(result.done, config.validate_every)
        if config.validation is None or not due:
            return
        model = self.context.average.gather()
        assert not isinstance(model, FrameSegmenter)
        scores = validate(model, Path(config.validation), self.context.accelerator)
        self.metrics.log(result.done, {f"validation_{name}": value for name, value in scores.items()})


def default_callbacks(context: StageContext) -> list[Callback]:
    """Return the callbacks of every stage, in the order in which they are called."""
    metrics = Metrics(context)
    return [metrics, ProgressBar(context, metrics), SaveCheckpoints(context), Validate(context, metrics)]
