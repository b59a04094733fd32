"""Plot the validation scores of consecutive training runs over the object-frames: docs/results/learning.png.

    python -m scripts.experiments.learning runs/tiny-masks runs/tiny-scene runs/tiny-worlds ...

Also prints the scores as a table. Each run must start from the weights of the one before.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from scripts.experiments.common import RESULTS, experiment_parser, last_stage, markdown_table, run_experiment
from scripts.experiments.curves import Axis, Curve, line_chart
from vidamodal.media.images import write_image

MEASURES_SHOWN = ("full", "occ", "hidden")
Point = tuple[str, float, dict[str, float]]
"""Name of the run, millions of object-frames, and scores in per cent."""


def main() -> None:
    """Parse the command line, print the table and write the picture."""
    parser = experiment_parser("learning", __doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of training runs, in order")
    parser.add_argument("--out", type=Path, default=RESULTS / "learning.png", help="picture to write")
    options = parser.parse_args()

    def run() -> None:
        points = read_scores(options.runs)
        print_scores(points)
        series = [Curve(name, [(frames, scores[name]) for _, frames, scores in points]) for name in MEASURES_SHOWN]
        across, up = Axis("million object-frames", low=0), Axis("%", low=35, high=90)
        write_image(options.out, line_chart("Validation worlds", series, across, up, (640, 420)))

    run_experiment("learning", run)


def read_scores(runs: list[Path]) -> list[Point]:
    """Read the validation scores of all runs from their logs."""
    before, points = 0, []
    for run in runs:
        stage: dict[str, Any] = last_stage(json.loads((run / "config.json").read_text()))
        step = stage["clips"] * stage["sample"]["tracks"] * stage["sample"]["frames"]
        for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
            if "validation_full" in line:
                scores = {name: 100 * line[f"validation_{name}"] for name in MEASURES_SHOWN}
                points.append((run.name, (before + line["step"] * step) / 1e6, scores))
        before += stage["steps"] * step
    return points


def print_scores(points: list[Point]) -> None:
    """Print all scores, and how much each measure gained in the last doubling of the object-frames."""
    rows = [[run, f"{frames:.2f}", *(f"{score:.1f}" for score in scores.values())] for run, frames, scores in points]
    print(markdown_table([["run", "million object-frames", *MEASURES_SHOWN], *rows]))
    last = [(math.log2(frames), scores) for _, frames, scores in points if frames >= points[-1][1] / 2]
    for name in MEASURES_SHOWN:
        slope = math.nan
        if len(last) > 1:
            slope = np.polyfit([x for x, _ in last], [scores[name] for _, scores in last], 1)[0]
        print(f"{name}: {slope:+.1f} points in the last doubling of object-frames")


if __name__ == "__main__":
    main()
