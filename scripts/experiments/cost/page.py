"""The page on cost, and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.dev.many import Many
from scripts.experiments.common import markdown_table
from scripts.experiments.cost.measure import SIZE, Cost, FormatCost, Load, Scale
from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.types import Frame


@dataclass(frozen=True)
class Measured:
    """What the page shows."""

    costs: Sequence[Cost]
    """Cost of each model."""
    loads: Sequence[Load]
    """Load for several numbers of objects, and of frames."""
    scales: Sequence[Scale]
    """Time for several sizes of frames."""
    formats: Sequence[FormatCost]
    """Cost of each format."""
    many: Many
    """Time of many short videos."""


def render_page(arguments: str, curve_name: str, picture: str, measured: Measured) -> str:
    """Return the page as Markdown.

    Args:
        arguments: Arguments of the command that wrote it.
        curve_name: Name of the model of everything but the first table.
        picture: File name of the picture.
        measured: What the page shows.
    """
    costs = measured.costs
    single = [load for load in measured.loads if load.objects == 1]
    short, last = single[len(single) > 2], single[-1]  # a single chunk is cheaper than longer clips
    power = np.log(last.seconds / short.seconds) / np.log(last.frames / short.frames)
    sections = [
        "# Cost",
        f"Written by `python -m scripts.experiments.cost {arguments}`: one thread of one machine in one run, "
        f"{costs[0].precision}. Compare ratios, not the seconds of two runs.",
        "## One object-frame",
        markdown_table(_cost_rows(costs)),
        "Multiply-adds are those of matrix products and convolutions, as PyTorch counts them, for one object that is "
        f"visible in all {SIZE} px frames. `predict` includes all passes, cropping, pasting and the order of objects.",
        f"## Objects and frames ({curve_name})",
        markdown_table(_load_rows(measured.loads)),
        f"From {short.frames} to {last.frames} frames of one object the time grows with the power {power:.2f} of the "
        f"number of frames (1 is linear; the last third of {last.frames} frames takes {last.slowing:.2f} times as long "
        f"as the first), and the peak memory of the process by {round(100 * (last.peak / short.peak - 1))} %. "
        f"{_growth(measured.loads)} A single chunk costs less per frame than a long video, whose chunks overlap.",
        f"![CPU-seconds and memory over objects and frames]({picture})",
        f"## Size of the frames ({curve_name})",
        markdown_table(_scale_rows(measured.scales)),
        "CPU-ms for each frame of a video file. The objects grow with the frames: one object spans about half of the "
        "height. The network sees windows of the same number of cells at every size. The third column is what cutting, "
        "pasting and order, and all other work between the masks and the tracks, take of the time with `--formats "
        "tracks`; then no pixel is decoded for a model that reads only masks.",
        f"## Formats ({curve_name})",
        markdown_table(_format_rows(measured.formats)),
        "For each frame of 1280 x 720 pixels with one object, without the prediction. Every format is written beside "
        "tracks.json.",
        f"## Many videos ({curve_name})",
        markdown_table(_many_rows(measured.many)),
        f"{measured.many.videos} videos of {measured.many.frames} frames of 96 x 96 pixels with two objects, on "
        f"{os.cpu_count()} threads of one machine. Two commands predict one half each at the same time (`--shard`) and "
        "share nothing, so they show what the machine can gain. The last row predicts the videos one by one, each with "
        "a command. "
        f"{'All rows gave the same files.' if measured.many.same else 'THE FILES OF THE ROWS DIFFER.'}",
    ]
    return "\n\n".join(sections) + "\n"


def _growth(loads: Sequence[Load]) -> str:
    """Return a sentence on how much memory each further frame takes."""
    traced = [(load.frames, load.traced) for load in loads if load.objects == 1 and load.traced is not None]
    (first, before), (last, after) = traced[-2:]
    return (
        f"Boxes, windows, the order of the first pass and run lengths take {(after - before) / (last - first):.0f} "
        "bytes for each further frame."
    )


def _format_rows(formats: Sequence[FormatCost]) -> list[list[str]]:
    rows = [["format", "CPU-ms", "kB"]]
    return rows + [[f"`{one.name}`", f"{1000 * one.seconds:.1f}", f"{one.size / 1000:.1f}"] for one in formats]


def _many_rows(many: Many) -> list[list[str]]:
    rows = [["", "seconds", "CPU-seconds", "times as fast as the first", "as the last"]]
    first, slowest = many.seconds["1 worker"][0], many.seconds["shell loop"][0]
    return rows + [
        [name, f"{wall:.0f}", f"{cpu:.0f}", f"{first / wall:.2f}", f"{slowest / wall:.1f}"]
        for name, (wall, cpu) in many.seconds.items()
    ]


def _cost_rows(costs: Sequence[Cost]) -> list[list[str]]:
    first = costs[0]
    header = [
        "",
        "parameters (M)",
        "multiply-adds, one pass (G)",
        "relative to the first",
        "network, one pass (CPU-ms)",
    ]
    rows = [[*header, "relative to the first", "passes", "`predict` (CPU-ms)"]]
    for c in costs:
        adds = [f"{c.multiply_adds / 1e9:.3f}", f"{c.multiply_adds / first.multiply_adds:.1f}"]
        network = [f"{1000 * c.network:.1f}", f"{c.network / first.network:.1f}"]
        name = public_name(c.name).removesuffix(".yaml")
        rows.append([name, f"{c.parameters / 1e6:.2f}", *adds, *network, str(c.passes), f"{1000 * c.seconds:.1f}"])
    return rows


def _load_rows(loads: Sequence[Load]) -> list[list[str]]:
    header = [
        "objects",
        "frames",
        "CPU-s",
        "ms per object-frame",
        "memory before (MB)",
        "peak (MB)",
        "traced peak (MB)",
    ]
    rows = [header]
    for load in loads:
        per_frame = f"{1000 * load.seconds / (load.objects * load.frames):.2f}"
        traced = "-" if load.traced is None else f"{load.traced / 1e6:.2f}"
        memory = [f"{load.start / 1e6:.0f}", f"{load.peak / 1e6:.0f}", traced]
        rows.append([str(load.objects), str(load.frames), f"{load.seconds:.2f}", per_frame, *memory])
    return rows


def _scale_rows(scales: Sequence[Scale]) -> list[list[str]]:
    rows = [
        [
            "frames",
            "objects",
            "network",
            "cut, paste, order",
            "share",
            "`--formats tracks`",
            "relative to the first",
            "default formats",
            "peak (MB)",
        ]
    ]
    for scale in scales:
        first = next(one for one in scales if one.objects == scale.objects)
        network, beside, tracks, default = (
            f"{1000 * seconds / scale.frames:.1f}"
            for seconds in (scale.network, scale.beside, scale.tracks, scale.default)
        )
        relative = (scale.tracks / scale.frames) / (first.tracks / first.frames)
        rows.append(
            [
                f"{scale.width} x {scale.height}",
                str(scale.objects),
                network,
                beside,
                f"{100 * scale.beside / scale.tracks:.0f} %",
                tracks,
                f"{relative:.2f}",
                default,
                f"{scale.peak / 1e6:.0f}",
            ]
        )
    return rows


def public_name(name: str) -> str:
    """Return a model as the page names it, without the folders above it."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.suffix in (".yaml", ".yml") else path.name


