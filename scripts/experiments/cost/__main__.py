"""Measure the cost of models per object and frame and write docs/results/cost.md and .png.

    python -m scripts.experiments.cost --models tiny tiny:conddiff configs/c2f/full.yaml ... [--curves tiny]
        [--objects 1 10 100] [--frames 24 240 2400] [--heights 256 720 1080] [--videos 100]

A model is a folder or a name, with a head after a colon, or a training config, whose model gets random weights. Every
measurement runs in a separate process, so that its peak memory can be read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import SUPPRESS, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scripts.dev.many import compare
from scripts.experiments.common import RESULTS, experiment_parser, run_experiment
from scripts.experiments.cost.measure import (
    Cost,
    FormatCost,
    Load,
    Scale,
    measure_cost,
    measure_formats,
    measure_load,
    measure_scale,
)
from scripts.experiments.cost.page import Measured, public_name, render_curves, render_page
from vidamodal.commandline import Parser
from vidamodal.errors import InputError
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png

ROOT = Path(__file__).parents[3]
SCALE_FRAMES = 24
"""Number of frames of the videos of several sizes."""


def main() -> None:
    """Parse the command line, measure and write the page and its picture."""
    parser = build_parser()
    options = parser.parse_args()
    run_experiment("cost", lambda: measure_child(*options.child) if options.child else write_page(parser, options))


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = experiment_parser("cost", __doc__)
    parser.add_argument("--models", nargs="+", default=["tiny"], help="folders, names (:head) or training configs")
    parser.add_argument("--curves", default="tiny", help="model measured over numbers of objects and frames")
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 10, 40, 100], help="numbers of objects")
    parser.add_argument("--frames", nargs="+", type=int, default=[24, 240, 2400, 24000], help="numbers of frames")
    parser.add_argument("--heights", nargs="+", type=int, default=[256, 480, 720, 1080, 2160], help="sizes in pixels")
    parser.add_argument("--videos", type=int, default=100, help="number of short videos that are predicted together")
    parser.add_argument("--out", type=Path, default=RESULTS / "cost.md", help="page; its picture lies beside it")
    parser.add_argument("--child", nargs="+", help=SUPPRESS)
    return parser


def write_page(parser: Parser, options: Namespace) -> None:
    """Measure everything in child processes and write the page."""
    costs = [Cost(**run_child(name)) for name in tqdm(options.models, desc="presets", unit="preset")]
    frames = sorted(options.frames)
    points = dict.fromkeys([*((n, frames[0]) for n in sorted(options.objects)), *((1, t) for t in frames)])
    loads = [Load(**run_child(options.curves, *point)) for point in tqdm(points, desc="curves", unit="clip")]
    sizes = [(1, *frame_size(height)) for height in sorted(options.heights)]
    sizes += [(10, *size[1:]) for size in sizes[-2:]]
    scales = [
        Scale(**run_child(options.curves, n, SCALE_FRAMES, *size))
        for n, *size in tqdm(sizes, desc="sizes", unit="clip")
    ]
    formats = [FormatCost(**cost) for cost in run_child(options.curves, SCALE_FRAMES, *frame_size(720))]
    with tempfile.TemporaryDirectory() as folder:
        many = compare(Path(folder), options.videos, SCALE_FRAMES, options.curves)
    picture = options.out.with_suffix(".png")
    measured = Measured(costs, loads, scales, formats, many)
    page = render_page(page_arguments(parser, options), public_name(options.curves), picture.name, measured)
    write_text(options.out, page)
    save_png(picture, render_curves(loads))
    print(page)


def page_arguments(parser: Parser, options: Namespace) -> str:
    """Return the command's arguments, without the page's place, defaults, and the folders above a model elsewhere."""
    names = [Path(name).name if Path(name).is_absolute() else name for name in [*options.models, options.curves]]
    shown = ["--models", *names[:-1], "--curves", names[-1]]
    for option in ("objects", "frames", "heights", "videos"):
        value = getattr(options, option)
        if value != parser.get_default(option):
            shown += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return " ".join(shown)


def frame_size(height: int) -> tuple[int, int]:
    """Return height and width of a frame: square up to 256 pixels, else in the ratio 16 : 9, both even."""
    return height, height if height <= 256 else 2 * round(height * 8 / 9)


def measure_child(model: str, *clip: str) -> None:
    """Measure a model's cost, its load for objects and frames, formats, or a size of frames, and print it as JSON."""
    numbers = list(map(int, clip))
    if len(numbers) == 3:
        print(json.dumps([asdict(cost) for cost in measure_formats(model, *numbers)]))
        return
    measured: Cost | Load | Scale
    if len(numbers) > 3:
        measured = measure_scale(model, *numbers)
    else:
        measured = measure_load(model, *numbers) if numbers else measure_cost(model)
    print(json.dumps(asdict(measured)))


def run_child(*arguments: object) -> Any:
    """Run `measure_child` in a separate process, on one thread.

    Raises:
        InputError: The process failed.
    """
    command = [sys.executable, "-m", "scripts.experiments.cost", "--child", *map(str, arguments)]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **one_thread})
    if child.returncode:
        raise InputError(f"{' '.join(map(str, arguments))}: {child.stderr.strip().splitlines()[-1]}")
    return json.loads(child.stdout)


if __name__ == "__main__":
    main()
