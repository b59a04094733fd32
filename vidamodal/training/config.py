"""Configuration of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from vidamodal.data.clips import ClipConfig
from vidamodal.training.family import Family
from vidamodal.training.losses import LossConfig
from vidamodal.training.stage import Stage, find_stage
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.types import InputError

_MAY_BE_ZERO = {"paste", "seed", "steps", "warmup", "workers"}
"""Integers for which 0 has a meaning; all others are at least 1."""
_MAY_BE_INFINITE = {"clip_norm"}
"""Numbers for which infinity has a meaning."""
_MOST = {"seed": 2**63 - 1, "betas": 0.999999}
"""Largest numbers, where there is a limit."""


@dataclass(frozen=True)
class StageConfig:
    """Length, batch and schedule of one stage."""

    kind: str = "amodal"
    """Which stage: see `vidamodal.training.stages`."""
    steps: int = 1000
    clips: int = 2
    """Clips in each step, over all processes and all their batches."""
    accumulate: int = 1
    """Number of batches into which each process divides its share of a step, to save memory."""
    rate: float = 2e-3
    """Peak learning rate."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay: float = 0.01
    """Weight decay under AdamW of all weights except for biases and norms."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of AdamW's two moments."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the matrices of attention blocks beside AdamW for the rest."""
    schedule: Literal["cosine", "linear", "stable"] = "cosine"
    """Decay of the learning rate after the warm-up; "stable" decays in the last steps only."""
    cooldown: float = 0.2
    """Share of the steps in which the rate of the stable schedule falls to zero."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Decay of the exponential moving average of the weights, which is the result of the stage."""
    sample: ClipConfig = field(default_factory=ClipConfig)


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of a training run."""

    name: str = "run"
    output: str = "runs/run"
    """Folder of the run."""
    seed: int = 0
    processes: int = 1
    """Number of processes; the run refuses to start with another number."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision in which the networks compute. Weights are fp32."""
    shard: bool = False
    """Split weights, gradients, optimiser state and average over the processes (FSDP2), for models too large for one
    GPU. Checkpoints and the model are gathered: any number of processes can resume from them."""
    compile: bool = False
    """Compile the networks (torch.compile), except for the codebook."""
    device: Literal["auto", "cpu"] = "auto"
    init: str | None = None
    """Model folder or name whose weights replace the random initial ones. It may have fewer blocks. For models that
    complete masks, it may be several, separated by commas, of whose weights the mean is taken."""
    worlds: str = "data/worlds-train"
    """Training data: folders of worlds and data sets in any layout, separated by commas, or "toy". Semicolons separate
    groups that are equally likely; within a group, all worlds and clips are."""
    validation: str | None = None
    """Data set on which the primary protocol is scored every `validate_every` steps."""
    workers: int = 1
    """Processes that prepare clips, for each training process."""
    log_every: int = 20
    save_every: int = 250
    validate_every: int = 1000
    model: Family = field(default_factory=AmodalFamily)
    loss: LossConfig = field(default_factory=LossConfig)
    stages: tuple[StageConfig, ...] = (StageConfig("tokenizer"), StageConfig("amodal"))
    """Stages in the order in which they run; each builds on the averaged weights of the one before."""


def stage_classes(config: TrainConfig) -> list[type[Stage[Any]]]:
    """Return the class of each stage of a run. Raises InputError if the stages cannot run."""
    classes = [find_stage(stage.kind, config.model.ID) for stage in config.stages]
    if not classes:
        raise InputError("stages: the list is empty. Add at least one stage.")
    names = [stage.name for stage in classes]
    for stage, name in zip(config.stages, names, strict=True):
        if names.count(name) > 1:
            raise InputError(f"stages: {name!r} appears twice. Train the second one in another run.")
        batches = config.processes * stage.accumulate
        if config.processes < 1 or stage.accumulate < 1 or stage.clips % batches:
            raise InputError(
                f"stages.{stage.kind}.clips is {stage.clips}, which cannot be divided among {config.processes} "
                f"processes with {stage.accumulate} batches each"
            )
    return classes


def check_ranges(config: Any, where: str = "") -> None:
    """Check the numbers of a training config, except for those of its model, which has its own limits.

    Args:
        config: A `TrainConfig`, or a config within it.
        where: Prefix of the names of its fields in error messages.

    Raises:
        InputError: If an integer is below 1 (or 0 where that has a meaning), a number is negative, not finite or too
            large, or a list that needs numbers is empty.
    """
    for each in fields(config):
        name, value = where + each.name, getattr(config, each.name)
        if value == () != each.default:
            raise InputError(f"{name}: the list is empty. Add at least one value.")
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, StageConfig):
                check_ranges(item, f"{name}.{item.kind}.")
            elif is_dataclass(item) and not isinstance(item, Family):
                check_ranges(item, f"{name}.")
            elif type(item) in (int, float):
                _check_number(each.name, name, item)


def _check_number(field_name: str, where: str, value: float) -> None:
    least = int(type(value) is int and field_name not in _MAY_BE_ZERO)
    if not value >= least or (math.isinf(value) and field_name not in _MAY_BE_INFINITE):
        raise InputError(f"{where} must be a finite number of at least {least}, not {value}")
    if value > (most := _MOST.get(field_name, math.inf)):
        raise InputError(f"{where} must be at most {most}, not {value}")
