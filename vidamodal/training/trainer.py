"""One training run: `accelerate launch scripts/train.py --config configs/NAME.yaml`. Resume = the same command again.

A run's folder holds config.json (resolved), metrics.jsonl, TensorBoard events, checkpoints/ and, at the end, model/.

A step's clips are shared by all processes and by ``accumulate`` batches of each; what is learnt does not depend on how
many there are (but for the codes that k-means and the reset of unused ones draw from the last batch).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from vidamodal.config import build
from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig, TrainingBatch
from vidamodal.data.layer_frames import LayerBatch
from vidamodal.formats import find_dataset
from vidamodal.heads.base import find_head
from vidamodal.hub import find_model
from vidamodal.media.files import write_text
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.c2f.model import C2F, C2FConfig
from vidamodal.models.c2f.vqgan import VqGan
from vidamodal.models.folder import (
    Model,
    add_head,
    check_settings,
    load_model,
    load_segmenter,
    load_weights,
    save_model,
    save_segmenter,
)
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.models.transformer import Block
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.segmenters.base import FrameSegmenter, find_segmenter
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.losses import LossConfig, divisors
from vidamodal.training.recipes import recipe
from vidamodal.training.sharding import Average, full, shard
from vidamodal.training.stages.aisdiff import DetectionStage, PaintingStage
from vidamodal.training.stages.c2f import C2FStage, VqGanStage
from vidamodal.training.stages.ours import AmodalStage, HeadStage, MicroStep, SegmenterStage, TokenizerStage
from vidamodal.training.validate import validate
from vidamodal.types import InputError

Record = TypeVar("Record")
SETTINGS = "segmenter.settings"
CHANGEABLE = {"processes", "shard", "workers"}
"""What may be another when a run goes on."""


@dataclass(frozen=True)
class StageConfig:
    """Length, batch and schedule of one stage."""

    steps: int = 1000
    clips: int = 2
    """Clips a step, over all processes and all their batches."""
    accumulate: int = 1
    """Batches into which each process cuts its share of a step, one after the other: less memory, the same step."""
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
class SegmenterTraining:
    """Which head's segmenter learns, and its settings."""

    head: str = "cumulative"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainConfig:
    """All of a run."""

    name: str = "run"
    output: str = "runs/run"
    seed: int = 0
    processes: int = 1
    """The number of processes asked for; the run refuses to go on with another."""
    precision: str = "bf16"
    """bf16 | fp32: what the networks compute in. Weights are fp32."""
    shard: bool = False
    """Split weights, gradients, optimiser state and average over the processes (FSDP2), for models too large for one
    GPU. Checkpoints and the model are whole: they may be gone on with by any number of processes."""
    compile: bool = False
    """Compile the networks (torch.compile; the codebook stays outside)."""
    device: str = "auto"
    """auto | cpu"""
    init: str | None = None
    """A model folder or name to begin with, in place of random weights; it may have fewer blocks. A segmenter's brings
    its settings as well, over which those given here are put."""
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
    only_head: bool = False
    """Only the head named by model.head learns, on the model that ``init`` names, which brings its own settings and
    stays as it is; the result has the new head beside those of that model."""
    c2f: C2FConfig | None = None
    """C2F-Seg in place of ``model`` and ``head``."""
    framewise: FramewiseConfig | None = None
    """A head that stands alone, in place of ``model``; ``head`` holds its settings."""
    segmenter: SegmenterTraining | None = None
    """A segmenter of bare frames, in place of ``model`` and ``head``; ``amodal`` says for how long it learns, and
    ``tokenizer`` for how long AISDiff's DiffSP does before."""
    loss: LossConfig = field(default_factory=LossConfig)
    tokenizer: StageConfig = field(default_factory=StageConfig)
    amodal: StageConfig = field(default_factory=StageConfig)


