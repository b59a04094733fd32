"""Measure what true masks of one and three frames of each track are worth for its others: docs/results/anchors.md.

    python -m scripts.experiments.anchors --truth data/worlds-validation --composites DIR --model tiny

The anchors of a track are the true masks of the frames in which its prediction without anchors is worst.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.anchors.measure import COUNTS, DISTANCES, Example, Gain, measure_example
from scripts.experiments.common import (
    RESULTS,
    experiment_parser,
    interval_text,
    markdown_table,
    run_experiment,
    spread_clips,
)
from scripts.experiments.real.sets import read_composites
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import mean
from vidamodal.metrics.primary import mean_scores, paired_differences
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model

MEASURES_SHOWN = ("full", "occ", "hidden", "false_completion")
SETTINGS = ("behind, exhaustive", "behind, partial", "behind, alone")
"""Settings of the composites, as in `scripts.experiments.real`."""


def main() -> None:
    """Parse the command line, measure and write the page."""
    parser = experiment_parser("anchors", __doc__)
    parser.add_argument("--truth", type=Path, nargs="*", default=[], help="data sets with ground truth")
    parser.add_argument("--composites", type=Path, help="folder of the composites of real video")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=6, help="number of clips, evenly spread over each data set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "anchors.md", help="the page")
    options = parser.parse_args()
    run_experiment("anchors", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure and write the page."""
    predictor = Predictor(load_model(options.model).model, options.device)
    results = {
        name: [measure_example(predictor, example) for example in tqdm(examples, desc=name, unit="clip")]
        for name, examples in read_examples(options).items()
    }
    text = render_page(options, results)
    write_text(options.out, text)
    print(text)


def read_examples(options: Namespace) -> dict[str, list[Example]]:
    """Return the clips of each data set and setting."""
    examples = {}
    for path in options.truth:
        clips = spread_clips(path, options.clips)
        examples[path.name] = [Example(clip.key, clip.tracks(), clip.tracks(), clip.frames) for clip in clips]
    if options.composites is not None:
        composites = read_composites(options.composites)
        for setting in SETTINGS:
            chosen = composites[setting]
            examples[setting] = [Example(clip.key, clip.inputs, clip.truth, clip.frames) for clip in chosen]
    return examples


def render_page(options: Namespace, results: Mapping[str, Sequence[Mapping[int, Gain]]]) -> str:
    """Return the page as Markdown.

    Args:
        options: The command line.
        results: For each data set and clip, what each number of anchors gives.
    """
    rows = [["data", "anchors", *(name.replace("_", " ") for name in MEASURES_SHOWN), "occ gained"]]
    near = [["data", *DISTANCES]]
    for name, clips in results.items():
        for count in COUNTS:
            before, after = ([getattr(clip[count], side) for clip in clips] for side in ("before", "after"))
            pairs = zip(
                *([getattr(mean_scores(side), m) for m in MEASURES_SHOWN] for side in (before, after)), strict=True
            )
            gain = paired_differences(after, before)["occ"]
            cells = [f"{percent(old)} to {percent(new)}" for old, new in pairs]
            rows.append([name, str(count), *cells, f"{percent(gain.mean)} ({interval_text(gain.interval)})"])
        gains = {d: [gain for clip in clips for gain in clip[1].by_distance[d]] for d in DISTANCES}
        near.append([name, *(f"{percent(mean(gains[d]))} ({len(gains[d])})" for d in DISTANCES)])
    sources = [f"--truth {' '.join(p.name for p in options.truth)}"] if options.truth else []
    sources += [f"--composites {options.composites.name}"] if options.composites else []
    command = " ".join([*sources, f"--model {Path(options.model).name}", f"--clips {options.clips}"])
    text = (
        f"Written by `python -m scripts.experiments.anchors {command}`: the frames in which a track is predicted worst "
        "get their true masks as anchors, and the other frames are completed from them. Scores of the primary protocol "
        "in per cent without and with anchors, over all frames but those of the anchors; in brackets the 95 % "
        "bootstrap interval over clips. Anchors are at least an eighth of the clip apart."
    )
    distance = (
        "What one anchor adds to the IoU of the hidden part, in points, by the distance from the anchor in frames; in "
        "brackets the number of object-frames."
    )
    return f"# Anchors\n\n{text}\n\n{markdown_table(rows)}\n\n## By distance\n\n{distance}\n\n{markdown_table(near)}\n"


if __name__ == "__main__":
    main()
