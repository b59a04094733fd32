"""The page on partial scenes, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.experiments.common import markdown_table
from scripts.experiments.partial.choice import STRATA, Curve, group, worst_margin
from scripts.experiments.partial.outcomes import CHOICES, CUTS, REACHES, ObjectFrame
from vidamodal.metrics.tables import percent
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
        f"background. `{model}` completes those with a logit above {CHOICES[place][0]:g}, in parts that reach at "
        f"least {CHOICES[place][1]:g} sizes of the visible mask away from it (temperature {decision.temperature:g}, "
        f"shift {decision.shift:g}, threshold {decision.threshold:g}). Of the decisions with which, for {first}, full "
        f"is at most {percent(loss)} points below that of the visible masks in any stratum, this one has the highest "
        f"occ. The smallest lead over the visible masks in any stratum is {percent(lead, '+')} points.",
        "## Decisions",
        *(_choices(name, frames, place) for name, frames in modes.items()),
        "## Strata",
        f"Full with the chosen decision, and of the visible masks, for {first}. Strata of fewer than 100 object-frames "
        "did not count in the choice.",
        _strata(modes[first], place),
        "## Occluded share",
        f"The same for {first}, by occluded share. Nothing beats copying the mask of a whole object.",
        _occluded(modes[first], place),
    ]
    return "\n\n".join(parts) + "\n"


def _choices(name: str, frames: Sequence[ObjectFrame], chosen: int) -> str:
    curve = Curve.of(frames)
    rows = [["logit \\ reach", *(f"{reach:g}" for reach in REACHES)]]
    for cut in CUTS:
        cells = []
        for reach in REACHES:
            place = CHOICES.index((cut, reach))
            text = " / ".join(percent(v[place]) for v in (curve.full, curve.occ, curve.false_completion))
            cells.append(f"**{text}**" if place == chosen else text)
        rows.append([f"{cut:g}", *cells])
    text = f"{len(frames)} object-frames: full / occ / false completion. Visible masks: full {percent(curve.copied)}."
    return f"### {name}\n\n{text}\n\n{markdown_table(rows)}"


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