def train(config: TrainConfig, quiet: bool = False) -> Path:
    """Run every stage that is not finished yet and return the model folder."""
    _check(config)
    accelerator = Accelerator(
        cpu=config.device == "cpu",
        mixed_precision="no",  # the trainer says what is computed in bf16: sharded weights stay fp32 too
    )
    if accelerator.num_processes != config.processes:
        raise InputError(
            f"the config asks for {config.processes} processes but {accelerator.num_processes} run: "
            f"launch that many (torchrun --nproc_per_node {config.processes} scripts/train.py ... with "
            "ACCELERATE_USE_CPU=true on a CPU), or set --processes"
        )
    torch.manual_seed(config.seed)
    try:
        average, found = _new_learner(config)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"the config does not describe a model: {error}") from error
    _begin(config, average)
    _check_model(config, average)
    output = Path(config.output)
    resolved = json.dumps(dataclasses.asdict(config), indent=2, sort_keys=True)
    if accelerator.is_main_process:
        _claim(output, resolved)
    accelerator.wait_for_everyone()
    for kind, settings in _stages(config, average):
        model = copy.deepcopy(average)  # a stage builds on the averaged weights of the one before
        stage = kind(model, config.loss)  # type: ignore[arg-type]  # each takes the models it is named for
        _StageRun(accelerator, config, settings, stage, model, average, quiet).go()
    folder = output / "model"
    if accelerator.is_main_process:
        training = {"config": json.loads(resolved), "config_hash": hashlib.sha256(resolved.encode()).hexdigest()}
        if isinstance(average, FrameSegmenter):
            save_segmenter(folder, average, training | found, segmenter_card(config, average))
        elif config.only_head and isinstance(average, AmodalModel):
            add_head(folder, find_model(str(config.init)), average, training)
        else:
            save_model(folder, average, training, model_card(config, average))
    accelerator.end_training()
    return folder


def _begin(config: TrainConfig, model: Learner) -> None:
    """Weights to begin with, if the config names any."""
    if isinstance(model, FrameSegmenter):
        if config.init is None:
            model.load_pretrained()
    elif config.init is None or config.only_head:
        (model.backbone if isinstance(model, C2F) else model.head).load_pretrained()
    else:
        _go_on_from(model, config.init)


def _go_on_from(model: Model, init: str) -> None:
    """Weights of an earlier model, which may have fewer blocks and read less: what is new adds nothing at first."""
    state = load_model(init, model.config.head).model.state_dict()
    new = set(model.state_dict()) - set(state)
    fresh = {name for name in new if name.startswith("transformer.extra.")}
    for number, block in enumerate([] if isinstance(model, FramewiseModel) else model.transformer.blocks):
        within = {name for name in new if name.startswith(f"transformer.blocks.{number}.")}
        if isinstance(block, Block) and within:
            block.pass_through()
            fresh |= within
    load_weights(model, state, init, fresh)


def _new_learner(config: TrainConfig) -> tuple[Learner, dict[str, Any]]:
    """With random weights, and what it has found of its data."""
    if config.segmenter is None:
        return _new_model(config), {}
    kind = find_segmenter(config.segmenter.head)
    given, before = config.segmenter.settings, None
    if config.init is not None:
        before = load_segmenter(config.init, config.segmenter.head).model
        given = _over(dataclasses.asdict(before.config), given)
    settings: Any = build(kind.config_class, given, SETTINGS)
    bank = load_bank(config.worlds, config.seed, pixels=False)
    settings, found = recipe(config.segmenter.head).settle(settings, bank, config.seed, config.amodal.sample)
    segmenter = kind(settings)
    if before is not None:
        state = before.state_dict()
        fresh = segmenter.initialize_as_identity(set(segmenter.state_dict()) - set(state))
        load_weights(segmenter, state, str(config.init), fresh)
    return segmenter, found


