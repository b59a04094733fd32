"""Results as aligned text for a terminal: per cent, "-" for a mean over nothing, at most 120 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidamodal.metrics.averages import Interval
from vidamodal.metrics.boxes import BoxEvaluation
from vidamodal.metrics.hypotheses import HypothesisScores
from vidamodal.metrics.primary import MEASURES, Difference, PrimaryScores
from vidamodal.metrics.protocols import ProtocolScores
from vidamodal.metrics.strata import StratumScores
from vidamodal.metrics.temporal import TemporalScores

_TITLES = {"false_completion": "false completion", "track_iou": "track IoU"}
_RANKED = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR"}


def format_table(rows: Mapping[str, PrimaryScores]) -> str:
    """Format the primary measures, one row per method."""
    head = ["", *(_TITLES.get(name, name) for name in MEASURES)]
    return align([head, *([name, *(percent(getattr(scores, m)) for m in MEASURES)] for name, scores in rows.items())])


def format_differences(rows: Mapping[str, Mapping[str, Difference]]) -> str:
    """Format the differences of each method's primary measures to the first method's, with 95 % intervals."""
    lines = [["minus the first", *(_TITLES.get(name, name) for name in MEASURES)]]
    for name, gaps in rows.items():
        lines.append([name, *(percent(gaps[m].mean, "+") for m in MEASURES)])
        lines.append(["  95 %", *(_format_interval(gaps[m].interval, "+") for m in MEASURES)])
    return align(lines)


def format_gain(gain: Mapping[str, Difference]) -> str:
    """Format how much a method exceeds the copied visible masks, with 95 % intervals."""
    lines = [["minus copy-visible", *(_TITLES.get(name, name) for name in MEASURES)]]
    lines.append(["", *(percent(gain[m].mean, "+") for m in MEASURES)])
    lines.append(["  95 %", *(_format_interval(gain[m].interval, "+") for m in MEASURES)])
    return align(lines)


def format_boxes(boxes: BoxEvaluation) -> str:
    """Format the scores against amodal boxes by occlusion level, and the ghosts."""
    lines = [["boxes", "IoU", "AP25", "AP50", "AP75", "copied IoU", "gain, 95 %", "object-frames"]]
    for name, group in boxes.groups.items():
        numbers = (group.iou, group.ap25, group.ap50, group.ap75, group.copied_iou)
        lines.append(
            [name, *map(percent, numbers), _format_interval(group.gain_interval, "+"), str(group.object_frames)]
        )
    return (
        f"{align(lines)}\nghosts: {boxes.ghosts} masks in {boxes.gone} object-frames before the first or after the\n"
        f"last box of an object; {boxes.copied_ghosts} with copied visible masks"
    )


def format_hypotheses(scores: HypothesisScores) -> str:
    """Format the best of the sampled hypotheses."""
    rows = {
        "first hypothesis": scores.first,
        f"best of {scores.count} for each track": scores.best_track,
        f"best of {scores.count} for each frame (flattering: no track has these masks)": scores.best_frame,
    }
    lines = [["", *scores.first], *([name, *map(percent, numbers.values())] for name, numbers in rows.items())]
    return align(lines)


def format_tracking(protocols: Mapping[str, ProtocolScores]) -> str:
    """Format HOTA, IDF1, and J&F with its parts after an object has left the image and come back."""
    hota, jf = protocols["hota"].more, protocols["mosev2"].more
    lines = [
        ["", "HOTA", "DetA", "AssA", "LocA", "IDF1"],
        ["tracks", *(percent(hota[key]) for key in ("hota", "deta", "assa", "loca", "idf1"))],
        ["", "J&F", "J", "F", "absent", "back"],
        ["MOSEv2", *(percent(jf[key]) for key in ("jf", "j", "f", "jf_disappear", "jf_reappear"))],
    ]
    rules = {name: protocols[name] for name in ("hota", "mosev2")}
    return f"{align(lines)}\nwhat they hide:\n{format_hidden(rules)}"


def format_strata(strata: Mapping[str, StratumScores]) -> str:
    """Format full and occ of each stratum, with 95 % intervals over videos and the number of object-frames."""
    lines = [["", "full", "95 %", "occ", "95 %", "object-frames"]]
    for name, s in strata.items():
        full, occ = _format_interval(s.full_interval), _format_interval(s.occ_interval)
        lines.append([name, percent(s.full), full, percent(s.occ), occ, str(s.object_frames)])
    return align(lines)


def format_protocols(protocols: Mapping[str, ProtocolScores]) -> str:
    """Format the protocols with full and occ, each beside a perfect prediction's, and what they do not show."""
    pairs = {name: p for name, p in protocols.items() if p.is_pair}
    lines = [["", "full", "perfect", "occ", "perfect"]]
    lines += [
        [name, percent(p.full), percent(p.ceiling_full), percent(p.occ), percent(p.ceiling_occ)]
        for name, p in pairs.items()
    ]
    return "\n".join([align(lines), "what they hide:", format_hidden(pairs)])


