"""Validation scores over the object-frames seen, of runs that go on from each other: a picture and a table.

python -m scripts.experiments.learning runs/tiny-masks runs/tiny-scene runs/tiny-worlds runs/tiny-more \
        runs/tiny-order runs/tiny
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from scripts.experiments.curves import Axis, Curve, line_chart
from vidamodal.media.images import write_image
from vidamodal.training.legacy import upgrade

SHOWN = ("full", "occ", "hidden")


def main() -> None:
    """Read, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, the first one first")
    parser.add_argument("--out", type=Path, default=Path("docs/results/learning.png"))
    options = parser.parse_args()
    seen, points = 0, []
    for run in options.runs:
        amodal = upgrade(json.loads((run / "config.json").read_text()))["stages"][-1]
        step = amodal["clips"] * amodal["sample"]["tracks"] * amodal["sample"]["frames"]
        for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
            if "validation_full" in line:
                scores = tuple(100 * line[f"validation_{name}"] for name in SHOWN)
                points.append((run.name, (seen + line["step"] * step) / 1e6, *scores))
        seen += amodal["steps"] * step
    print("| run | million object-frames | " + " | ".join(SHOWN) + " |\n|" + " --- |" * 5)
    for name, frames, *scores in points:
        print(f"| {name} | {frames:.2f} | " + " | ".join(f"{score:.1f}" for score in scores) + " |")
    last = [p for p in points if p[1] >= points[-1][1] / 2]
    for k, name in enumerate(SHOWN, start=2):
        slope = np.polyfit([math.log2(p[1]) for p in last], [p[k] for p in last], 1)[0] if len(last) > 1 else math.nan
        print(f"{name}: {slope:+.1f} points in the last doubling of object-frames")
    series = [Curve(name, [(p[1], p[k]) for p in points]) for k, name in enumerate(SHOWN, start=2)]
    across, up = Axis("million object-frames", low=0), Axis("%", low=35, high=90)
    write_image(options.out, line_chart("Validation worlds", series, across, up, (640, 420)))


if __name__ == "__main__":
    main()
