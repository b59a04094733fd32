"""The ablation tables: trains every row of scripts/experiments/ablation/ablations.yaml, scores it and writes docs/ablations.md.

    python -m scripts.experiments.ablation [--config FILE] [--out docs/ablations.md] [--steps N]
                             [--table NAME] [--table-only]

Resumes: what is trained and scored in runs/ablations is not done again. One thread; run with OMP_NUM_THREADS=1.
conddiff.yaml makes docs/conddiff.md in the same way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float
from tqdm import tqdm

from scripts.experiments.ablation.layer_scores import layer_scores, layered
from vidamodal.config import load_yaml
from vidamodal.data.layer_frames import ground_truth_layers
from vidamodal.data.recorded import RecordedBank
from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import pick_precision
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import MEASURES, mean_scores, score_video
from vidamodal.metrics.protocols import cumulative_iou
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.c2f.model import C2F
from vidamodal.models.folder import Model, is_segmenter, load_model, load_segmenter
from vidamodal.models.framewise import FramewiseModel
from vidamodal.occlusion.layers import LayeredFrame
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.segmenters.cumulative.layering import representative
from vidamodal.training.command import read_recipe
from vidamodal.training.config import TrainConfig
from vidamodal.training.family import SegmenterFamily
from vidamodal.training.stages.head import HeadFamily

ROOT = Path(__file__).parents[3]
TABLES = Path(__file__).parent
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
    model: str | None = None
    """A finished model, by folder or name, in place of a training ..."""
    head: str | None = None
    """... with this head of it."""


@dataclass(frozen=True)
class Trained:
    """A finished training run: its model and the CPU-seconds of all its processes."""

    model: str
    seconds: float
    head: str | None
    scores: Path
    """Folder for its scores."""


def main() -> None:
    """Train, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="?", default="ablations", help="name of a file of tables beside this script")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="folder for models and scores")
    parser.add_argument("--out", type=Path, help="page to write (default: docs/results/PAGE.md)")
    parser.add_argument("--steps", type=int, help="steps of each training (default: as the base config says)")
    parser.add_argument("--table", default="", help="train only for tables with this in their names")
    parser.add_argument("--table-only", action="store_true", help="write what is there, train nothing")
    options = parser.parse_args()
    options.out = options.out or Path(f"docs/results/{options.page}.md")
    config = yaml.safe_load((TABLES / f"{options.page}.yaml").read_text())
    tables = [table for table in config["tables"] if options.table in table["name"]]
    work = [(table, row, seed) for table in tables for row in rows(table) for seed in row.seeds]
    for table, row, seed in tqdm([] if options.table_only else work, unit="row"):
        trained = train(row, base_of(row, table, config), seed, options)
        for name in table["data"]:
            score(trained, row.use, name, config["sets"][name])
    write_text(options.out, "".join(report(config, options)))
    print(options.out.read_text())


def rows(table: Mapping[str, Any]) -> list[Row]:
    """The rows of a table."""
    return [Row(**row) for row in table["rows"]]


def digest(*parts: Any) -> str:
    """A short name for some settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def base_of(row: Row, table: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The config that a row starts from."""
    base: str = row.base or table.get("base", config["base"])
    return base


def train(row: Row, base: str, seed: int, options: argparse.Namespace) -> Trained:
    """Train in a process of its own, unless that was done or the row names a finished model."""
    if row.model is not None:
        loaded = load_segmenter(row.model) if is_segmenter(row.model) else load_model(row.model, row.head)
        folder = options.runs / digest(loaded.weights_hash, loaded.config_hash, row.head or "")
        return Trained(row.model, float("nan"), row.head, folder)
    changes, last = row.set, load_yaml(ROOT / base)["stages"][-1]["kind"]
    steps = {} if options.steps is None else {f"stages.{last}.steps": options.steps}
    folder = options.runs / digest(load_yaml(ROOT / base), dict(changes), steps, seed)
    done = folder / "trained.json"
    if not done.is_file():
        if options.table_only:
            return Trained(str(folder / "model"), float("nan"), trained_head(row, base), folder)
        flags = [f"--{key}={option_text(value)}" for key, value in {**changes, **steps}.items()]
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
    return Trained(str(folder / "model"), json.loads(done.read_text())["cpu_seconds"], trained_head(row, base), folder)


def option_text(value: Any) -> str:
    """Return a setting as the text of a command-line option."""
    return value if isinstance(value, str) else json.dumps(value)


def training_config(row: Row, base: str) -> TrainConfig:
    """Return the training config of a row."""
    (config,) = read_recipe(str(ROOT / base), [(key, option_text(value)) for key, value in row.set.items()])
    return config


