"""One training run: `accelerate launch scripts/train.py --config configs/NAME.yaml`. Resume = the same command again.

A run's folder holds config.json (resolved), metrics.jsonl, TensorBoard events, checkpoints/ and, at the end, model/.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from vidamodal.data.clips import ClipConfig, TrainingBatch, TrainingClips, load_bank
from vidamodal.heads.base import load_head_class
from vidamodal.media.files import write_text
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f import C2F, C2FConfig
from vidamodal.models.folder import Model, build, load_model, load_weights, save_model
from vidamodal.training.c2f import C2FStage, VqGanStage
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.losses import LossConfig
from vidamodal.training.stages import AmodalStage, TokenizerStage
from vidamodal.training.validate import validate
from vidamodal.types import InputError


@dataclass(frozen=True)
class StageConfig:
    """Length, batch and schedule of one stage."""

    steps: int = 1000
    clips: int = 2
    """Clips a step, over all processes."""
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    schedule: str = "cosine"
    """cosine | linear: how the rate falls after the warm-up."""
    clip_norm: float = 1.0
    average: float = 0.999
    """Decay of the exponential moving average of the weights, which is what is kept."""
    sample: ClipConfig = field(default_factory=ClipConfig)


@dataclass(frozen=True)
class TrainConfig:
    """All of a run."""

    name: str = "run"
    output: str = "runs/run"
    seed: int = 0
    processes: int = 1
    """The number of processes asked for; the run refuses to go on with another."""
    precision: str = "bf16"
    """bf16 | fp32"""
    device: str = "auto"
    """auto | cpu"""
    init: str | None = None
    """A model folder or name to begin with, in place of random weights."""
    worlds: str = "data/worlds-train"
    """Folders of worlds and data sets in any layout that is read, separated by commas, or "toy"."""
    validation: str | None = None
    """Truth that `vidamodal evaluate` reads; scored as a whole every `validate_every` steps."""
    workers: int = 1
    """Processes that make clips, per training process."""
    log_every: int = 20
    save_every: int = 250
    validate_every: int = 1000
    model: ModelConfig = field(default_factory=ModelConfig)
    head: dict[str, Any] = field(default_factory=dict)
    """Settings of the head named by model.head."""
    c2f: C2FConfig | None = None
    """C2F-Seg in place of ``model`` and ``head``."""
    loss: LossConfig = field(default_factory=LossConfig)
    tokenizer: StageConfig = field(default_factory=StageConfig)
    amodal: StageConfig = field(default_factory=StageConfig)


def train(config: TrainConfig, quiet: bool = False) -> Path:
    """Run every stage that is not finished yet and return the model folder."""
    _check(config)
    accelerator = Accelerator(
        cpu=config.device == "cpu",
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        log_with="tensorboard",
        project_dir=config.output,
    )
    if accelerator.num_processes != config.processes:
        raise InputError(
            f"the config asks for {config.processes} processes but {accelerator.num_processes} run: "
            f"launch that many (torchrun --nproc_per_node {config.processes} scripts/train.py ... with "
            "ACCELERATE_USE_CPU=true on a CPU), or set --processes"
        )
    head_config: Any = None
    if config.c2f is None:
        head_config = build(load_head_class(config.model.head)[1], config.head, "head")
    torch.manual_seed(config.seed)
    try:
        model, average = _new_model(config, head_config), _new_model(config, head_config)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"the config does not describe a model: {error}") from error
    if config.init is None:
        if isinstance(model, C2F):
            model.backbone.load_pretrained()
    else:
        # What reads more than masks adds nothing at first, so a model that did not read it may begin to.
        new = {name: value for name, value in model.state_dict().items() if name.startswith("transformer.extra.")}
        load_weights(model, new | load_model(config.init, model.config.head).model.state_dict(), config.init)
    average.load_state_dict(model.state_dict())
    output = Path(config.output)
    resolved = json.dumps(dataclasses.asdict(config), indent=2, sort_keys=True)
    if accelerator.is_main_process:
        _claim(output, resolved)
        accelerator.init_trackers("tensorboard")
    accelerator.wait_for_everyone()
    for kind, settings in zip(_stages(model), (config.tokenizer, config.amodal), strict=True):
        stage = kind(model, config.loss)  # type: ignore[arg-type]  # each takes the models it is named for
        run = _StageRun(accelerator, config, settings, stage, model, average, quiet)
        run.go()
        model.load_state_dict(average.state_dict())  # the next stage builds on the averaged weights
    folder = output / "model"
    if accelerator.is_main_process:
        training = {"config": json.loads(resolved), "config_hash": hashlib.sha256(resolved.encode()).hexdigest()}
        save_model(folder, average, head_config, training, model_card(config, average))
    accelerator.end_training()
    return folder


def _new_model(config: TrainConfig, head_config: Any) -> Model:
    return AmodalModel(config.model, head_config) if config.c2f is None else C2F(config.c2f)


def _stages(model: Model) -> tuple[type[Stage], type[Stage]]:
    """What learns first and what learns second."""
    if not isinstance(model, C2F):
        return TokenizerStage, AmodalStage
    return VqGanStage if model.config.codec == "vqgan" else TokenizerStage, C2FStage


def _check(config: TrainConfig) -> None:
    """Refuse what cannot work before the run's folder is made, which would refuse the corrected config."""
    if config.c2f is not None and (config.model != ModelConfig() or config.head):
        raise InputError("c2f stands in place of model and head: leave those out")
    for name, allowed in (("precision", ("bf16", "fp32")), ("device", ("auto", "cpu"))):
        if getattr(config, name) not in allowed:
            raise InputError(f"{name} is {getattr(config, name)!r}: choose {' or '.join(allowed)}")
    for name, stage in (("tokenizer", config.tokenizer), ("amodal", config.amodal)):
        if config.processes < 1 or stage.clips % config.processes:
            raise InputError(f"{name}.clips is {stage.clips}, which {config.processes} processes cannot share")
        if stage.schedule not in ("cosine", "linear"):
            raise InputError(f"{name}.schedule is {stage.schedule!r}: choose cosine or linear")
    load_bank(config.worlds, config.seed, pixels=False)


