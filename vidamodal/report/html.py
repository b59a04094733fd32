"""report.html: an evaluation as one file that opens from disk, without scripts and without anything from elsewhere.

Nothing in it tells times, hosts or absolute paths: the same input gives the same bytes. Every text that may come from
a file is escaped where it enters the page, and the page's own policy forbids it to load anything.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from vidamodal.formats import Clip
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import Interval, mean
from vidamodal.metrics.clip_pairs import clips_of, pair_clips
from vidamodal.metrics.counts import TrackCounts
from vidamodal.metrics.evaluate import Evaluation
from vidamodal.metrics.primary import LOWER_IS_BETTER, MEASURES, Difference
from vidamodal.metrics.strata import StratumScores
from vidamodal.metrics.tables import percent
from vidamodal.metrics.track_matching import match_by_visible_masks
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, OCCLUDED, VISIBLE, Colour
from vidamodal.report.plots import Point, dot_plot, legend
from vidamodal.report.strips import Row, Strip, film_strip
from vidamodal.types import ClipTracks

WORST, MEDIAN = 6, 3
"""How many object-tracks are shown as film strips."""
_LISTED = 20


@dataclass(frozen=True)
class Method:
    """A prediction under the name that the report gives it: where it is, and how it scored."""

    name: str
    path: Path
    result: Evaluation


def write_report(path: str | os.PathLike[str], methods: Sequence[Method], truth: Path, quiet: bool = True) -> None:
    """Writes the report on predictions of the same truth, whole or not at all; all are compared with the first.

    The film strips are read again from the methods' paths and from ``truth``, one clip at a time.

    InputError if a file that is read again is damaged by now.
    """
    style = (resources.files("vidamodal") / "assets" / "report.css").read_text(encoding="utf-8")
    names = ", ".join(method.name for method in methods)
    title = escape(f"{names} against {truth.absolute().name}")
    sections = [
        _header(methods, title),
        _primary(methods),
        _strata(methods),
        _protocols(methods),
        _time(methods),
        _films(methods, truth, quiet),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    page = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>",
        *sections,
        "</body>\n</html>\n",
    ]
    write_text(path, "\n".join(page))


# Sections


def _header(methods: Sequence[Method], title: str) -> str:
    result = methods[0].result
    tracks = sum(len(video.tracks) for video in result.counts)
    lines = [
        f"<header><h1>{title}</h1>",
        f"<p>{result.primary.videos} videos, {tracks} object-tracks, {result.primary.object_frames} object-frames. "
        "Numbers are per cent; the small ones are 95 % bootstrap intervals over videos; &ndash; is a mean over "
        "nothing. P is the predicted whole mask, A the true one, V what is visible of it.</p>",
    ]
    for method in methods:
        lines += [
            _listing(f"{method.name}: missing, scored 0", method.result.missing),
            _listing(f"{method.name}: not in the truth, ignored", method.result.ignored),
        ]
        if method.result.matched is not None:
            matched, given = method.result.matched
            lines.append(
                f'<p class="note">{escape(method.name)}: {matched} of {given} tracks matched by what is visible.</p>'
            )
    return "".join([*lines, "</header>"])


def _listing(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f'<p class="note">{escape(what)}: {escape(", ".join(names[:_LISTED]))}{more}.</p>'


def _primary(methods: Sequence[Method]) -> str:
    first, *others = methods
    head = ["", *(f"{name.replace('_', ' ')} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in MEASURES)]
    rows = [
        _row(m.name, [_cell(getattr(m.result.primary, name), m.result.interval[name]) for name in MEASURES])
        for m in methods
    ]
    rows += [
        _row(name, [_cell(getattr(scores, measure)) for measure in MEASURES], "baseline")
        for name, scores in first.result.baselines.items()
    ]
    parts = [
        "<section><h2>Primary protocol</h2>",
        "<p>Means over an object's frames, then its video's objects, then videos. <i>full</i>: IoU of P and A where "
        "anything is visible; <i>occ</i>: of these, IoU outside V where 5 % or more is hidden; <i>hidden</i>: IoU "
        "where nothing is visible; <i>false completion</i>: what is added to objects seen whole; <i>flicker</i>: error "
        "that comes and goes, 0 also for one that stays: not to be read alone. Methods without a model are grey.</p>",
        _table(head, rows),
    ]
    if others:
        gaps = {method.name: method.result.difference_from(first.result) for method in others}
        rows = [_row(name, [_gap(measure, gap[measure]) for measure in MEASURES]) for name, gap in gaps.items()]
        parts += [
            f"<h2>Difference to {escape(first.name)}</h2>",
            f"<p>Each method minus {escape(first.name)}, paired by video. Bold: the interval leaves out 0, for the "
            "better (green) or the worse (red).</p>",
            _table(head, rows),
        ]
    return "".join([*parts, "</section>"])


def _strata(methods: Sequence[Method]) -> str:
    names = [method.name for method in methods]
    strata = methods[0].result.strata
    plots = "".join(
        f"<div><h3>{measure}: {meaning}</h3>"
        + dot_plot(
            f"{measure} by stratum",
            [(name, [_point(m.name, m.result.strata[name], measure) for m in methods]) for name in strata],
        )
        + "</div>"
        for measure, meaning in (("full", "IoU of P and A"), ("occ", "IoU outside V, where 5 % or more is hidden"))
    )
    head = ["", "object-frames", *(f"{escape(name)} {measure}" for measure in ("full", "occ") for name in names)]
    rows = []
    for name, stratum in strata.items():
        scores = [method.result.strata[name] for method in methods]
        cells = [_cell(s.full, s.full_interval) for s in scores] + [_cell(s.occ, s.occ_interval) for s in scores]
        rows.append(_row(name, [f"<td>{stratum.object_frames}</td>", *cells]))
    return (
        "<section><h2>Strata</h2><p>The same IoUs for object-frames that are hard in different ways; the last two "
        "cut across the others. Whiskers are 95 % intervals over videos.</p>"
        f"{legend(names)}<div class='plots'>{plots}</div>"
        f"<details><summary>The same as a table</summary>{_table(head, rows)}</details></section>"
    )


def _protocols(methods: Sequence[Method]) -> str:
    head = ["", "", *(escape(method.name) for method in methods), "perfect"]
    rows = []
    for name, first in methods[0].result.protocols.items():
        every = [method.result.protocols[name] for method in methods]
        if first.more:
            ceiling = first.more["ceiling"]
            numbers = {
                label: ([scores.more[label] for scores in every], ceiling[label])
                for label, value in first.more.items()
                if not isinstance(value, Mapping)
            }
        else:
            numbers = {
                "full": ([scores.full for scores in every], first.ceiling_full),
                "occ": ([scores.occ for scores in every], first.ceiling_occ),
            }
        for place, (label, (values, ceiling)) in enumerate(numbers.items()):
            cells = [f"<td>{escape(label.replace('_', ' '))}</td>", *map(_cell, values), _cell(ceiling)]
            rows.append(_row("" if place else name, cells, "said"))
        rows.append(f'<tr><td class="says" colspan="{len(head)}">hides: {escape(first.hides)}</td></tr>')
    return (
        "<section><h2>Published protocols</h2><p>The same masks as other people's code scores them. What a perfect "
        "prediction scores on these data stands beside each, and below it what its numbers do not show.</p>"
        f"{_table(head, rows)}</section>"
    )


def _time(methods: Sequence[Method]) -> str:
    every = [method.result.time for method in methods]
    numbers = {
        "boundary F": [time.boundary_f for time in every],
        "track AP": [time.track_ap["ap"] for time in every],
        "hidden frames without a mask": [time.lost for time in every],
        "right object at the end of a hidden spell": [time.identity_hidden for time in every],
        "right object when seen again": [time.identity_after for time in every],
        **{f"drift after {hidden} hidden frames": [time.drift[hidden] for time in every] for hidden in every[0].drift},
    }
    rows = [_row(name, map(_cell, values)) for name, values in numbers.items()]
    return (
        f"<section><h2>Time</h2><p>{every[0].spells} hidden spells: runs of frames with nothing visible, after the "
        "object was seen. Drift is the distance of the centres of P and A there, in per cent of the object's size.</p>"
        f"{_table(['', *(escape(method.name) for method in methods)], rows)}</section>"
    )


# Film strips


@dataclass(frozen=True)
class _Pick:
    """An object-track and how much of its hidden part the first method found."""

    video: str
    id: int
    score: float
    frames: int


def _films(methods: Sequence[Method], truth: Path, quiet: bool) -> str:
    ranked = _ranked(methods[0].result)
    middle = ranked[max(0, len(ranked) - MEDIAN) // 2 :][:MEDIAN]
    chosen = {"Worst": ranked[:WORST], "Median": [pick for pick in middle if pick not in ranked[:WORST]]}
    clips = clips_of(truth)
    predicted = [pair_clips(method.path, truth)[1] for method in methods]
    bar = tqdm(total=sum(map(len, chosen.values())), desc="film strips", unit="track", disable=quiet)
    parts = [
        "<section><h2>Film strips</h2>",
        f"<p>Object-tracks by the mean IoU outside V that {escape(methods[0].name)} has where 5 % or more is hidden, "
        "fully hidden frames included. Frames are spread over the track; black is beyond the image.</p>",
        _swatches(
            {
                "visible": VISIBLE,
                "hidden part": OCCLUDED,
                "false positive": FALSE_POSITIVE,
                "false negative": FALSE_NEGATIVE,
            }
        ),
    ]
    if not ranked:
        parts.append("<p>No object is ever hidden: there is nothing to rank by.</p>")
    with bar:
        for word, picks in chosen.items():
            if picks:
                parts.append(f"<h2>{word} of {len(ranked)} tracks</h2>")
            for pick in picks:
                parts.append(_film(pick, methods, clips[pick.video], predicted))
                bar.update()
    return "".join([*parts, "</section>"])


def _ranked(result: Evaluation) -> list[_Pick]:
    """The tracks that are ever hidden, worst first; of equal ones, those with more such frames first."""
    picks = [
        _Pick(video.key, track.id, score, int(_asked(track).sum()))
        for video in result.counts
        for track in video.tracks
        if (score := _found(track)) is not None
    ]
    return sorted(picks, key=lambda pick: (pick.score, -pick.frames, pick.video, pick.id))


def _asked(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """The frames that tracks are ranked by: counted, and at least 5 % is hidden, be it all."""
    return np.asarray(track.scored & track.occluded)


def _found(track: TrackCounts) -> float | None:
    return mean(track.occluded_iou[_asked(track)])


def _read(method: Method, source: Clip | None, truth: ClipTracks) -> ClipTracks | None:
    """What was scored of a clip's prediction: None where there is none of the truth's size and length."""
    prediction = source.tracks_as("amodal") if source else None
    sizes = {(c.video.frames, c.video.height, c.video.width) for c in (prediction, truth) if c}
    if prediction is None or len(sizes) > 1:
        return None
    return prediction if method.result.matched is None else match_by_visible_masks(prediction, truth)[0]


def _film(pick: _Pick, methods: Sequence[Method], clip: Clip, predicted: Sequence[Mapping[str, Clip]]) -> str:
    truth = clip.tracks_as("amodal")
    guesses = {m.name: _read(m, found.get(pick.video), truth) for m, found in zip(methods, predicted, strict=True)}
    strip = film_strip(truth, clip.frames, pick.id, guesses)
    counts = {method.name: _counts(method.result, pick) for method in methods}
    scores = ", ".join(f"{escape(name)} {percent(_found(track))}" for name, track in counts.items())
    label = f" &middot; {escape(strip.label)}" if strip.label else ""
    plain = f" Plain ground: {strip.plain}." if strip.plain else ""
    share = next(iter(counts.values())).occluded_share
    head = "".join(f"<th>frame {t}<small>{percent(share[t])} % hidden</small></th>" for t in strip.frames)
    rows = "".join(_film_row(row, strip, counts) for row in strip.rows)
    return (
        f'<figure class="film"><figcaption><b>{escape(pick.video)} &middot; track {pick.id}</b>{label}'
        f"<span>{pick.frames} frames with 5 % or more hidden; IoU there outside V: {scores}.{plain}</span></figcaption>"
        f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</figure>"
    )


def _film_row(row: Row, strip: Strip, counts: Mapping[str, TrackCounts]) -> str:
    name = f"<small>{escape(row.method)}</small>" if row.method is not None else ""
    cells = []
    for t, picture in zip(strip.frames, row.pictures, strict=True):
        alt = escape(f"{row.title} {row.method or ''} frame {t}")
        data = base64.b64encode(picture).decode("ascii")
        below = _errors(counts[row.method], t) if row.method is not None and row.title == "error" else ""
        cells.append(f'<td><img alt="{alt}" src="data:image/webp;base64,{data}">{below}</td>')
    return f"<tr><th>{row.title}{name}</th>{''.join(cells)}</tr>"


def _errors(track: TrackCounts, t: int) -> str:
    outside = f"<small>outside V {percent(track.occluded_iou[t])}</small>" if track.occluded[t] else ""
    return f"<small>IoU {percent(track.iou[t])}</small>{outside}"


def _counts(result: Evaluation, pick: _Pick) -> TrackCounts:
    video = next(video for video in result.counts if video.key == pick.video)
    return next(track for track in video.tracks if track.id == pick.id)


def _swatches(colours: Mapping[str, Colour]) -> str:
    entries = (f'<li><i style="background: rgb{colour}"></i>{escape(name)}</li>' for name, colour in colours.items())
    return f'<ul class="key">{"".join(entries)}</ul>'


# Tables: cells are HTML, names are not


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    columns = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(name: str, cells: Iterable[str], kind: str = "") -> str:
    return f'<tr class="{kind}"><th>{escape(name)}</th>{"".join(cells)}</tr>'


def _cell(value: float | None, interval: Interval | None = None, sign: str = "", kind: str = "") -> str:
    ends = f"<small>{' to '.join(percent(end, sign) for end in interval)}</small>" if interval else ""
    return f'<td class="{kind}">{"&ndash;" if value is None else percent(value, sign)}{ends}</td>'


def _gap(measure: str, gap: Difference) -> str:
    """A difference; one whose interval leaves out 0 is marked."""
    low, high = gap.interval or (0.0, 0.0)
    sure = low > 0 or high < 0
    kind = ("better" if (low > 0) != (measure in LOWER_IS_BETTER) else "worse") if sure else ""
    return _cell(gap.mean, gap.interval, "+", kind)


def _point(name: str, stratum: StratumScores, measure: str) -> Point:
    value, interval = getattr(stratum, measure), getattr(stratum, f"{measure}_interval")
    ends = f" (95 %: {' to '.join(map(percent, interval))})" if interval else ""
    return Point(value, interval, f"{name}: {percent(value)}{ends}")
