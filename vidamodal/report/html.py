"""report.html: an evaluation as a single file, without scripts or external resources.

The file holds no times, host names or absolute paths: the same input gives the same bytes. Every text that comes from a
file is escaped where it enters the page, and the content policy of the page forbids loading anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from vidamodal.media.files import write_text
from vidamodal.metrics.evaluate import Evaluation
from vidamodal.report.html_elements import name_list
from vidamodal.report.html_films import films_section
from vidamodal.report.html_scores import (
    boxes_section,
    hypotheses_section,
    primary_section,
    protocols_section,
    strata_section,
    time_section,
)

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Method:
    """A prediction in the report.

    Attributes:
        name: Name of the method in the report.
        path: The evaluated prediction, from which the film strips are read.
        result: Its evaluation.
    """

    name: str
    path: Path
    result: Evaluation


def write_report(path: str | os.PathLike[str], methods: Sequence[Method], truth: Path, quiet: bool = True) -> None:
    """Write an HTML report on predictions of the same ground truth atomically.

    The film strips are rendered from the files of the methods and of the ground truth, one clip at a time.

    Args:
        path: File to write.
        methods: The predictions, at least one; all others are compared with the first.
        truth: The ground truth that the methods were evaluated against.
        quiet: Hide the progress bar.

    Raises:
        InputError: A prediction, the ground truth or a video can no longer be read.
    """
    style = (resources.files("vidamodal") / "assets" / "report.css").read_text(encoding="utf-8")
    names = ", ".join(method.name for method in methods)
    title = escape(f"{names} against {truth.absolute().name}")
    results = {method.name: method.result for method in methods}
    page = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>",
        _header(results, title),
        primary_section(results),
        boxes_section(results),
        hypotheses_section(results),
        strata_section(results),
        protocols_section(results),
        time_section(results),
        films_section(results, {method.name: method.path for method in methods}, truth, quiet),
        "</body>\n</html>\n",
    ]
    write_text(path, "\n".join(page))


def _header(results: dict[str, Evaluation], title: str) -> str:
    first = next(iter(results.values()))
    tracks = sum(len(video.tracks) for video in first.counts)
    lines = [
        f"<header><h1>{title}</h1>",
        f"<p>{first.primary.videos} videos, {tracks} object-tracks, {first.primary.object_frames} object-frames. "
        "Scores are in per cent, with 95 % bootstrap intervals over videos below them; &ndash; marks a mean over "
        "no object-frames. P is the predicted amodal mask, A the true amodal mask and V the visible mask.</p>",
    ]
    for name, result in results.items():
        lines += [
            name_list(f"{name}: missing, scored 0", result.missing),
            name_list(f"{name}: not in the ground truth, ignored", result.ignored),
        ]
        if result.matched is not None:
            matched, total = result.matched
            lines.append(
                f'<p class="note">{escape(name)}: {matched} of {total} tracks matched by their visible masks.</p>'
            )
    return "".join([*lines, "</header>"])
