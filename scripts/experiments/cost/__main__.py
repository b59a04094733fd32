"""Make docs/cost.md and docs/cost.png: what an object-frame costs, and how that grows with objects and frames.

`python -m scripts.experiments.cost --models tiny tiny:conddiff configs/c2f/full.yaml ...`, each a model folder or name, with a head of
it after a colon, or the config of a run, whose weights are drawn: neither multiply-adds nor seconds depend on them.
All of it is one thread of one machine in one run: compare ratios, not the seconds of two runs. Every preset and every
point of the curves is a process of its own, whose memory is read at its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.data.crops import TrackCrops
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.models.amodal import AmodalOutput
from vidamodal.models.folder import Model, load_model
from vidamodal.training.command import read_recipe
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.training.stages.c2f import C2FFamily
from vidamodal.training.stages.head import FramewiseFamily
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

ROOT = Path(__file__).parents[3]
OBJECTS = (1, 5, 15, 40)
FRAMES = (24, 240, 2400)
SIZE = 128
"""Pixels along each side of the frames."""
BUDGET = 40e9
"""A network is run over the longest clip that stays within so many multiply-adds, of 2 to 24 frames."""


@dataclass(frozen=True)
class Cost:
    """What one preset costs: parameters, and for each object-frame multiply-adds and CPU-seconds.

    ``multiply_adds`` and ``network`` are of one pass of the network alone, ``seconds`` of everything that `predict`
    does, in as many ``passes`` as the model asks for.
    """

    name: str
    precision: str
    parameters: int
    multiply_adds: float
    network: float
    passes: int
    seconds: float


@dataclass(frozen=True)
class Load:
    """CPU-seconds of one process that predicts a clip, and memory in bytes.

    ``start`` and ``peak`` are what the process held before the prediction and at most, ``traced`` what the prediction's
    own Python objects and arrays held at most: it is exact, where the allocator makes the other two waver. ``slowing``
    is the CPU time of the last third of the frames over that of the first.
    """

    objects: int
    frames: int
    seconds: float
    start: int
    peak: int
    traced: int
    slowing: float


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["tiny"], help="model folders or names (:head), or configs of runs"
    )
    parser.add_argument("--curves", default="tiny", help="the model whose cost over objects and frames is measured")
    parser.add_argument("--out", type=Path, default=Path("docs/results/cost.md"), help="page to write, its picture beside it")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if options.child:
            model, *clip = options.child
            print(json.dumps(asdict(measure_load(model, *map(int, clip)) if clip else measure_cost(model))))
            return
        costs = [Cost(**child(name)) for name in tqdm(options.models, desc="presets", unit="preset")]
        points = dict.fromkeys([*((n, FRAMES[0]) for n in OBJECTS), *((1, t) for t in FRAMES)])
        loads = [Load(**child(options.curves, *at)) for at in tqdm(points, desc="curves", unit="clip")]
    except InputError as error:
        raise SystemExit(f"cost.py: {error}") from None
    page = write_page(options, costs, loads)
    write_text(options.out, page)
    save_png(options.out.with_suffix(".png"), picture(loads))
    print(page)


def child(*words: object) -> dict[str, Any]:
    """What ``--child`` with these words measures in a process of its own, so that peak and threads are its own."""
    command = [sys.executable, "-m", "scripts.experiments.cost", "--child", *map(str, words)]
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **alone})
    if found.returncode:
        raise InputError(f"{' '.join(map(str, words))}: {found.stderr.strip().splitlines()[-1]}")
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def network(name: str) -> Model:
    """The model of a folder or a name, with a head of it after a colon, or, untrained, that of a run's config."""
    if not name.endswith((".yaml", ".yml")):
        folder, _, head = name.partition(":")
        return load_model(folder, head or None).model
    (config,) = read_recipe(name)
    if not isinstance(config.model, AmodalFamily | C2FFamily | FramewiseFamily):
        raise InputError(f"{name}: the cost of the family {config.model.ID!r} cannot be measured without weights")
    return config.model.new_model(config).eval()


