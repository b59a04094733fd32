"""The training loop: one stage from its last checkpoint to its last step."""

from __future__ import annotations

import contextlib
import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from vidamodal.training.batches import SeededBatch, Share, StepBatches
from vidamodal.training.callbacks import StageContext, StepResult, default_callbacks
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.family import Learner
from vidamodal.training.losses import divisors
from vidamodal.training.optimizers import make_optimizer, schedule
from vidamodal.training.sharding import Average, full, shard
from vidamodal.training.stage import MicroStep, Stage
from vidamodal.types import InputError


class StageLoop:
    """The loop over the steps of one stage.

    The clips of a step are divided among all processes, and into ``accumulate`` batches in each. The result does not
    depend on either number, except for C2F-Seg and ``drop_path`` (see `vidamodal.training.stage`), and for codes that
    k-means and the reset of unused codes draw from the last batch.
    """

    def __init__(self, accelerator: Accelerator, config: TrainConfig, settings: StageConfig, stage: Stage[Any]) -> None:
        self.accelerator, self.config, self.settings, self.stage = accelerator, config, settings, stage
        digest = hashlib.sha256(f"{config.seed} {stage.name}".encode()).digest()
        self.seed = int.from_bytes(digest[:6], "big")
        share = Share(accelerator.process_index, accelerator.num_processes, accelerator.device)
        self.batches = StepBatches(stage, config, settings, self.seed, share)

    def run(self, model: Learner, average: Learner, quiet: bool) -> None:
        """Train ``model``, on which the stage is built, and leave the average of its weights in ``average``."""
        checkpoints = Checkpoints(Path(self.config.output) / "checkpoints", self.stage.name)
        if self.accelerator.is_main_process:
            checkpoints.sweep()
        saved = checkpoints.load(model, average)
        first = saved["step"] if saved else 0
        if first >= self.settings.steps:
            return
        trained, optimizer = self.distribute()
        checkpoints.load_optimizer(optimizer)
        context = StageContext(
            self.accelerator, self.config, self.settings, self.stage,
            Average(average.to(self.accelerator.device), model), checkpoints, optimizer, quiet,
        )  # fmt: skip
        callbacks = default_callbacks(context)
        for callback in callbacks:
            callback.on_start(first)
        self.batches.start(first)
        for step in range(first, self.settings.steps):
            result = self._step(step, trained, context)
            for callback in callbacks:
                callback.on_step(result)
        for callback in callbacks:
            callback.on_end()
        self.accelerator.wait_for_everyone()

    def distribute(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Wrap the stage for training by all processes together; return it with its optimiser.

        Raises:
            InputError: If the stage has no weights to train.
        """
        stage, device = self.stage.train().to(self.accelerator.device), self.accelerator.device
        if not any(parameter.requires_grad for parameter in stage.parameters()):
            raise InputError(
                f"stages.{self.settings.kind}: this part of the model has no weights to train. Remove the stage."
            )
        if self.config.shard and self.settings.optimizer == "muon":
            raise InputError(
                f"stages.{self.settings.kind}.optimizer: muon needs whole matrices, which shard splits. Choose adamw."
            )
        if self.config.compile:
            for network in stage.networks:
                network.compile(dynamic=False)
        if self.config.shard:
            shard(stage, device, self.accelerator.num_processes)
        trained = stage if self.config.shard else self.accelerator.prepare(stage)
        return trained, make_optimizer(stage, self.settings)

    def _step(self, step: int, trained: nn.Module, context: StageContext) -> StepResult:
        """Update the weights once. Everything random follows from the step's number, so that runs can be resumed."""
        torch.manual_seed(self.seed + step)
        rate = self.settings.rate * schedule(step, self.settings)
        for group in context.optimizer.param_groups:
            group["lr"] = rate
        losses = self.backward(trained, self.batches.current)
        frames = sum(batch.size for _, batch in self.batches.current) * self.accelerator.num_processes
        self.batches.advance()  # while a GPU still computes
        norm = full(self.accelerator.clip_grad_norm_(list(trained.parameters()), self.settings.clip_norm))
        if not torch.isfinite(norm):
            raise RuntimeError(f"the gradient of {self.stage.name} step {step} is not finite: try a lower rate")
        context.optimizer.step()
        context.optimizer.zero_grad()
        context.average.update(min(self.settings.average, (1 + step) / (10 + step)))
        return StepResult(step + 1, losses, norm, rate, frames, self.batches.waited)

    def backward(self, trained: nn.Module, batches: list[SeededBatch]) -> dict[str, Tensor]:
        """Return this process's share of a step's losses, after adding their gradients to the weights."""
        divide = divisors([self.stage.counts(batch, seeds) for seeds, batch in batches])
        total: dict[str, Tensor] = {}
        for number, (seeds, batch) in enumerate(batches, start=1):
            last = number == len(batches)
            with self._synchronised(trained, last), torch.autocast(
                self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"
            ):  # fmt: skip
                losses = trained(batch, MicroStep(seeds, divide, last))
            with self._synchronised(trained, last):
                self.accelerator.backward(losses["loss"])
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach()
        return total

    def _synchronised(self, trained: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return a context in which processes share gradients only after the last batch of a step."""
        if isinstance(trained, FSDPModule):
            trained.set_requires_gradient_sync(last)
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last else self.accelerator.no_sync(trained)
