"""Trainings of the rows of a table, each in a separate process and only once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.experiments.ablation.tables import Row
from scripts.experiments.common import run_measured
from vidamodal.config import load_yaml
from vidamodal.media.files import write_text
from vidamodal.models.folder import is_segmenter, load_model, load_segmenter
from vidamodal.training.command import read_recipe
from vidamodal.training.config import TrainConfig
from vidamodal.training.family import SegmenterFamily
from vidamodal.training.stages.head import HeadFamily

ROOT = Path(__file__).parents[3]
UNKNOWN = math.nan


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
        model: Its folder or name.
        seconds: CPU-seconds of all training processes; NaN if unknown.
        head: The head to use; None for the model's own.
        scores: Folder for its scores.
    """

    model: str
    seconds: float
    head: str | None
    scores: Path


def train_row(row: Row, base: str, seed: int, runs: Path, steps: int | None) -> TrainedModel:
    """Train a row, unless it was trained or names a finished model; an interrupted training is resumed."""
    folder = run_folder(row, base, seed, runs, steps)
    record = folder / "trained.json"
    if row.model is None and not record.is_file():
        options = {**row.set, **_step_options(base, steps)}
        flags = [f"--{key}={_option_text(value)}" for key, value in options.items()]
        command = [sys.executable, "scripts/train.py", f"--config={base}", "--quiet", f"--output={folder.resolve()}"]
        was_interrupted = (folder / "checkpoints").is_dir()
        seconds = _run([*command, f"--seed={seed}", *flags])
        record_seconds = UNKNOWN if was_interrupted else round(seconds, 1)
        write_text(record, json.dumps({"set": dict(row.set), "seed": seed, "cpu_seconds": record_seconds}))
    return find_trained(row, base, seed, runs, steps)


def find_trained(row: Row, base: str, seed: int, runs: Path, steps: int | None) -> TrainedModel:
    """Return the trained model of a row, without training it."""
    folder = run_folder(row, base, seed, runs, steps)
    if row.model is not None:
        return TrainedModel(row.model, UNKNOWN, row.head, folder)
    record = folder / "trained.json"
    seconds = json.loads(record.read_text())["cpu_seconds"] if record.is_file() else UNKNOWN
    return TrainedModel(str(folder / "model"), seconds, trained_head(row, base), folder)


def run_folder(row: Row, base: str, seed: int, runs: Path, steps: int | None) -> Path:
    """Return the folder of a row's training, or of the scores of its finished model."""
    if row.model is not None:
        loaded = load_segmenter(row.model) if is_segmenter(row.model) else load_model(row.model, row.head)
        return runs / short_hash(loaded.weights_hash, loaded.config_hash, row.head or "")
    return runs / short_hash(load_yaml(ROOT / base), dict(row.set), _step_options(base, steps), seed)


def short_hash(*parts: Any) -> str:
    """Return a short hash that identifies some settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def trained_head(row: Row, base: str) -> str | None:
    """Return the name of the head that a row adds to a finished model; None if it trains a whole model."""
    family = training_config(row, base).model
    return family.name if isinstance(family, HeadFamily) else None


def training_size(base: str, steps: int | None) -> str:
    """Describe how much the rows that start from a config are trained."""
    config = training_config(Row("base"), base)
    stage = config.stages[-1]
    sample, steps = stage.sample, steps or stage.steps
    if isinstance(config.model, SegmenterFamily):
        unit = "layers" if stage.kind == "layers" else "frames"
        return f"{steps * stage.clips * sample.frames:,} {unit} ({steps} steps)"
    return f"{count_object_frames(Row('base'), base, steps):,} object-frames ({steps} steps)"


def count_object_frames(row: Row, base: str, steps: int | None) -> int:
    """Return how many object-frames the last stage of a row's training sees; ``steps`` replaces its length."""
    stage = training_config(row, base).stages[-1]
    return (steps or stage.steps) * stage.clips * stage.sample.tracks * stage.sample.frames


def count_parameters(model: TrainedModel) -> int:
    """Return the number of parameters of a trained model; 0 if it was not trained."""
    if not (Path(model.model) / "config.json").is_file():
        return 0
    return sum(parameter.numel() for parameter in load_model(model.model, model.head).model.parameters())


def training_config(row: Row, base: str) -> TrainConfig:
    """Return the training config of a row."""
    (config,) = read_recipe(str(ROOT / base), [(key, _option_text(value)) for key, value in row.set.items()])
    return config


def _option_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _step_options(base: str, steps: int | None) -> dict[str, int]:
    """Return the options that set the length of the last stage."""
    last = load_yaml(ROOT / base)["stages"][-1]["kind"]
    return {} if steps is None else {f"stages.{last}.steps": steps}


def _run(command: list[str]) -> float:
    """Run a training and return its CPU-seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return run_measured(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