def measure_cost(name: str) -> Cost:
    """One object that is seen in every frame, through everything that `predict` does."""
    model = network(name)
    frames = 2
    multiply_adds = count(model, moving_shapes(1, frames)) / frames
    longer = int(np.clip(BUDGET / multiply_adds, frames, model.config.chunk))
    if longer > frames:
        frames = longer
        multiply_adds = count(model, moving_shapes(1, frames)) / frames
    clip, spent = moving_shapes(1, frames), Stopwatch(model)
    began = time.process_time()
    predictor = predict(model, clip)
    return Cost(
        name=Path(name).stem,
        precision=str(predictor.runtime.precision).removeprefix("torch."),
        parameters=sum(p.numel() for p in model.parameters()),
        multiply_adds=multiply_adds,
        network=spent.seconds / frames / model.config.windows.passes,
        passes=model.config.windows.passes,
        seconds=(time.process_time() - began) / frames,
    )


class Stopwatch:
    """CPU-seconds that a network spends on completing crops from now on."""

    def __init__(self, model: Model) -> None:
        self.seconds = 0.0
        self._complete = model.complete
        model.complete = self._timed  # type: ignore[method-assign,assignment]

    def _timed(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        began = time.process_time()
        output = self._complete(crops, generator)
        self.seconds += time.process_time() - began
        return output


def predict(model: Model, clip: ClipTracks) -> Predictor:
    """Completes a clip on the CPU and forgets the result."""
    predictor = Predictor(model, "cpu")
    predictor.predict(clip, frames=lambda: paint(clip))
    return predictor


def count(model: Model, clip: ClipTracks) -> float:
    """Multiply-adds of matrix products and convolutions in one pass; each is two floating-point operations."""
    with FlopCounterMode(display=False) as counter:
        predict(model, clip)
    return counter.get_total_flops() / 2 / model.config.windows.passes


def measure_load(name: str, objects: int, frames: int) -> Load:
    """A prediction, timed and then traced.

    The clip lies in memory as run lengths, as does the result: that is all that may grow with the frames.
    """
    model = network(name)
    predict(model, moving_shapes(1, model.config.chunk))  # what torch sets up once
    clip = moving_shapes(objects, frames)
    start = peak_memory()
    began = time.process_time()
    predict(model, clip)
    seconds, peak = time.process_time() - began, peak_memory()
    tracemalloc.start()
    results, marks = [], []
    for result in Predictor(model, "cpu").stream(clip, frames=lambda: paint(clip)):
        results.append((result.objects, result.order))  # what a prediction keeps
        marks.append(time.process_time())
    third = frames // 3
    slowing = (marks[-1] - marks[-1 - third]) / (marks[third] - marks[0])
    return Load(objects, frames, seconds, start, peak, tracemalloc.get_traced_memory()[1], slowing)


def peak_memory() -> int:
    """The most memory that this process has had, in bytes; where Linux tells, without that of its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def moving_shapes(objects: int, frames: int, size: int = SIZE) -> ClipTracks:
    """Discs and boxes that go round and hide each other, the later the further in front; each is seen at times."""
    rows, columns = np.mgrid[:size, :size]
    visible: list[list[Rle]] = [[] for _ in range(objects)]
    radius = size * 0.3 / np.sqrt(objects) + 3
    for t in range(frames):
        labels = np.zeros((size, size), dtype=np.int16)
        for k in range(objects):
            angle = 2 * np.pi * (k * 0.618 + t / (40 + 7 * (k % 5)))
            orbit = size * (0.12 + 0.24 * (k + 0.5) / objects)
            y, x = size / 2 + orbit * np.sin(angle), size / 2 + orbit * np.cos(angle)
            apart = np.abs(rows - y), np.abs(columns - x)
            labels[np.hypot(*apart) < radius if k % 2 else np.maximum(*apart) < 0.85 * radius] = k + 1
        for k in range(objects):
            visible[k].append(Rle.encode(labels == k + 1))
    tracks = tuple(Track(k + 1, tuple(masks)) for k, masks in enumerate(visible))
    return ClipTracks(VideoInfo("shapes.mp4", size, size, frames, 12.0), tracks, exhaustive=True)


def paint(clip: ClipTracks) -> Iterator[Frame]:
    """The frames of such a clip, each object in a grey of its own."""
    for t in range(clip.video.frames):
        frame = np.full((clip.video.height, clip.video.width, 3), 40, dtype=np.uint8)
        for k, track in enumerate(clip.tracks):
            mask = track.visible[t]
            if mask is not None:
                frame[mask.decode()] = 60 + 180 * (k + 1) // len(clip.tracks)
        yield frame


def write_page(options: argparse.Namespace, costs: Sequence[Cost], loads: Sequence[Load]) -> str:
    """The page as Markdown."""
    first = costs[0]
    lines = [
        "| | parameters (M) | multiply-adds, one pass (G) | times the first | network, one pass (CPU-ms) | "
        "times the first | passes | `predict` (CPU-ms) |",
        "| --- |" + " --- |" * 7,
        *(
            f"| {c.name} | {c.parameters / 1e6:.2f} | {c.multiply_adds / 1e9:.3f} | "
            f"{c.multiply_adds / first.multiply_adds:.1f} | {1000 * c.network:.1f} | {c.network / first.network:.1f} | "
            f"{c.passes} | {1000 * c.seconds:.1f} |"
            for c in costs
        ),
    ]
    table = [
        "| objects | frames | CPU-s | ms an object-frame | memory before (MB) | peak (MB) | traced peak (MB) |",
        "| --- |" + " --- |" * 6,
        *(
            f"| {x.objects} | {x.frames} | {x.seconds:.2f} | {1000 * x.seconds / (x.objects * x.frames):.2f} | "
            f"{x.start / 1e6:.0f} | {x.peak / 1e6:.0f} | {x.traced / 1e6:.2f} |"
            for x in loads
        ),
    ]
    _, middle, last = (x for x in loads if x.objects == 1)
    growth = (last.traced - middle.traced) / (last.frames - middle.frames)
    power = np.log(last.seconds / middle.seconds) / np.log(last.frames / middle.frames)
    model = shown(options.curves)
    return "\n".join(
        [
            "# Cost\n",
            f"Made by `python -m scripts.experiments.cost --models {' '.join(map(shown, options.models))} --curves {model}`: one "
            f"thread of one machine in one run, {first.precision}. Compare ratios, not the seconds of two runs.\n",
            "## An object-frame\n",
            *lines,
            "\nMultiply-adds are those of matrix products and convolutions, as PyTorch counts them, for one object in "
            f"{SIZE} px frames that all show it. `predict` looks at a clip as often as the model asks for, cuts, "
            "pastes and keeps who is in front of whom.\n",
            f"## Objects and frames ({model})\n",
            *table,
            f"\nFrom {middle.frames} to {last.frames} frames of one object the time grows with the power {power:.2f} "
            f"of their number (1: linear; the last third of {last.frames} frames takes {last.slowing:.2f} times as "
            f"long as the first), and what the prediction itself holds at most by {growth:.0f} bytes a frame: boxes, "
            "windows, the order found first, and run lengths. One chunk costs less a frame than a long video, whose "
            "chunks overlap.\n",
            f"![CPU-seconds and memory over objects and frames]({options.out.with_suffix('.png').name})\n",
        ]
    )


def shown(name: str) -> str:
    """A model as it stands in a command: nothing above the folder that a run's config lies in."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.suffix in (".yaml", ".yml") else path.name


def picture(loads: Sequence[Load]) -> np.ndarray:
    """Time and memory over objects, then over frames."""
    panels = []
    for what, axis, kept in (
        ("objects", Axis(f"objects, {FRAMES[0]} frames"), [x for x in loads if x.frames == FRAMES[0]]),
        ("frames", Axis("frames, one object", log=True, ticks=FRAMES, low=10, high=4000),
         [x for x in loads if x.objects == 1]),
    ):  # fmt: skip
        seconds = [(float(getattr(x, what)), x.seconds) for x in kept]
        linear = [(x, seconds[-1][1] * x / seconds[-1][0]) for x, _ in seconds]
        panels.append(
            line_chart(
                "CPU-seconds", [Curve("measured", seconds), Curve("in proportion", linear, dashed=True)],
                axis, Axis("", log=axis.log),
            )
        )  # fmt: skip
        memory = [(float(getattr(x, what)), x.peak / 1e6) for x in kept]
        before = [(float(getattr(x, what)), x.start / 1e6) for x in kept]
        panels.append(
            line_chart(
                "Memory (MB)", [Curve("at its peak", memory), Curve("before the prediction", before, dashed=True)],
                axis, Axis(""),
            )
        )  # fmt: skip
    return tile_panels(panels, 2)


if __name__ == "__main__":
    main()
