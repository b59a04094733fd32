"""Results as text for a terminal: aligned, in per cent, "-" for a mean over nothing, at most 110 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidamodal.metrics.primary import MEASURES, Difference, Interval, Scores
from vidamodal.metrics.protocols import ProtocolScores
from vidamodal.metrics.strata import StratumScores
from vidamodal.metrics.temporal import TimeScores

_TITLES = {"false_completion": "false completion", "track_iou": "track IoU"}
_RANKS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR"}


def format_table(rows: Mapping[str, Scores]) -> str:
    """A row for each method, the primary measures as columns."""
    head = ["", *(_TITLES.get(name, name) for name in MEASURES)]
    return aligned([head, *([name, *(percent(getattr(scores, m)) for m in MEASURES)] for name, scores in rows.items())])


def format_differences(rows: Mapping[str, Mapping[str, Difference]]) -> str:
    """A row for each method: by how much each primary measure lies above the first method's, and its interval."""
    head = ["minus the first", *(_TITLES.get(name, name) for name in MEASURES)]
    lines = [head]
    for name, gaps in rows.items():
        lines.append([name, *(percent(gaps[m].mean, "+") for m in MEASURES)])
        lines.append(["  95 %", *(_interval(gaps[m].interval, "+") for m in MEASURES)])
    return aligned(lines)


def format_strata(strata: Mapping[str, StratumScores]) -> str:
    """A row for each stratum: full and occ with their 95 % intervals over videos, and the object-frames in it."""
    lines = [["", "full", "95 %", "occ", "95 %", "object-frames"]]
    for name, s in strata.items():
        spread = _interval(s.full_interval), _interval(s.occ_interval)
        lines.append([name, percent(s.full), spread[0], percent(s.occ), spread[1], str(s.object_frames)])
    return aligned(lines)


def format_protocols(protocols: Mapping[str, ProtocolScores]) -> str:
    """A row for each protocol that has a full and an occ, beside each what a perfect prediction scores; then what each
    protocol hides, those without such a pair included."""
    pairs = {name: p for name, p in protocols.items() if not p.more}
    lines = [["", "full", "perfect", "occ", "perfect"]]
    lines += [
        [name, percent(p.full), percent(p.ceiling_full), percent(p.occ), percent(p.ceiling_occ)]
        for name, p in pairs.items()
    ]
    return "\n".join([aligned(lines), "what they hide:", format_hidden(pairs)])


def format_hidden(protocols: Mapping[str, ProtocolScores]) -> str:
    """A line for each protocol: what its numbers do not show."""
    return "\n".join(f"  {name}: {p.hides}" for name, p in protocols.items())


def format_ranked(protocols: Mapping[str, ProtocolScores], time: TimeScores) -> str:
    """Average precision and recall of masks and of whole tracks, then IoU and precision by occlusion layer."""
    head = ["", *_RANKS.values()]
    lines = [head]
    ranked: dict[str, Mapping[str, Any]] = {"masks (coco)": protocols["coco"].more, "tracks": time.track_ap}
    for name, numbers in ranked.items():
        lines.append([name, *(percent(numbers[key]) for key in _RANKS)])
        if "ceiling" in numbers:
            lines.append(["  perfect", *(percent(numbers["ceiling"][key]) for key in _RANKS)])
    rules = {name: protocols[name] for name in ("coco", "layered")}
    return "\n".join([aligned(lines), "", _layers(protocols["layered"].more), "what they hide:", format_hidden(rules)])


def _layers(numbers: Mapping[str, Any]) -> str:
    keys = ("iou", "iou_required", "ap", "ap_required")
    lines = [["layer", "IoU", "IoU, layer right", "AP", "AP, layer right", "object-frames"]]
    for name, layer in numbers["layers"].items():
        lines.append([name, *(percent(layer[key]) for key in keys), str(layer["object_frames"])])
    lines.append(["all", *(percent(numbers[key]) for key in keys), f"{percent(numbers['right'])} % right"])
    lines.append(["  perfect", *(percent(numbers["ceiling"][key]) for key in keys), ""])
    return aligned(lines)


def format_time(time: TimeScores) -> str:
    """Boundary F, and what becomes of objects while nothing of them is visible."""
    drift = aligned([["frames hidden", *time.drift], ["drift", *(percent(value) for value in time.drift.values())]])
    return "\n".join(
        [
            f"boundary F {percent(time.boundary_f)}",
            f"{time.spells} hidden spells: no mask in {percent(time.lost)} % of their frames, "
            f"right object at their end {percent(time.identity_hidden)} %, seen again {percent(time.identity_after)} %",
            drift + "   (distance of centres, % of the object's size)",
        ]
    )


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells as columns: the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def percent(fraction: float | None, sign: str = "") -> str:
    """A fraction in per cent with one digit; ``sign`` "+" shows it also where it is positive."""
    return "-" if fraction is None else f"{100 * fraction:{sign}.1f}"


def _interval(interval: Interval | None, sign: str = "") -> str:
    return "-" if interval is None else "..".join(percent(end, sign) for end in interval)