def _over(settings: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others put over them."""
    nested = {k: _over(settings[k], v) for k, v in others.items() if isinstance(v, Mapping) and k in settings}
    return {**settings, **others, **nested}


def _new_model(config: TrainConfig) -> Model:
    if config.c2f is not None:
        return C2F(config.c2f)
    name = config.model.head if config.framewise is None else config.framewise.head
    head_config: Any = build(find_head(name).config_class, config.head, "head")
    if config.framewise is not None:
        return FramewiseModel(config.framewise, head_config)
    if not config.only_head:
        return AmodalModel(config.model, head_config)
    body = load_model(str(config.init)).model
    if not isinstance(body, AmodalModel):
        raise InputError(f"init: {config.init} has no heads beside its own")
    model = AmodalModel(dataclasses.replace(body.config, head=name, temperature=1.0), head_config)
    kept = {k: v for k, v in body.state_dict().items() if not k.startswith("head.")}
    model.load_state_dict(kept, strict=False)
    return model


def _stages(config: TrainConfig, model: Learner) -> list[tuple[type[Stage], StageConfig]]:
    """What learns, one after the other, and for how long."""
    if isinstance(model, FrameSegmenter):
        return [(kind, getattr(config, name)) for kind, name in recipe(model.ID).stages(model)]
    if isinstance(model, FramewiseModel) or config.only_head:
        return [(HeadStage, config.amodal)]
    if isinstance(model, AmodalModel):
        return [(TokenizerStage, config.tokenizer), (AmodalStage, config.amodal)]
    first = VqGanStage if model.config.codec == "vqgan" else TokenizerStage
    return [(first, config.tokenizer), (C2FStage, config.amodal)]


def _check(config: TrainConfig) -> None:
    """Refuse what cannot work before the run's folder is made, which would refuse the corrected config."""
    if config.c2f is not None and (config.model != ModelConfig() or config.head or config.framewise is not None):
        raise InputError("c2f stands in place of model, head and framewise: leave those out")
    if config.segmenter is not None:
        others = (config.c2f, config.framewise, config.validation)
        if config.model != ModelConfig() or config.head or config.only_head or any(o is not None for o in others):
            raise InputError(
                "segmenter stands in place of model, head, c2f and framewise, and is not validated: leave those and "
                "validation out"
            )
    if config.framewise is not None and config.model != ModelConfig():
        raise InputError("framewise stands in place of model: leave that out")
    if config.only_head and (config.init is None or config.model != ModelConfig(head=config.model.head)):
        raise InputError("only_head: the model comes from init; of model, give the head alone")
    if config.only_head and (config.c2f is not None or config.framewise is not None):
        raise InputError("only_head: c2f and framewise have no model beside the head; leave them out")
    for name, allowed in (("precision", ("bf16", "fp32")), ("device", ("auto", "cpu"))):
        if getattr(config, name) not in allowed:
            raise InputError(f"{name} is {getattr(config, name)!r}: choose {' or '.join(allowed)}")
    for name, stage in (("tokenizer", config.tokenizer), ("amodal", config.amodal)):
        if config.processes < 1 or stage.accumulate < 1 or stage.clips % (config.processes * stage.accumulate):
            raise InputError(
                f"{name}.clips is {stage.clips}, which {config.processes} processes with {stage.accumulate} batches "
                "each cannot share"
            )
        if stage.schedule not in ("cosine", "linear"):
            raise InputError(f"{name}.schedule is {stage.schedule!r}: choose cosine or linear")
    load_bank(config.worlds, config.seed, pixels=False)


def _check_model(config: TrainConfig, model: Learner) -> None:
    """Refuse what this model cannot do, hours before it would show."""
    if isinstance(model, FrameSegmenter):
        return
    check_settings(model.config, config.name)
    if config.shard and isinstance(model, C2F) and isinstance(model.tokenizer, VqGan) and config.tokenizer.steps:
        raise InputError("shard: the VQ-GAN's two players cannot be split; train the tokenizer without it")
    if config.validation is not None:
        clip = next(iter(find_dataset(Path(config.validation)).clips.values()))
        if model.view.pixels and clip.frames() is None:
            raise InputError(f"validation: {config.validation} has no pictures, and this model reads them")


def _in_one_line(batches: Iterator[Record]) -> Iterator[Record]:
    """Batches of a loader, whose processes wrap an InputError in their traceback."""
    try:
        yield from batches
    except InputError as error:
        raise InputError(
            str(error).strip().splitlines()[-1].removeprefix(f"{InputError.__module__}.InputError: ")
        ) from None


def _claim(output: Path, resolved: str) -> None:
    """Refuse to go on with another config than the folder was begun with."""
    path = output / "config.json"
    if path.exists():
        ours, theirs = json.loads(resolved), json.loads(path.read_text())
        names = (ours.keys() | theirs.keys()) - CHANGEABLE
        if other := sorted(key for key in names if ours.get(key) != theirs.get(key)):
            raise InputError(
                f"{path} is of a run with another config ({', '.join(other)}): choose another --output or remove it"
            )
    write_text(path, resolved)


Stage = TokenizerStage | AmodalStage | HeadStage | C2FStage | SegmenterStage | PaintingStage | DetectionStage
Batch = TrainingBatch | LayerBatch | FrameGroundTruth
Learner = Model | FrameSegmenter


class _StageRun:
    """One stage from its last checkpoint to its end."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainConfig,
        settings: StageConfig,
        stage: Stage,
        model: Learner,
        average: Learner,
        quiet: bool,
    ) -> None:
        self.accelerator, self.config, self.settings = accelerator, config, settings
        self.stage, self.model, self.average, self.quiet = stage, model, average, quiet
        self.output = Path(config.output)
        self.checkpoints = Checkpoints(self.output / "checkpoints", stage.name)
        self.seed = int.from_bytes(hashlib.sha256(f"{config.seed} {stage.name}".encode()).digest()[:6], "big")

    def go(self) -> None:
        """Train to the last step, saving on the way."""
        if self.accelerator.is_main_process:
            self.checkpoints.sweep()
        saved = self.checkpoints.load(self.model, self.average)
        first, last = saved["step"] if saved else 0, self.settings.steps
        if first >= last:
            return
        device = self.accelerator.device
        trained, optimizer = self._distribute()
        self.checkpoints.load_optimizer(optimizer)
        average = Average(self.average.to(device), self.model)
        self._forget(first)
        board = self._board(first)
        bar = tqdm(
            total=last, initial=first, desc=self.stage.name, unit="step",
            disable=self.quiet or not self.accelerator.is_main_process,
        )  # fmt: skip
        began, waited, seen = time.monotonic(), 0.0, 0
        steps = self._steps(first)
        batches = next(steps)
        waited += time.monotonic() - began
        for step in range(first, last):
            # Everything random in a step follows from its number, so that a resumed run goes on as if never stopped.
            torch.manual_seed(self.seed + step)
            rate = self.settings.rate * _schedule(step, self.settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = self._losses(trained, batches)
            seen += sum(batch.size for _, batch in batches) * self.accelerator.num_processes
            # The next batches are fetched while a GPU still works on these.
            wait = time.monotonic()
            batches = next(steps, [])
            waited += time.monotonic() - wait
            norm = full(self.accelerator.clip_grad_norm_(list(trained.parameters()), self.settings.clip_norm))
            if not torch.isfinite(norm):  # before it reaches the weights and the checkpoints
                raise RuntimeError(f"the gradient of {self.stage.name} step {step} is not finite: try a lower rate")
            optimizer.step()
            optimizer.zero_grad()
            average.update(min(self.settings.average, (1 + step) / (10 + step)))
            done = step + 1
            bar.update()
            if done % self.config.log_every == 0:
                values = dict(zip(losses, self._mean(list(losses.values())), strict=True))
                spent = time.monotonic() - began
                self._log(board, done, values | {
                    "norm": float(norm), "rate": rate,
                    "object_frames_per_second": seen / spent, "waiting_for_data": waited / spent,
                })  # fmt: skip
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            validates = self.stage.name == "amodal" and (done % self.config.validate_every == 0 or done == last)
            saves = done % self.config.save_every == 0 or done == last
            if saves or validates:
                average.gather()
            if saves:
                self.checkpoints.save(
                    done, self.model, self.average, optimizer, {"seed": self.config.seed},
                    write=self.accelerator.is_main_process,
                )  # fmt: skip
            if validates and self.config.validation is not None and not isinstance(self.average, FrameSegmenter):
                scores = validate(self.average, Path(self.config.validation), self.accelerator)
                self._log(board, done, {f"validation_{k}": v for k, v in scores.items()})
        bar.close()
        if board is not None:
            board.close()
        self.accelerator.wait_for_everyone()

    def _distribute(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The stage as all processes train it together, and its optimiser."""
        stage, device = self.stage.train().to(self.accelerator.device), self.accelerator.device
        if self.config.compile:
            for network in stage.networks:
                network.compile(dynamic=False)
        if self.config.shard:
            shard(stage, device, self.accelerator.num_processes)
        trained = stage if self.config.shard else self.accelerator.prepare(stage)
        return trained, torch.optim.AdamW(
            _groups(stage, self.settings.decay), lr=self.settings.rate, betas=self.settings.betas
        )

    def _losses(self, trained: nn.Module, batches: list[tuple[tuple[int, ...], Batch]]) -> dict[str, Tensor]:
        """This process's part of a step's losses; their gradients are left in the weights."""
        divide = divisors([self.stage.counts(batch, seeds) for seeds, batch in batches])  # type: ignore[arg-type]
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
        """Gradients are shared once a step."""
        if isinstance(trained, FSDPModule):
            trained.set_requires_gradient_sync(last)
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last else self.accelerator.no_sync(trained)

    def _mean(self, values: list[Tensor]) -> list[float]:
        """Over all processes."""
        mean = self.accelerator.reduce(torch.stack([value.float() for value in values]), "mean")
        return [float(value) for value in mean]

    def _steps(self, first: int) -> Iterator[list[tuple[tuple[int, ...], Batch]]]:
        """This process's batches of every step from ``first`` on, each with the seeds of its clips, on the device."""
        batches = _in_one_line(self._batches(first))
        for _ in range(first, self.settings.steps):
            step = [next(batches) for _ in range(self.settings.accumulate)]
            yield [(seeds, _move(batch, self.accelerator.device)) for seeds, batch in step]

    def _batches(self, first: int) -> Iterator[tuple[tuple[int, ...], Batch]]:
        """This process's share of every step's clips from ``first`` on; clip numbers do not depend on their number."""
        clips, rank, ranks = self.settings.clips, self.accelerator.process_index, self.accelerator.num_processes
        last = clips * self.settings.steps
        data = self.stage.data(self.config.worlds, self.seed, clips, last, self.settings.sample)
        mine = [k for k in range(clips * first, last) if k % ranks == rank]
        size = clips // ranks // self.settings.accumulate
        loader = DataLoader(
            Subset[Any](data, mine),
            batch_size=size,
            num_workers=self.config.workers,
            collate_fn=_join,
            worker_init_fn=_one_thread,
            prefetch_factor=4 if self.config.workers else None,
            multiprocessing_context="fork" if self.config.workers else None,
        )
        for begin, batch in zip(range(0, len(mine), size), loader, strict=True):
            yield tuple(self._clip_seed(k) for k in mine[begin : begin + size]), batch

    def _clip_seed(self, number: int) -> int:
        """For what a stage draws; the clip itself has another one."""
        return int(np.random.SeedSequence([self.seed, 2, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _forget(self, step: int) -> None:
        """Drop what was logged after the checkpoint that this run resumes from: those steps are made again."""
        path = self.output / "metrics.jsonl"
        if not self.accelerator.is_main_process or not path.exists():
            return
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        lines = [json.loads(line) for line in whole]  # a kill may have cut the last one
        kept = [line for line in lines if line["stage"] != self.stage.name or line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def _board(self, first: int) -> SummaryWriter | None:
        """TensorBoard's events of the stage; it, too, forgets what comes after ``first``."""
        if not self.accelerator.is_main_process:
            return None
        return SummaryWriter(str(self.output / "tensorboard" / self.stage.name), purge_step=first + 1)

    def _log(self, board: SummaryWriter | None, step: int, values: dict[str, float]) -> None:
        if board is None:
            return
        with open(self.output / "metrics.jsonl", "a", encoding="utf-8") as lines:
            lines.write(json.dumps({"stage": self.stage.name, "step": step, **values}) + "\n")
        for name, value in values.items():
            board.add_scalar(name, value, step)


def _move(record: Record, device: torch.device) -> Record:
    """A record of tensors on a device; a GPU gets them from pinned memory while it works on something else."""
    changes: dict[str, Any] = {}
    for f in fields(record):  # type: ignore[arg-type]
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            changes[f.name] = value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value
        elif is_dataclass(value):
            changes[f.name] = _move(value, device)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def _join(parts: list[Any]) -> Any:
    """Samples of one kind as one batch."""
    return type(parts[0]).join(parts)


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


def segmenter_card(config: TrainConfig, model: FrameSegmenter) -> str:
    """The same for a segmenter."""
    count, sample = sum(p.numel() for p in model.parameters()), config.amodal.sample
    return (
        f"# vidamodal {config.name}\n\n{count / 1e6:.2f} M parameters; finds the objects of bare frames, brought to "
        f"{model.size} x {model.size} cells, {recipe(model.ID).finds(model)}. "
        f"{f'Goes on from {config.init}. ' if config.init else ''}"
        f"Trained with `configs/{config.name}.yaml` on {config.worlds}, seed "
        f"{config.seed}, {config.amodal.steps} steps of {config.amodal.clips * sample.frames} frames. "
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
