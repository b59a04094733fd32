"""The page on partial scenes, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from scripts.experiments.common import markdown_table
from scripts.experiments.partial.choice import STRATA, Curve, group, worst_margin
from scripts.experiments.partial.outcomes import CHOICES, ObjectFrame
from vidamodal.metrics.tables import percent
from vidamodal.occlusion.parts import CUTS
from vidamodal.occlusion.thresholds import PartialDecision


def render_page(
    command: str,
    model: str,
    modes: Mapping[str, Sequence[ObjectFrame]],
    place: int,
    decision: PartialDecision,
    loss: float,
) -> str:
    """Return the page.

    Args:
        command: The command that wrote it.
        model: Name of the model.
        modes: Object-frames by what is passed; the first mode chose the decision.
        place: The chosen place in `CHOICES`.
        decision: The decision that follows.
        loss: Largest loss of full in a stratum that was allowed.
    """
    first = next(iter(modes))
    lead = float(worst_margin(modes[first])[place])
    parts = [
        "# Partial scenes",
        f"Written by `{command}`. All figures are in per cent, of the primary protocol, on validation worlds whose "
        "scenery (poles, fences, walls) has no mask. Pixels outside all listed masks may show an occluder or the "
        "background. There a judge decides which parts of a completed mask are kept: connected cells with a logit "
        f"above {CUTS[0]:g}, or above {' or '.join(f'{cut:g}' for cut in CUTS[1:])} within a part that is not kept "
        "(`vidamodal.occlusion.parts`). It was fitted to parts in training worlds. Parts with a score above "
        f"{CHOICES[place]:g} are kept: of the thresholds at which full, for {first}, falls at most {percent(loss)} "
        "points below that of the visible masks in any stratum, this one has the highest occ. The smallest difference "
        f"to the visible masks in any stratum is {percent(lead, '+')} points there. Probabilities of `{model}` in kept "
        f"parts get the temperature {decision.temperature:g} and the shift {decision.shift:g}.",
        "## Scores",
        _choices(modes, place),
        "## Strata",
        f"Full with the chosen score, and of the visible masks, for {first}. Strata of fewer than 100 object-frames "
        "did not count in the choice.",
        _strata(modes[first], place),
        "## Occluded share",
        f"The same for {first}, by occluded share. Nothing beats copying the mask of a whole object.",
        _occluded(modes[first], place),
    ]
    return "\n\n".join(parts) + "\n"


def _choices(modes: Mapping[str, Sequence[ObjectFrame]], chosen: int) -> str:
    curves = {name: Curve.of(frames) for name, frames in modes.items()}
    rows = [["parts kept", *(f"{name}: full / occ / false completion" for name in modes)]]
    for place, choice in enumerate(CHOICES):
        title = "all" if choice == -math.inf else "none" if choice == math.inf else f"score above {choice:g}"
        scores = [(curve.full, curve.occ, curve.false_completion) for curve in curves.values()]
        cells = [title, *(" / ".join(percent(values[place]) for values in each) for each in scores)]
        rows.append([f"**{cell}**" if place == chosen else cell for cell in cells])
    counts = ", ".join(f"{curve.frames} object-frames with {name}" for name, curve in curves.items())
    copied = percent(next(iter(curves.values())).copied)
    return f"{counts}. The visible masks have {copied} in full.\n\n{markdown_table(rows)}"


def _strata(frames: Sequence[ObjectFrame], place: int) -> str:
    rows = [["", "", "object-frames", "full", "visible masks", "occ", "false completion"]]
    for title, by in STRATA.items():
        rows += [[title, *_row(name, members, place)] for name, members in group(frames, by).items()]
    return markdown_table(rows)


def _occluded(frames: Sequence[ObjectFrame], place: int) -> str:
    ends = (0.0, 1e-9, 0.05, 0.3, 0.7, 1.0)
    names = ("0 %", "up to 5 %", "5 to 30 %", "30 to 70 %", "over 70 %")
    rows = [["occluded", "object-frames", "full", "visible masks", "occ", "false completion"]]
    for name, low, high in zip(names, ends[:-1], ends[1:], strict=True):
        members = [f for f in frames if low <= f.occluded < high]
        rows.append(_row(name, members, place))
    return markdown_table(rows)


def _row(name: str, frames: Sequence[ObjectFrame], place: int) -> list[str]:
    curve = Curve.of(frames)
    scores = (curve.full[place], curve.copied, curve.occ[place], curve.false_completion[place])
    return [name, str(len(frames)), *("-" if np.isnan(value) else percent(value) for value in scores)]
