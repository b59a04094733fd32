"""The page on partial scenes, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.experiments.common import markdown_table
from scripts.experiments.partial.choice import STRATA, Curve, group
from scripts.experiments.partial.outcomes import CUTS, ObjectFrame
from vidamodal.metrics.tables import percent
from vidamodal.occlusion.thresholds import PartialDecision

SHOWN_CUTS = (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
"""Logits whose outcomes the page shows."""


def render_page(
    command: str,
    model: str,
    modes: Mapping[str, Sequence[ObjectFrame]],
    cut: int,
    decision: PartialDecision,
) -> str:
    """Return the page.

    Args:
        command: The command that wrote it.
        model: Name of the model.
        modes: Object-frames by what is passed; the first mode chose the cut.
        cut: The chosen place in `CUTS`.
        decision: The decision that follows.
    """
    first = next(iter(modes))
    parts = [
        "# Partial scenes",
        f"Written by `{command}`. All figures are in per cent, of the primary protocol, on validation worlds whose "
        "scenery (poles, fences, walls) has no mask. The pixels outside all listed masks may show an occluder or the "
        f"background; `{model}` divides them at a logit of {CUTS[cut]:.1f}: temperature {decision.temperature:g}, "
        f"shift {decision.shift:g}, threshold {decision.threshold:g}. It is the cut with the highest occ of those with "
        f"which, for {first}, full is at least that of the visible masks in every stratum below.",
        "## Cuts",
        *(_cuts(name, frames, cut) for name, frames in modes.items()),
        "## Strata",
        f"full at the chosen cut, and of the visible masks, for {first}.",
        _strata(modes[first], cut),
        "## Occluded share",
        f"The same for {first}, by occluded share. Nothing beats copying the mask of a whole object.",
        _occluded(modes[first], cut),
    ]
    return "\n\n".join(parts) + "\n"


def _cuts(name: str, frames: Sequence[ObjectFrame], cut: int) -> str:
    curve = Curve.of(frames)
    rows = [["logit", "full", "occ", "false completion"]]
    rows.append(["visible masks", percent(curve.copied), percent(0.0), percent(0.0)])
    places = sorted({int(np.abs(CUTS - value).argmin()) for value in SHOWN_CUTS} | {cut})
    for place in places:
        title = f"{CUTS[place]:.1f}" + (" (chosen)" if place == cut else "")
        rows.append([title, *(percent(v[place]) for v in (curve.full, curve.occ, curve.false_completion))])
    return f"### {name}\n\n{len(frames)} object-frames.\n\n{markdown_table(rows)}"


def _strata(frames: Sequence[ObjectFrame], cut: int) -> str:
    rows = [["", "", "object-frames", "full", "visible masks", "occ", "false completion"]]
    for title, by in STRATA.items():
        rows += [[title, *_row(name, members, cut)] for name, members in group(frames, by).items()]
    return markdown_table(rows)


def _occluded(frames: Sequence[ObjectFrame], cut: int) -> str:
    ends = (0.0, 1e-9, 0.05, 0.3, 0.7, 1.0)
    names = ("0 %", "up to 5 %", "5 to 30 %", "30 to 70 %", "over 70 %")
    rows = [["occluded", "object-frames", "full", "visible masks", "occ", "false completion"]]
    for name, low, high in zip(names, ends[:-1], ends[1:], strict=True):
        members = [f for f in frames if low <= f.occluded < high]
        rows.append(_row(name, members, cut))
    return markdown_table(rows)


def _row(name: str, frames: Sequence[ObjectFrame], cut: int) -> list[str]:
    curve = Curve.of(frames)
    scores = (curve.full[cut], curve.copied, curve.occ[cut], curve.false_completion[cut])
    return [name, str(len(frames)), *("-" if np.isnan(value) else percent(value) for value in scores)]
