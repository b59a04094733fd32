"""Score models and all baselines on several held-out data sets and write docs/results/presets.md.

    python -m scripts.experiments.presets --truth NAME=PATH ... --models NAME=MODEL[,MODEL...] ... [--clips 12]

A MODEL is a folder or a name; several are seeds of one method. All methods receive the true visible masks.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.common import (
    RESULTS,
    experiment_parser,
    first_clips,
    interval_text,
    last_stage,
    parse_names,
    run_experiment,
    section,
    seeds_cell,
)
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.formats import Clip
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
from vidamodal.types import ClipTracks

Method = Callable[[ClipTracks, FrameSource], ClipTracks]
SeedCounts = Sequence[Sequence[VideoCounts]]
"""Pixel counts of one method on one data set: for each of its seeds, every video."""
MEASURES_SHOWN = ("full", "occ", "hidden", "false_completion", "flicker")
WITH_INTERVAL = ("full", "occ", "hidden")


def main() -> None:
    """Parse the command line, score and write the page."""
    parser = experiment_parser("presets", __doc__)
    parser.add_argument("--truth", nargs="+", required=True, metavar="NAME=PATH", help="data sets")
    parser.add_argument("--models", nargs="+", default=["tiny=tiny"], metavar="NAME=MODEL[,MODEL...]")
    parser.add_argument("--clips", type=int, default=12, help="number of clips of each data set, from its beginning")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS / "presets.md", help="page to write")
    options = parser.parse_args()

    def run() -> None:
        text = render_page(parse_names(options.truth), parse_names(options.models), options.clips, options.device)
        write_text(options.out, text)
        print(text)

    run_experiment("presets", run)


def render_page(truths: Mapping[str, str], models: Mapping[str, str], clips: int, device: str = "auto") -> str:
    """Score all methods and return the page as Markdown.

    Raises:
        InputError: A data set or a model cannot be read; raised before anything is predicted.
    """
    sets = {name: first_clips(path, clips) for name, path in truths.items()}
    methods = load_methods(models, device)
    counts = {name: count_pixels(chosen, methods, name) for name, chosen in sets.items()}
    sizes = []
    for name, rows in counts.items():
        total = mean_scores([score_video(video) for video in next(iter(rows.values()))[0]])
        sizes.append(f"{name}: {total.videos} clips, {total.object_frames:,} object-frames")
    arguments = [*(f"{n}={p}" for n, p in truths.items()), "--models", *(f"{n}={m}" for n, m in models.items())]
    sections = [
        "# Presets on held-out sets",
        f"Written by `python -m scripts.experiments.presets --clips {clips} --truth {shlex.join(arguments)}`.",
        f"Clips with exact ground truth that no training used ({'; '.join(sizes)}). All methods receive the true "
        "visible masks. Scores in per cent. For a method with several seeds, the mean, with half the range in round "
        "brackets. Square brackets hold the 95 % bootstrap interval over videos, a rough estimate for few videos.",
        *(section(name[:1].upper() + name[1:], score_rows(rows)) for name, rows in counts.items()),
        "## Training of the models\n\n" + "\n".join(f"- **{n}**: {describe_training(m)}" for n, m in models.items()),
    ]
    return "\n\n".join(sections) + "\n"


def load_methods(models: Mapping[str, str], device: str) -> dict[str, list[Method]]:
    """Return the seeds of every model, then the baselines."""

    def model_method(model: str) -> Method:
        predictor = Predictor(load_model(model).model, device)
        return lambda clip, frames: predictor.predict(clip, frames=frames)

    def baseline_method(name: str) -> Method:
        return lambda clip, _: predict_baseline(name, clip)

    seeds = {name: [model_method(model) for model in value.split(",")] for name, value in models.items()}
    return seeds | {name: [baseline_method(name)] for name in load_baselines()}


def count_pixels(clips: Sequence[Clip], methods: Mapping[str, Sequence[Method]], title: str) -> dict[str, SeedCounts]:
    """Count every seed of every method on every clip, with one clip in memory at a time."""
    counts: dict[str, list[list[VideoCounts]]] = {name: [[] for _ in seeds] for name, seeds in methods.items()}
    with tqdm(total=len(clips) * sum(map(len, methods.values())), desc=title, unit="prediction") as bar:
        for clip in clips:
            truth = clip.tracks()
            for name, seeds in methods.items():
                for videos, method in zip(counts[name], seeds, strict=True):
                    videos.append(count_video(clip.key, method(truth, clip.frames), truth, shapes=False))
                    bar.update()
    return dict(counts)


def score_rows(rows: Mapping[str, SeedCounts]) -> list[list[str]]:
    """Return the header, a row per method and the scores of a perfect prediction."""
    perfect = [[video.with_perfect_prediction() for video in next(iter(rows.values()))[0]]]
    header = ["", *(measure.replace("_", " ") for measure in MEASURES_SHOWN), "c2f-video full", "c2f-video occ"]
    return [
        header,
        *([name, *score_cells(counts)] for name, counts in rows.items()),
        ["*a perfect prediction*", *score_cells(perfect)],
    ]


def score_cells(counts: SeedCounts) -> list[str]:
    """Return means over the seeds; intervals resample the videos, each with its mean over the seeds."""
    scores = [[score_video(video) for video in videos] for videos in counts]
    means = [mean_scores(videos) for videos in scores]
    cells = {measure: seeds_cell([getattr(seed, measure) for seed in means]) for measure in MEASURES_SHOWN}
    for measure in WITH_INTERVAL:
        interval = bootstrap_interval([mean(getattr(s, measure) for s in video) for video in zip(*scores, strict=True)])
        cells[measure] += "" if interval is None else f" [{interval_text(interval)}]"
    pairs = [load_protocols()["c2f-video"].score(videos) for videos in counts]
    return [*cells.values(), *(seeds_cell([pair[key] for pair in pairs]) for key in ("full", "occ"))]


def describe_training(models: str) -> str:
    """Summarise the training that the config.json of the seeds records."""
    trainings = [json.loads((find_model(model) / "config.json").read_text())["training"] for model in models.split(",")]
    if not all("config" in training for training in trainings):
        return "not recorded."
    runs = [training["config"] for training in trainings]
    stage, seeds = last_stage(runs[0]), ", ".join(str(run["seed"]) for run in runs)
    step = stage["clips"] * stage["sample"]["tracks"] * stage["sample"]["frames"]
    start = "from random weights" if runs[0]["init"] is None else f"starting from {runs[0]['init']}"
    return f"{runs[0]['worlds']}; {start}, {stage['steps']} steps of {step} object-frames; seed {seeds}."


if __name__ == "__main__":
    main()
