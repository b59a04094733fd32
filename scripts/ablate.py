"""The ablation tables: trains every row of configs/ablation/tables.yaml, scores it and writes docs/ablations.md.

    python scripts/ablate.py [--config configs/ablation/tables.yaml] [--out docs/ablations.md] [--steps N]
                             [--table NAME] [--table-only]

Resumes: what is trained and scored in runs/ablations is not done again. One thread; run with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from vidamodal.data.layouts import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.counts import count_video
from vidamodal.metrics.primary import MEASURES, mean_scores, score_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.c2f import C2F
from vidamodal.models.folder import load_model

ROOT = Path(__file__).parents[1]
SHOWN = ("full", "occ", "hidden", "false_completion", "flicker")


@dataclass(frozen=True)
class Row:
    """A row of a table: options of the training, settings of the finished model and the seeds to average over."""

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    use: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    base: str | None = None
    """Another config to start from than the table's."""


@dataclass(frozen=True)
class Trained:
    """A finished training run: its model and the CPU-seconds of all its processes."""

    model: Path
    seconds: float


def main() -> None:
    """Train, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs/ablation/tables.yaml")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="folder for models and scores")
    parser.add_argument("--out", type=Path, default=Path("docs/ablations.md"))
    parser.add_argument("--steps", type=int, help="steps of each training (default: as the base config says)")
    parser.add_argument("--table", default="", help="train only for tables with this in their names")
    parser.add_argument("--table-only", action="store_true", help="write what is there, train nothing")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text())
    tables = [table for table in config["tables"] if options.table in table["name"]]
    work = [(table, row, seed) for table in tables for row in rows(table) for seed in row.seeds]
    for table, row, seed in tqdm([] if options.table_only else work, unit="row"):
        trained = train(row.base or config["base"], row.set, seed, options)
        for name in table["data"]:
            score(trained, row.use, name, config["sets"][name], options.runs)
    write_text(options.out, "".join(report(config, options)))
    print(options.out.read_text())


def rows(table: Mapping[str, Any]) -> list[Row]:
    """The rows of a table."""
    return [Row(**row) for row in table["rows"]]


def digest(*parts: Any) -> str:
    """A short name for some settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def train(base: str, changes: Mapping[str, Any], seed: int, options: argparse.Namespace) -> Trained:
    """Train in a process of its own, unless that was done."""
    steps = {} if options.steps is None else {"amodal.steps": options.steps}
    folder = options.runs / digest((ROOT / base).read_text(), dict(changes), steps, seed)
    done = folder / "trained.json"
    if not done.is_file():
        if options.table_only:
            return Trained(folder / "model", float("nan"))
        flags = [f"--{key}={json.dumps(value)}" if not isinstance(value, str) else f"--{key}={value}"
                 for key, value in {**changes, **steps}.items()]  # fmt: skip
        command = [sys.executable, "scripts/train.py", f"--config={base}", "--quiet", f"--output={folder}"]
        gone_on = (folder / "checkpoints").is_dir()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, f"--seed={seed}", *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if gone_on:  # nobody knows what was spent before it was stopped
            spent = float("nan")
        write_text(done, json.dumps({"set": dict(changes), "seed": seed, "cpu_seconds": round(spent, 1)}))
    return Trained(folder / "model", json.loads(done.read_text())["cpu_seconds"])


def score(trained: Trained, use: Mapping[str, Any], name: str, data: Mapping[str, Any], runs: Path) -> None:
    """Score a model on some clips, unless that was done."""
    path = scores_path(trained, use, name, data)
    if path.is_file():
        return
    model, constrain, told = changed(load_model(str(trained.model)).model, use)
    predictor = Predictor(model, "cpu", constrain=constrain)
    videos = []
    for key, clip in islice(find_dataset(Path(data["path"])).clips.items(), data["clips"]):
        truth = clip.tracks()
        found = predictor.predict(truth, pictures=clip.frames, order=truth.order if told else None)
        videos.append(score_video(count_video(key, found, truth, shapes=False)))
    mean = mean_scores(videos)
    write_text(path, json.dumps({measure: getattr(mean, measure) for measure in MEASURES}))


def scores_path(trained: Trained, use: Mapping[str, Any], name: str, data: Mapping[str, Any]) -> Path:
    """Where the scores of a model used in some way on some clips are kept."""
    return trained.model.parent / f"scores-{digest(dict(use), name, dict(data))}.json"


def changed(model: AmodalModel | C2F, use: Mapping[str, Any]) -> tuple[AmodalModel | C2F, bool, bool]:
    """A model with other settings, whether to apply the constraint and whether the true order is given."""
    settings = dict(use)
    constrain, told = settings.pop("constrain", True), settings.pop("order", False)
    within = {k: settings.pop(k) for k in ("roll", "window") if k in settings}
    if isinstance(model, C2F):
        other: AmodalModel | C2F = C2F(replace(model.config, **settings))
    else:
        transformer = replace(model.config.transformer, **within)
        other = AmodalModel(replace(model.config, transformer=transformer, **settings))
    wanted = other.state_dict()  # what is switched off is left out
    other.load_state_dict({name: value for name, value in model.state_dict().items() if name in wanted})
    return other, constrain, told


def report(config: Mapping[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """The page."""
    base = yaml.safe_load((ROOT / config["base"]).read_text())
    steps = options.steps or base["amodal"]["steps"]
    sample = base["amodal"]["sample"]
    frames = steps * base["amodal"]["clips"] * sample["tracks"] * sample["frames"]
    yield "# Ablations\n\nMade by `python scripts/ablate.py`; per cent under the primary protocol. "
    yield f"Every row is trained from nothing on the same {frames:,} object-frames ({steps} steps). "
    yield "Rows with two seeds show their mean and, in brackets, half their difference. "
    yield "A dash: not run, or of a run that was stopped and went on, whose time is not known.\n"
    kept = argparse.Namespace(**{**vars(options), "table_only": True})
    for table in config["tables"]:
        yield f"\n## {table['name']}\n\n"
        heads = [f"{measure.replace('_', ' ')}, {name}" for name in table["data"] for measure in SHOWN]
        yield f"| | CPU-minutes | {' | '.join(heads)} |\n|{' --- |' * (2 + len(heads))}\n"
        for row in rows(table):
            runs = [train(row.base or config["base"], row.set, seed, kept) for seed in row.seeds]
            cells = [
                cell([found(run, row, name, config["sets"][name], measure) for run in runs])
                for name in table["data"]
                for measure in SHOWN
            ]
            minutes = [run.seconds / 60 for run in runs if run.seconds == run.seconds]
            spent = f"{sum(minutes) / len(minutes):.1f}" if minutes else "-"
            yield f"| {row.name} | {spent} | {' | '.join(cells)} |\n"


def found(run: Trained, row: Row, name: str, data: Mapping[str, Any], measure: str) -> float | None:
    """One figure of one run; None if it is not there."""
    path = scores_path(run, row.use, name, data)
    value: float | None = json.loads(path.read_text())[measure] if path.is_file() else None
    return value


def cell(values: Sequence[float | None]) -> str:
    """Mean and half the spread, in per cent."""
    there = [100 * value for value in values if value is not None]
    if not there:
        return "-"
    mean = f"{sum(there) / len(there):.1f}"
    return f"{mean} ({(max(there) - min(there)) / 2:.1f})" if len(there) > 1 else mean


if __name__ == "__main__":
    main()