def render_curves(loads: Sequence[Load]) -> Frame:
    """Render time and memory over the number of objects, then over the number of frames."""
    one_object = [load for load in loads if load.objects == 1]
    ticks = [load.frames for load in one_object]
    frame_axis = Axis("frames, one object", log=True, ticks=ticks, low=ticks[0] / 2, high=2 * ticks[-1])
    few_frames = [load for load in loads if load.frames == ticks[0]]
    panels = [
        *_render_panels(few_frames, lambda load: load.objects, Axis(f"objects, {ticks[0]} frames")),
        *_render_panels(one_object, lambda load: load.frames, frame_axis),
    ]
    return tile_panels(panels, 2)


def _render_panels(loads: Sequence[Load], number: Callable[[Load], int], axis: Axis) -> list[Frame]:
    seconds = [(float(number(load)), load.seconds) for load in loads]
    linear = [(x, seconds[-1][1] * x / seconds[-1][0]) for x, _ in seconds]
    peak = [(float(number(load)), load.peak / 1e6) for load in loads]
    before = [(float(number(load)), load.start / 1e6) for load in loads]
    times = [Curve("measured", seconds), Curve("proportional", linear, dashed=True)]
    memory = [Curve("peak", peak), Curve("before the prediction", before, dashed=True)]
    return [
        line_chart("CPU-seconds", times, axis, Axis("", log=axis.log)),
        line_chart("Memory (MB)", memory, axis, Axis("")),
    ]
