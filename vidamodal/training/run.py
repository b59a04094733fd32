"""A training run: it trains all stages of a config, resuming from what its folder holds, and writes the model.

The folder of a run holds config.json (resolved), metrics.jsonl, TensorBoard events, checkpoints/ and finally model/.
Running the same config again resumes from the last checkpoint.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from vidamodal.config import build, check
from vidamodal.data.banks import load_bank
from vidamodal.media.files import check_target, write_text
from vidamodal.models.construction import check_numbers, construct
from vidamodal.training.checkpoint import Checkpoints
from vidamodal.training.config import TrainConfig, check_ranges, stage_classes
from vidamodal.training.legacy import upgrade
from vidamodal.training.loop import StageLoop
from vidamodal.training.optimizers import cooldown_start
from vidamodal.training.stage import find_stage
from vidamodal.types import InputError

CHANGEABLE = {"processes", "shard", "workers"}
"""Settings that may change when a run is resumed, beside the length of a stage whose rate is still stable."""


def train(config: TrainConfig, quiet: bool = False) -> Path:
    """Train a model, or resume its training.

    Args:
        config: What to train, on what, and where to write.
        quiet: Show no progress bar.

    Returns:
        The folder of the trained model.

    Raises:
        InputError: If the config cannot work, or the output folder belongs to another run.
    """
    return train_recipe([config], quiet)


def train_recipe(parts: Sequence[TrainConfig], quiet: bool = False) -> Path:
    """Train the parts of a recipe one after the other and return the last model folder. Finished parts are skipped."""
    accelerator = Accelerator(
        cpu=parts[0].device == "cpu",
        mixed_precision="no",  # the loop chooses what is computed in bf16: sharded weights stay fp32 too
    )
    for config in parts:
        if len(parts) == 1 or not is_finished(config):
            _train(check(config, "config"), accelerator, quiet)
            accelerator.wait_for_everyone()
    accelerator.end_training()
    return model_folder(parts[-1])


def model_folder(config: TrainConfig) -> Path:
    """Return the folder of a run's model."""
    return Path(config.output) / "model"


def is_finished(config: TrainConfig) -> bool:
    """Return whether the model of this config is there, after as many steps as the config asks for.

    Raises:
        InputError: If the folder is that of another run.
    """
    _check_same_run(config)
    path = model_folder(config) / "config.json"
    if not path.is_file() or not path.with_name("model.safetensors").is_file():
        return False
    if not (Path(config.output) / "config.json").exists():  # a model from elsewhere stands for the run
        return True
    try:
        training = config.model.training_record(json.loads(path.read_text(encoding="utf-8")))
        saved = build(TrainConfig, upgrade(training["config"]), str(path))
    except (InputError, ValueError, LookupError, TypeError):  # a model of another version is written anew
        return False
    return bool(_plain(saved)["stages"] == _plain(config)["stages"])


def _train(config: TrainConfig, accelerator: Accelerator, quiet: bool) -> None:
    classes = stage_classes(config)
    check_ranges(config)
    check_target(config.output, folder=True)
    config.model.check(config)
    load_bank(config.worlds, config.seed, pixels=False)
    if accelerator.num_processes != config.processes:
        raise InputError(
            f"the config asks for {config.processes} processes but {accelerator.num_processes} run. Launch that many "
            f"(torchrun --nproc_per_node {config.processes} scripts/train.py ..., with ACCELERATE_USE_CPU=true on a "
            "CPU), or set processes."
        )
    torch.manual_seed(config.seed)
    check_numbers(config.model, "model")
    average, notes = construct(lambda: config.model.create(config), "the config", "a model")
    config.model.check_model(config, average)
    resolved = json.dumps(asdict(config), indent=2, sort_keys=True)
    if accelerator.is_main_process:
        _check_same_run(config)
        write_text(Path(config.output) / "config.json", resolved)
    accelerator.wait_for_everyone()
    if is_finished(config):  # its model keeps what was fitted to it since
        return
    for kind, settings in zip(classes, config.stages, strict=True):
        if kind.applies_to(average):
            model = copy.deepcopy(average)  # a stage builds on the averaged weights of the one before
            StageLoop(accelerator, config, settings, kind(model, config.loss)).run(model, average, quiet)
    if accelerator.is_main_process:
        training = {"config": json.loads(resolved), "config_hash": hashlib.sha256(resolved.encode()).hexdigest()}
        config.model.save(model_folder(config), average, config, training | notes)


def _check_same_run(config: TrainConfig) -> None:
    """Raise InputError if the output folder was begun with another config."""
    path = Path(config.output) / "config.json"
    if not path.exists():
        return
    try:
        begun = build(TrainConfig, upgrade(json.loads(path.read_text(encoding="utf-8"))), str(path))
    except (InputError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a training config: {error}. It may be of another version: finish the run with "
            "that version, or choose another output folder."
        ) from error
    theirs, ours = _plain(_prolonged(begun, config)), _plain(config)
    names = (ours.keys() | theirs.keys()) - CHANGEABLE
    if other := sorted(key for key in names if ours.get(key) != theirs.get(key)):
        raise InputError(
            f"{path} belongs to a run with another config ({', '.join(other)}). Choose another output folder, or "
            "remove this one."
        )


def _prolonged(begun: TrainConfig, config: TrainConfig) -> TrainConfig:
    """Return a config with the lengths of another's stages, where neither has begun to cool down."""
    folder, stages = Path(config.output) / "checkpoints", list(begun.stages)
    for k, (old, new) in enumerate(zip(begun.stages, config.stages, strict=False)):
        if old.kind == new.kind and old.schedule == new.schedule == "stable":
            done = Checkpoints(folder, find_stage(new.kind, config.model.ID).name).last_step()
            if done <= min(cooldown_start(old), cooldown_start(new)):
                stages[k] = replace(old, steps=new.steps, cooldown=new.cooldown)
    return replace(begun, stages=tuple(stages))


def _plain(config: TrainConfig) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return plain