def trained_head(row: Row, base: str) -> str | None:
    """Return the id of the head that was trained beside those of another model; None for the model's default head."""
    family = training_config(row, base).model
    return family.name if isinstance(family, HeadFamily) else None


def score(trained: Trained, use: Mapping[str, Any], name: str, data: Mapping[str, Any]) -> None:
    """Score a model on some clips, unless that was done."""
    path = scores_path(trained, use, name, data)
    if path.is_file():
        return
    rule = score_frames if is_segmenter(trained.model) else score_tracks
    write_text(path, json.dumps(rule(trained, use, data)))


def score_frames(trained: Trained, use: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float | None]:
    """Of a segmenter, on some frames of each clip; ``ms`` of a frame. ``told``: the true cumulative masks are given."""
    settings = dict(use)
    told = settings.pop("told", False)
    model = changed_segmenter(load_segmenter(trained.model).model, settings).eval()
    found, truth, spent = [], [], 0.0
    bank = RecordedBank.load(Path(data["path"]), pixels=True)
    for number, (images, true) in enumerate(ground_truth_layers(bank, data["clips"], data["frames"], model.size)):
        before = time.process_time()
        with torch.autocast("cpu", pick_precision(torch.device("cpu"))):
            pictures = torch.from_numpy(images).float()
            found += layers_told(model, pictures, number, true) if told else layers_found(model, pictures, number)
        spent += time.process_time() - before
        truth += true
    scores = layer_scores(found, truth) | {"ms": 1000 * spent / len(truth)}
    if told:  # layers are all that there is
        scores = {name: value for name, value in scores.items() if name.startswith(("iou_", "ap_"))}
    return scores


def layers_found(model: FrameSegmenter, images: Float[torch.Tensor, "t 3 s s"], seed: int) -> list[LayeredFrame]:
    """What a segmenter finds. Where it finds layers first, theirs are not made of the objects that come from them."""
    seeds = [seed] * len(images)
    if isinstance(model, CumulativeSegmenter):
        drawn = model.predict_layers(images, seeds)
        return [layered(layers.instances(), model.size, layers.masks()) for layers in drawn]
    return [layered(objects, model.size) for objects in model.segment(images, seeds)]


def layers_told(
    model: FrameSegmenter, images: Float[torch.Tensor, "t 3 s s"], seed: int, truth: Sequence[LayeredFrame]
) -> list[LayeredFrame]:
    """Each layer behind the true ones in front of it, as in training: no error is handed on."""
    assert isinstance(model, CumulativeSegmenter)
    out = []
    for image, frame in zip(images, truth, strict=True):
        front, layers = np.zeros((model.size, model.size), dtype=bool), []
        for number, mask in enumerate(frame.layers, start=1):
            drawn = model.sample_layer(image[None], torch.from_numpy(front)[None].float(), number, [seed])
            chosen = representative(drawn[0].numpy() > 0, model.config.choose)
            layers.append(np.zeros_like(front) if chosen is None else chosen)
            front = front | mask
        out.append(layered([], model.size, np.array(layers).reshape(-1, model.size, model.size)))
    return out


def score_tracks(trained: Trained, use: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float | None]:
    """Of a model that completes given masks."""
    model, constrain, told = changed(load_model(trained.model, trained.head).model, use)
    predictor = Predictor(model, "cpu", constrain=constrain)
    videos, spent = [], 0.0
    for key, clip in islice(find_dataset(Path(data["path"])).clips.items(), data["clips"]):
        truth = clip.tracks()
        before = time.process_time()
        found = predictor.predict(truth, frames=clip.frames, order=truth.order if told else None)
        spent += time.process_time() - before
        videos.append(count_video(key, found, truth, shapes=False))
    mean = mean_scores([score_video(video) for video in videos])
    over_all = cumulative_iou.score(videos)
    return {measure: getattr(mean, measure) for measure in MEASURES} | {
        "cumulative_full": over_all["full"],
        "cumulative_inv": over_all["occ"],
        "ms": 1000 * spent / predictor.timings.object_frames,
    }


def scores_path(trained: Trained, use: Mapping[str, Any], name: str, data: Mapping[str, Any]) -> Path:
    """Where the scores of a model used in some way on some clips are kept."""
    return trained.scores / f"scores-{digest(dict(use), name, dict(data))}.json"