def format_hidden(protocols: Mapping[str, ProtocolScores]) -> str:
    """Format what the numbers of each protocol do not show, one line per protocol."""
    return "\n".join(f"  {name}: {p.hides}" for name, p in protocols.items())


def format_ranked(protocols: Mapping[str, ProtocolScores], temporal: TemporalScores) -> str:
    """Format average precision and recall of masks and of whole tracks, then IoU and precision by occlusion layer."""
    lines = [["", *_RANKED.values()]]
    rows: dict[str, Mapping[str, Any]] = {"masks (coco)": protocols["coco"].more, "tracks": temporal.track_ap}
    for name, numbers in rows.items():
        lines.append([name, *(percent(numbers[key]) for key in _RANKED)])
        if "ceiling" in numbers:
            lines.append(["  perfect", *(percent(numbers["ceiling"][key]) for key in _RANKED)])
    rules = {name: protocols[name] for name in ("coco", "layered")}
    layers = _format_layers(protocols["layered"].more)
    return "\n".join([align(lines), "", layers, "what they hide:", format_hidden(rules)])


def _format_layers(numbers: Mapping[str, Any]) -> str:
    keys = ("iou", "iou_required", "ap", "ap_required")
    lines = [["layer", "IoU", "IoU, right layer", "AP", "AP, right layer", "object-frames"]]
    for name, layer in numbers["layers"].items():
        lines.append([name, *(percent(layer[key]) for key in keys), str(layer["object_frames"])])
    lines.append(["all", *(percent(numbers[key]) for key in keys), f"{percent(numbers['right'])} % right"])
    lines.append(["  perfect", *(percent(numbers["ceiling"][key]) for key in keys), ""])
    return align(lines)


def format_temporal(scores: TemporalScores) -> str:
    """Format boundary F, and the measures of hidden spells."""
    drift = align([["frames hidden", *scores.drift], ["drift", *(percent(value) for value in scores.drift.values())]])
    return "\n".join(
        [
            f"boundary F {percent(scores.boundary_f)}",
            f"{scores.spells} hidden spells, {percent(scores.lost)} % of their frames without a mask",
            f"identity kept: {percent(scores.identity_hidden)} % at the end of a spell, "
            f"{percent(scores.identity_after)} % on reappearing",
            f"{drift}   (distance of centroids, % of the object's size)",
        ]
    )


def align(lines: Sequence[Sequence[str]]) -> str:
    """Format cells as columns, the first one aligned to the left and all others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def percent(fraction: float | None, sign: str = "") -> str:
    """Format a fraction in per cent with one digit; with ``sign="+"`` a positive one gets a sign too."""
    return "-" if fraction is None else f"{100 * fraction:{sign}.1f}"


def _format_interval(interval: Interval | None, sign: str = "") -> str:
    return "-" if interval is None else "..".join(percent(end, sign) for end in interval)
