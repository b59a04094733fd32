"""Make docs/presets.md: models and every baseline on several held-out sets, with intervals.

    python -m scripts.experiments.presets --truth NAME=PATH ... --models NAME=MODEL[,MODEL...] ... [--clips 12]

A MODEL is a folder or a name. Several of them are seeds of one method: its figures are their means, with half their
difference in brackets. All methods see the true visible masks, and the pictures where they read them. One thread.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from scripts.experiments.ablation.__main__ import SHOWN, cell
from scripts.experiments.results.__main__ import section, spread
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.formats import Clip, find_dataset
from vidamodal.hub import find_model
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import FrameSource
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import bootstrap_interval, mean
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.primary import mean_scores, score_video
from vidamodal.metrics.protocols import load_protocols
from vidamodal.models.folder import load_model
from vidamodal.training.legacy import upgrade
from vidamodal.types import ClipTracks, InputError

Method = Callable[[ClipTracks, FrameSource], ClipTracks]
Counts = Sequence[Sequence[VideoCounts]]
"""What one method scored on one set: for each of its seeds, every video."""
WITH_INTERVAL = ("full", "occ", "hidden")


def main() -> None:
    """Predict, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", nargs="+", required=True, metavar="NAME=PATH", help="data sets in known layouts")
    parser.add_argument("--models", nargs="+", default=["tiny=tiny"], metavar="NAME=MODEL[,MODEL...]")
    parser.add_argument("--clips", type=int, default=12, help="the first so many clips of each set")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("docs/results/presets.md"), help="page to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        text = page(named(options.truth), named(options.models), options.clips, options.device)
    except InputError as error:
        raise SystemExit(f"presets.py: {error}") from None
    write_text(options.out, text)
    print(text)


def named(pairs: Sequence[str]) -> dict[str, str]:
    """What stands behind the equals sign, by what stands before it."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name or not value or name in found or name in load_baselines():
            raise InputError(f"{pair!r} is not NAME=VALUE with a name of its own")
        found[name] = value
    return found


def page(truths: Mapping[str, str], models: Mapping[str, str], clips: int, device: str = "auto") -> str:
    """The page as Markdown. InputError, before anything is predicted, for a set or a model that cannot be read."""
    if clips < 1:
        raise InputError(f"--clips must be at least 1, not {clips}")
    sets = {name: list(islice(find_dataset(path).clips.values(), clips)) for name, path in truths.items()}
    ways = methods(models, device)
    counts = {name: score(picked, ways, name) for name, picked in sets.items()}
    sizes = []
    for name, rows in counts.items():
        total = mean_scores([score_video(video) for video in next(iter(rows.values()))[0]])
        sizes.append(f"{name}: {total.videos} clips, {total.object_frames:,} object-frames")
    asked = [*(f"{n}={p}" for n, p in truths.items()), "--models", *(f"{n}={m}" for n, m in models.items())]
    sections = [
        "# Presets on held-out sets",
        f"Made by `python -m scripts.experiments.presets --clips {clips} --truth {shlex.join(asked)}`.",
        f"Clips with exact truth, which nothing was trained on ({'; '.join(sizes)}). All methods see the true visible "
        "masks. Per cent. Of a method with several seeds the mean, and in round brackets half the difference; in "
        "square brackets the 95 % interval of bootstraps over videos, a rough guess where these are few.",
        *(section(name[:1].upper() + name[1:], table(rows)) for name, rows in counts.items()),
        "## What the models learnt on\n\n" + "\n".join(f"- **{name}**: {learnt(m)}" for name, m in models.items()),
    ]
    return "\n\n".join(sections) + "\n"


def methods(models: Mapping[str, str], device: str) -> dict[str, list[Method]]:
    """The seeds of every model, then the baselines."""

    def completed(model: str) -> Method:
        predictor = Predictor(load_model(model).model, device)
        return lambda clip, pictures: predictor.predict(clip, frames=pictures)

    def baseline(name: str) -> Method:
        return lambda clip, _: predict_baseline(name, clip)

    seeds = {name: [completed(model) for model in value.split(",")] for name, value in models.items()}
    return seeds | {name: [baseline(name)] for name in load_baselines()}


def score(clips: Sequence[Clip], ways: Mapping[str, Sequence[Method]], name: str) -> dict[str, Counts]:
    """Every seed of every method over every clip. One clip is held at a time."""
    counts: dict[str, list[list[VideoCounts]]] = {way: [[] for _ in seeds] for way, seeds in ways.items()}
    with tqdm(total=len(clips) * sum(map(len, ways.values())), desc=name, unit="prediction") as bar:
        for clip in clips:
            truth = clip.tracks()
            for way, seeds in ways.items():
                for videos, method in zip(counts[way], seeds, strict=True):
                    videos.append(count_video(clip.key, method(truth, clip.frames), truth, shapes=False))
                    bar.update()
    return dict(counts)


def table(rows: Mapping[str, Counts]) -> list[list[str]]:
    """The heads, a row for each method and what a perfect prediction would score."""
    perfect = [[video.with_perfect_prediction() for video in next(iter(rows.values()))[0]]]
    heads = ["", *(measure.replace("_", " ") for measure in SHOWN), "c2f-video full", "c2f-video occ"]
    return [heads, *([way, *figures(c)] for way, c in rows.items()), ["*a perfect prediction*", *figures(perfect)]]


def figures(counts: Counts) -> list[str]:
    """The cells of a method: means over the seeds; what is drawn again for an interval is a video's mean over them."""
    scores = [[score_video(video) for video in videos] for videos in counts]
    means = [mean_scores(videos) for videos in scores]
    cells = {measure: cell([getattr(seed, measure) for seed in means]) for measure in SHOWN}
    for measure in WITH_INTERVAL:
        interval = bootstrap_interval([mean(getattr(s, measure) for s in video) for video in zip(*scores, strict=True)])
        cells[measure] += "" if interval is None else f" [{spread(interval)}]"
    pairs = [load_protocols()["c2f-video"].score(videos) for videos in counts]
    return [*cells.values(), *(cell([pair[key] for pair in pairs]) for key in ("full", "occ"))]


def learnt(models: str) -> str:
    """What the configs of a method's seeds tell of their training."""
    told = [json.loads((find_model(model) / "config.json").read_text())["training"] for model in models.split(",")]
    if not all("config" in training for training in told):
        return "not told."
    runs = [upgrade(training["config"]) for training in told]
    amodal, seeds = runs[0]["stages"][-1], ", ".join(str(run["seed"]) for run in runs)
    step = amodal["clips"] * amodal["sample"]["tracks"] * amodal["sample"]["frames"]
    begun = "from nothing" if runs[0]["init"] is None else f"going on from {runs[0]['init']}"
    return f"{runs[0]['worlds']}; {begun}, {amodal['steps']} steps of {step} object-frames; seed {seeds}."


if __name__ == "__main__":
    main()