def _claim(output: Path, resolved: str) -> None:
    """Refuse to go on with another config than the folder was begun with."""
    path = output / "config.json"
    if path.exists() and path.read_text() != resolved:
        ours, theirs = json.loads(resolved), json.loads(path.read_text())
        other = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        raise InputError(
            f"{path} is of a run with another config ({', '.join(other)}): choose another --output or remove it"
        )
    write_text(path, resolved)


Stage = TokenizerStage | VqGanStage | AmodalStage | C2FStage


class _StageRun:
    """One stage from its last checkpoint to its end."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainConfig,
        settings: StageConfig,
        stage: Stage,
        model: Model,
        average: Model,
        quiet: bool,
    ) -> None:
        self.accelerator, self.config, self.settings = accelerator, config, settings
        self.stage, self.model, self.average, self.quiet = stage, model, average, quiet
        self.output = Path(config.output)
        self.checkpoints = Checkpoints(self.output / "checkpoints", stage.name)
        self.seed = int.from_bytes(hashlib.sha256(f"{config.seed} {stage.name}".encode()).digest()[:6], "big")

    def go(self) -> None:
        """Train to the last step, saving on the way."""
        parameters = [p for p in self.stage.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            _groups(self.stage, self.settings.decay), lr=self.settings.rate, betas=self.settings.betas
        )
        saved = self.checkpoints.load(self.model, self.average, optimizer)
        first = saved["step"] if saved else 0
        if first >= self.settings.steps:
            return
        self._forget(first)
        self.average.to(self.accelerator.device)
        trained, optimizer = self.accelerator.prepare(self.stage.train(), optimizer)
        bar = tqdm(
            total=self.settings.steps, initial=first, desc=self.stage.name, unit="step",
            disable=self.quiet or not self.accelerator.is_main_process,
        )  # fmt: skip
        began, waited, seen = time.monotonic(), 0.0, 0
        batches = self._batches(first)
        for step in range(first, self.settings.steps):
            wait = time.monotonic()
            batch = next(batches).to(self.accelerator.device)
            waited += time.monotonic() - wait
            # Everything random in a step follows from its number, so that a resumed run goes on as if never stopped.
            torch.manual_seed(self.seed + step)
            generator = torch.Generator().manual_seed((self.seed + step) * 4096 + self.accelerator.process_index)
            for group in optimizer.param_groups:
                group["lr"] = self.settings.rate * _schedule(step, self.settings)
            losses = trained(batch, generator)
            self.accelerator.backward(losses["loss"])
            norm = self.accelerator.clip_grad_norm_(parameters, self.settings.clip_norm)
            if not torch.isfinite(norm):  # before it reaches the weights and the checkpoints
                raise RuntimeError(f"the gradient of {self.stage.name} step {step} is not finite: try a lower rate")
            optimizer.step()
            optimizer.zero_grad()
            _average(self.average, self.model, min(self.settings.average, (1 + step) / (10 + step)))
            seen += batch.counted.numel() * self.accelerator.num_processes
            done = step + 1
            bar.update()
            if done % self.config.log_every == 0:
                values = {k: float(v.detach()) for k, v in losses.items()}
                spent = time.monotonic() - began
                self._log(done, values | {
                    "norm": float(norm), "rate": self.settings.rate * _schedule(step, self.settings),
                    "object_frames_per_second": seen / spent, "waiting_for_data": waited / spent,
                })  # fmt: skip
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            last = done == self.settings.steps
            if (done % self.config.save_every == 0 or last) and self.accelerator.is_main_process:
                inner = getattr(optimizer, "optimizer", optimizer)
                self.checkpoints.save(done, self.model, self.average, inner, {"seed": self.config.seed})
            if self.stage.name == "amodal" and (done % self.config.validate_every == 0 or last):
                self._validate(done)
                self.accelerator.wait_for_everyone()
        bar.close()
        self.accelerator.wait_for_everyone()

    def _batches(self, first: int) -> Iterator[TrainingBatch]:
        """This process's share of every step's clips from ``first`` on; clip numbers do not depend on their number."""
        clips, rank, ranks = self.settings.clips, self.accelerator.process_index, self.accelerator.num_processes
        view = self.model.view
        bank = load_bank(self.config.worlds, self.seed, view.pixels)
        data = TrainingClips(bank, self.seed, clips, clips * self.settings.steps, self.settings.sample, view)
        mine = [k for k in range(clips * first, clips * self.settings.steps) if k % ranks == rank]
        return iter(
            DataLoader(
                Subset(data, mine),
                batch_size=clips // ranks,
                num_workers=self.config.workers,
                collate_fn=TrainingBatch.join,
                worker_init_fn=_one_thread,
                prefetch_factor=4 if self.config.workers else None,
                multiprocessing_context="fork" if self.config.workers else None,
            )  # fmt: skip
        )

    def _validate(self, step: int) -> None:
        if self.config.validation is None or not self.accelerator.is_main_process:
            return
        scores = validate(self.average, Path(self.config.validation))
        self._log(step, {f"validation_{k}": v for k, v in scores.items()})

    def _forget(self, step: int) -> None:
        """Drop what was logged after the checkpoint that this run resumes from: those steps are made again."""
        path = self.output / "metrics.jsonl"
        if not self.accelerator.is_main_process or not path.exists():
            return
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        lines = [json.loads(line) for line in whole]  # a kill may have cut the last one
        kept = [line for line in lines if line["stage"] != self.stage.name or line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def _log(self, step: int, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        with open(self.output / "metrics.jsonl", "a", encoding="utf-8") as lines:
            lines.write(json.dumps({"stage": self.stage.name, "step": step, **values}) + "\n")
        self.accelerator.log({f"{self.stage.name}/{k}": v for k, v in values.items()}, step=step)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def _groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay, the rest (biases, norms, embeddings of places) does not."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in wanted if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in wanted if p.ndim < 2], "weight_decay": 0.0},
    ]


def _schedule(step: int, settings: StageConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 %, or a line down to nothing."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    if settings.schedule == "linear":
        return 1 - share
    return 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * share))


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights; buffers (the codebook has its own average) are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


def model_card(config: TrainConfig, model: Model) -> str:
    """A short description that stands beside the weights."""
    count, view = sum(p.numel() for p in model.parameters()), model.view
    return (
        f"# vidamodal {config.name}\n\n{count / 1e6:.2f} M parameters; reads masks "
        f"{'and pixels' if view.pixels else 'alone (no pixels)'} in windows of {view.cells} x {view.cells} cells. "
        f"{f'Goes on from {config.init}. ' if config.init else ''}"
        f"Trained with `configs/{config.name}.yaml` "
        f"on {config.worlds}, seed {config.seed}, {config.amodal.steps} steps of "
        f"{config.amodal.clips * config.amodal.sample.tracks * config.amodal.sample.frames} object-frames. "
        "The whole config is in config.json; what it reaches is in the README of the repository.\n"
    )


def main(arguments: list[str] | None = None) -> Path:
    """`--config FILE [--section.key value ...]`: unknown keys are refused; the arguments override the file."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="train", description=__doc__, exit_on_error=False)
    parser.add_argument("--config", action="config", help="a YAML file")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_class_arguments(TrainConfig, None)
    # The last word counts, so the file goes first, wherever it was named.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", action="append", default=[])
    files, rest = first.parse_known_args(arguments)
    try:
        chosen = parser.parse_args([*(f"--config={file}" for file in files.config), *rest])
    except argparse.ArgumentError as error:
        raise InputError(f"train: {error}; see `vidamodal train --help` and configs/") from error
    quiet = chosen.pop("quiet")
    if not chosen.pop("config"):
        raise InputError("train needs --config FILE: see configs/ for what there is")
    return train(TrainConfig(**parser.instantiate_classes(chosen)), quiet)
