"""Sections of the report that show scores: the primary protocol, strata, published protocols and tracking over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from vidamodal.metrics.evaluate import Evaluation
from vidamodal.metrics.primary import LOWER_IS_BETTER, MEASURES
from vidamodal.metrics.strata import StratumScores
from vidamodal.metrics.tables import percent
from vidamodal.report.html_elements import difference_cell, row, score_cell, table
from vidamodal.report.plots import Point, dot_plot, legend

Results = Mapping[str, Evaluation]
"""Evaluations of the same ground truth by method."""


def primary_section(results: Results) -> str:
    """Return the scores of the primary protocol, those of the baselines, and the differences to the first method."""
    (first, reference), *others = results.items()
    header = ["", *(f"{name.replace('_', ' ')} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in MEASURES)]
    rows = [
        row(name, [score_cell(getattr(result.primary, measure), result.interval[measure]) for measure in MEASURES])
        for name, result in results.items()
    ]
    rows += [
        row(name, [score_cell(getattr(scores, measure)) for measure in MEASURES], "baseline")
        for name, scores in reference.baselines.items()
    ]
    parts = [
        "<section><h2>Primary protocol</h2>",
        "<p>Means over the frames of an object, then the objects of a video, then videos. <i>full</i>: IoU of P and A "
        "where the object is visible; <i>occ</i>: IoU outside V where 5 % or more is occluded; <i>hidden</i>: IoU "
        "where the object is fully occluded; <i>false completion</i>: area added to unoccluded objects; "
        "<i>ghosts</i>: share of the frames without the object in the image that get a mask; "
        "<i>flicker</i>: errors that come and go (a constant error scores 0, so do not read it alone). "
        "Baselines without a model are grey.</p>",
        table(header, rows),
    ]
    if gains := {name: result.gain() for name, result in results.items() if result.gain()}:
        rows = [row(name, [difference_cell(m, gain[m]) for m in MEASURES]) for name, gain in gains.items()]
        parts += [
            "<h2>Gain over the visible masks</h2>",
            "<p>Each method minus the copied visible masks, paired by video. Bold: the interval excludes 0, for the "
            "better (green) or for the worse (red).</p>",
            table(header, rows),
        ]
    if others:
        differences = {name: result.difference_from(reference) for name, result in others}
        rows = [
            row(name, [difference_cell(measure, difference[measure]) for measure in MEASURES])
            for name, difference in differences.items()
        ]
        parts += [
            f"<h2>Difference to {escape(first)}</h2>",
            f"<p>Each method minus {escape(first)}, paired by video. Bold: the interval excludes 0, for the "
            "better (green) or for the worse (red).</p>",
            table(header, rows),
        ]
    return "".join([*parts, "</section>"])


def strata_section(results: Results) -> str:
    """Return plots and a table of the IoUs by stratum."""
    names, first = list(results), next(iter(results.values()))
    plots = "".join(
        f"<div><h3>{measure}: {meaning}</h3>"
        + dot_plot(
            f"{measure} by stratum",
            [(name, [_point(m, r.strata[name], measure) for m, r in results.items()]) for name in first.strata],
        )
        + "</div>"
        for measure, meaning in (("full", "IoU of P and A"), ("occ", "IoU outside V, where 5 % or more is occluded"))
    )
    header = ["", "object-frames", *(f"{escape(name)} {measure}" for measure in ("full", "occ") for name in names)]
    rows = []
    for name, stratum in first.strata.items():
        scores = [result.strata[name] for result in results.values()]
        cells = [score_cell(s.full, s.full_interval) for s in scores]
        cells += [score_cell(s.occ, s.occ_interval) for s in scores]
        rows.append(row(name, [f"<td>{stratum.object_frames}</td>", *cells]))
    return (
        "<section><h2>Strata</h2><p>The same IoUs by difficulty of the object-frames; the last two strata overlap "
        "with the others. Whiskers are 95 % intervals over videos.</p>"
        f"{legend(names)}<div class='plots'>{plots}</div>"
        f"<details><summary>The same as a table</summary>{table(header, rows)}</details></section>"
    )


def boxes_section(results: Results) -> str:
    """Return the scores against amodal boxes and the ghosts of every method; empty without boxes."""
    boxes = {name: result.boxes for name, result in results.items() if result.boxes is not None}
    if not boxes:
        return ""
    header = ["", "", "object-frames", "IoU", "AP25", "AP50", "AP75", "IoU of the visible masks"]
    rows = []
    for name, evaluation in boxes.items():
        for place, (group, scores) in enumerate(evaluation.groups.items()):
            numbers = (scores.iou, scores.ap25, scores.ap50, scores.ap75, scores.copied_iou)
            labels = [f"<td>{escape(group)}</td>", f"<td>{scores.object_frames}</td>"]
            rows.append(row("" if place else name, [*labels, *map(score_cell, numbers)]))
    ghosts = "".join(
        f"<li>{escape(name)}: {each.ghosts} masks in {each.gone} object-frames; {each.copied_ghosts} with the visible "
        "masks copied</li>"
        for name, each in boxes.items()
    )
    return (
        "<section><h2>Amodal boxes</h2><p>The box of the predicted amodal mask against the annotated box, both cut to "
        "the image, over all object-frames with a box. AP25, AP50 and AP75 are the shares of boxes with a greater IoU."
        f"</p>{table(header, rows)}<h3>Ghosts</h3><p>Masks before the first or after the last box of an object.</p>"
        f"<ul>{ghosts}</ul></section>"
    )


def hypotheses_section(results: Results) -> str:
    """Return the best of the sampled hypotheses of every method; empty without any."""
    sampled = {name: result.hypotheses for name, result in results.items() if result.hypotheses is not None}
    if not sampled:
        return ""
    rows = []
    for name, scores in sampled.items():
        kinds = {
            "first": scores.first,
            f"best of {scores.count} for each track": scores.best_track,
            f"best of {scores.count} for each frame": scores.best_frame,
        }
        for place, (kind, numbers) in enumerate(kinds.items()):
            rows.append(row("" if place else name, [f"<td>{escape(kind)}</td>", *map(score_cell, numbers.values())]))
    header = ["", "hypothesis", *next(iter(sampled.values())).first]
    return (
        "<section><h2>Hypotheses</h2><p>The ground truth chooses the best hypothesis. Choosing anew in every frame is "
        f"flattering: no single track has these masks.</p>{table(header, rows)}</section>"
    )


def _point(method: str, stratum: StratumScores, measure: str) -> Point:
    value, interval = getattr(stratum, measure), getattr(stratum, f"{measure}_interval")
    ends = f" (95 %: {' to '.join(map(percent, interval))})" if interval else ""
    return Point(value, interval, f"{method}: {percent(value)}{ends}")


def protocols_section(results: Results) -> str:
    """Return the scores by published protocols, beside those of a perfect prediction."""
    first = next(iter(results.values()))
    header = ["", "", *map(escape, results), "perfect"]
    rows = []
    for name, protocol in first.protocols.items():
        for place, (label, values, ceiling) in enumerate(_protocol_numbers(results, name)):
            cells = [f"<td>{escape(label.replace('_', ' '))}</td>", *map(score_cell, values), score_cell(ceiling)]
            rows.append(row("" if place else name, cells, "with-note"))
        rows.append(
            f'<tr><td class="note-cell" colspan="{len(header)}">does not show: {escape(protocol.hides)}</td></tr>'
        )
    return (
        "<section><h2>Published protocols</h2><p>The same masks scored as in the published evaluation code, with "
        "the score of a perfect prediction on these data, and what the protocol does not show.</p>"
        f"{table(header, rows)}</section>"
    )


def _protocol_numbers(results: Results, name: str) -> list[tuple[str, list[float | None], float | None]]:
    """Return the label, the scores of the methods and the ceiling of every number of a protocol."""
    scores = [result.protocols[name] for result in results.values()]
    first = scores[0]
    numbers: list[tuple[str, list[float | None], float | None]] = []
    if first.is_pair:
        numbers.append(("full", [each.full for each in scores], first.ceiling_full))
        numbers.append(("occ", [each.occ for each in scores], first.ceiling_occ))
    labels: Sequence[str] = [label for label, value in first.more.items() if not isinstance(value, Mapping)]
    numbers += [(label, [each.more[label] for each in scores], first.more["ceiling"][label]) for label in labels]
    return numbers


def time_section(results: Results) -> str:
    """Return the scores of tracks over time."""
    scores = [result.time for result in results.values()]
    first = scores[0]
    numbers = {
        "boundary F": [each.boundary_f for each in scores],
        "track AP": [each.track_ap["ap"] for each in scores],
        "fully occluded frames without a mask": [each.lost for each in scores],
        "right object at the end of a full occlusion": [each.identity_hidden for each in scores],
        "right object when it reappears": [each.identity_after for each in scores],
        **{f"drift after {n} fully occluded frames": [each.drift[n] for each in scores] for n in first.drift},
    }
    rows = [row(name, map(score_cell, values)) for name, values in numbers.items()]
    return (
        f"<section><h2>Time</h2><p>{first.spells} full occlusions: runs of frames in which an object that was visible "
        "before is fully occluded. Drift is the distance of the centres of P and A in per cent of the object's "
        f"size.</p>{table(['', *map(escape, results)], rows)}</section>"
    )