def changed(model: Model, use: Mapping[str, Any]) -> tuple[Model, bool, bool]:
    """A model with other settings, whether to apply the constraint and whether the true order is given.

    ``head.NAME`` is a setting of its head, ``roll`` and ``window`` are its transformer's.
    """
    settings = dict(use)
    constrain, told = settings.pop("constrain", True), settings.pop("order", False)
    within = {k: settings.pop(k) for k in ("roll", "window") if k in settings}
    of_head = {k.removeprefix("head."): settings.pop(k) for k in list(settings) if k.startswith("head.")}
    other: Model
    if isinstance(model, C2F):
        other = C2F(replace(model.config, **settings))
    elif isinstance(model, FramewiseModel):
        other = FramewiseModel(replace(model.config, **settings), replace(model.head_config, **of_head))
    else:
        transformer = replace(model.config.transformer, **within)
        config = replace(model.config, transformer=transformer, **settings)
        other = AmodalModel(config, replace(model.head_config, **of_head))
    wanted = other.state_dict()  # what is switched off is left out
    other.load_state_dict({name: value for name, value in model.state_dict().items() if name in wanted})
    return other, constrain, told


def changed_segmenter(model: FrameSegmenter, use: Mapping[str, Any]) -> FrameSegmenter:
    """A segmenter with other settings; ``part.NAME`` is one of a part's."""
    config = model.config
    for key, value in use.items():
        *parts, name = key.split(".")
        holders = [config]
        for part in parts:
            holders.append(getattr(holders[-1], part))
        for holder, field_name in zip(reversed(holders), [name, *reversed(parts)], strict=True):
            value = replace(holder, **{field_name: value})
        config = value
    other = type(model)(config)
    wanted = other.state_dict()
    other.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if name in wanted})
    return other


def report(config: Mapping[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """The page."""
    page = "" if options.page == "ablations" else f" {options.page}"
    yield f"# {config['title']}\n\nMade by `python -m scripts.experiments.ablation{page}`; per cent under the "
    yield "primary protocol unless it says otherwise. "
    yield f"Every row is trained on the same {size(config['base'], options)}. "
    yield "Rows with two seeds show their mean and, in brackets, half their difference. "
    yield "A dash: not run, or of a run that was stopped and went on, whose time is not known.\n"
    kept = argparse.Namespace(**{**vars(options), "table_only": True})
    for table in config["tables"]:
        yield f"\n## {table['name']}\n\n"
        if "note" in table:
            yield table["note"].strip() + "\n\n"
        if "base" in table:
            yield f"From `{table['base']}`: {size(table['base'], options)}.\n\n"
        measures = table.get("measures", SHOWN)
        heads = [f"{measure.replace('_', ' ')}, {name}" for name in table["data"] for measure in measures]
        yield f"| | CPU-minutes | {' | '.join(heads)} |\n|{' --- |' * (2 + len(heads))}\n"
        for row in rows(table):
            runs = [train(row, base_of(row, table, config), seed, kept) for seed in row.seeds]
            cells = [
                cell([found(run, row, name, config["sets"][name], measure) for run in runs], measure)
                for name in table["data"]
                for measure in measures
            ]
            minutes = [run.seconds / 60 for run in runs if run.seconds == run.seconds]
            spent = f"{sum(minutes) / len(minutes):.1f}" if minutes else "-"
            yield f"| {row.name} | {spent} | {' | '.join(cells)} |\n"


def size(base: str, options: argparse.Namespace) -> str:
    """Return the length of the trainings that start from a config."""
    config = training_config(Row("base"), base)
    stage = config.stages[-1]
    steps, sample = options.steps or stage.steps, stage.sample
    if isinstance(config.model, SegmenterFamily):
        unit = "layers" if stage.kind == "layers" else "frames"
        return f"{steps * stage.clips * sample.frames:,} {unit} ({steps} steps)"
    return f"{steps * stage.clips * sample.tracks * sample.frames:,} object-frames ({steps} steps)"


def found(run: Trained, row: Row, name: str, data: Mapping[str, Any], measure: str) -> float | None:
    """One figure of one run; None if it is not there."""
    path = scores_path(run, row.use, name, data)
    value: float | None = json.loads(path.read_text()).get(measure) if path.is_file() else None
    return value


def cell(values: Sequence[float | None], measure: str = "") -> str:
    """Mean and half the spread, in per cent; milliseconds as they are."""
    there = [value * (1 if measure == "ms" else 100) for value in values if value is not None]
    if not there:
        return "-"
    mean = f"{sum(there) / len(there):.1f}"
    return f"{mean} ({(max(there) - min(there)) / 2:.1f})" if len(there) > 1 else mean


if __name__ == "__main__":
    main()
