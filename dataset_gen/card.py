"""The command ``card``: describe a finished data set, or mask-only worlds, in numbers and pictures.

``python -m dataset_gen card DIR`` writes ``card.md``, ``card.png`` (charts) and ``sheet.png`` (some clips).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset_gen.card_clips import CardClip, open_clips, spread
from dataset_gen.card_figures import charts, clip_panels
from dataset_gen.dataset_statistics import DatasetStatistics
from dataset_gen.options import PROGRAM
from dataset_gen.presets import is_place
from vidamodal.commandline import Parser
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import Frame, InputError

SHOWN_CLIPS = 4
"""Number of clips on the contact sheet."""


@dataclass(frozen=True)
class _Card:
    text: str
    charts: Frame
    sheet: Frame


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m dataset_gen card`` and return the exit status."""
    parser = Parser(
        prog=f"{PROGRAM} card",
        description="Describe a finished data set in numbers and pictures.\n\n"
        f"example:\n  {PROGRAM} card data/test --out card\n",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of a finished data set")
    parser.add_argument("--out", type=Path, metavar="CARD", help="folder to write to (default: card-<name of DIR>)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    out = options.out or Path(f"card-{folder.name}")
    if out.resolve().is_relative_to(folder):
        raise InputError(f"--out {out}: inside the data set {options.folder}. Use a folder outside of it.")
    card = _make_card(options.folder, folder.name, options.quiet)
    save_png(out / "card.png", card.charts)
    save_png(out / "sheet.png", card.sheet)
    write_text(out / "card.md", f"{card.text}\n![Charts](card.png)\n\n![Clips](sheet.png)\n")
    print(f"{card.text}\n{out}: card.md, card.png, sheet.png")
    return 0


def _make_card(folder: Path, name: str, quiet: bool) -> _Card:
    manifest = _read_manifest(folder)
    total, clips = open_clips(folder, manifest)
    shown = set(spread(total, SHOWN_CLIPS))
    statistics, panels = DatasetStatistics(), dict[str, Frame]()
    clip: CardClip
    for index, clip in enumerate(tqdm(clips, total=total, unit="clip", disable=quiet)):
        statistics.add(clip.tracks)
        if index in shown:
            panels.update(clip_panels(clip))
    sheet = contact_sheet(list(panels.values()), 4, list(panels))
    return _Card(_markdown(name, manifest, statistics), charts(statistics), sheet)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert document["format"] in ("vidamodal-dataset", "vidamodal-worlds") and document["run"]
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise InputError(
            f"{folder}: not a finished data set (it has no manifest.json of dataset_gen). Finish it first."
        ) from None
    return document


def _markdown(name: str, manifest: Mapping[str, Any], statistics: DatasetStatistics) -> str:
    """Return the text of the card."""
    lines = [f"# {name}", "", *_introduction(manifest, statistics), "", "| | |", "|---|---|"]
    lines += [f"| {fact} | {value} |" for fact, value in _facts(manifest, statistics).items()]
    tables = {
        "% occluded": statistics.occlusion_bars(),
        "frames fully occluded": statistics.duration_bars(),
        "size, % of the image's side": statistics.size_bars(),
    }
    for title, (names, counts) in tables.items():
        lines += ["", f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| count | {' | '.join(f'{count:,}' for count in counts)} |"]
    labels = ", ".join(f"{label} {count:,}" for label, count in statistics.labels.most_common())
    return "\n".join([*lines, "", f"Labels: {labels}.", ""])


def _introduction(manifest: Mapping[str, Any], statistics: DatasetStatistics) -> list[str]:
    run, is_worlds = manifest["run"], manifest["format"] == "vidamodal-worlds"
    kind = "mask-only worlds" if is_worlds else "videos"
    lines = [
        f"{run['scenes']} {kind}: preset {run['preset']}, split {run['split']}, "
        f"seeds {run['seed']} to {run['seed'] + run['scenes'] - 1}, "
        f"{run['frames']} frames of {_size(run)}."
    ]
    if is_worlds:
        lines.append(f"The masks are those of {statistics.clips} worlds, rasterised for the worlds' own cameras.")
    return lines


def _size(run: Mapping[str, Any]) -> str:
    if is_place(run["preset"]):
        return f"{run['size']} px in height and of several widths"
    return f"{run['size']} x {run['size']} px"


def _facts(manifest: Mapping[str, Any], statistics: DatasetStatistics) -> dict[str, object]:
    occluded, durations = np.array(statistics.occluded), np.array(statistics.full_occlusions)
    full_occlusions = "none"
    if len(durations):
        full_occlusions = f"{len(durations):,}; median {np.median(durations):.0f}, longest {durations.max()} frames"
    return {
        "scenes": manifest["run"]["scenes"],
        "objects": f"{statistics.objects:,}, {statistics.objects / max(statistics.clips, 1):.1f} per scene",
        "object-frames of at least 64 px (at height 256)": f"{len(occluded):,}",
        "mean occluded fraction": _percentage(occluded),
        "not occluded": _percentage(occluded == 0),
        "fully occluded": _percentage(occluded == 1),
        "periods of full occlusion": full_occlusions,
        "of these, visible before and after": f"{statistics.bridged:,}",
        "objects that are never visible": f"{statistics.never_visible:,}",
        "score (full) of copying the visible masks": _percentage(np.array(statistics.copy_visible_iou)),
        "truth_hash": f"`{manifest['truth_hash']}`",
    }


def _percentage(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} %" if values.size else "unknown"
