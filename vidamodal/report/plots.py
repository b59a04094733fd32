"""Dot plots as inline SVG for the HTML report.

Horizontal positions are in per cent of the width, so that plots fit any window while text keeps its size. Colours are
CSS classes, which support light and dark mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vidamodal.metrics.averages import Interval
from vidamodal.metrics.tables import percent

COLOURS = 6
"""Number of CSS classes ``series0``, ``series1``, ...; further series repeat the colours with another shape."""
_SHAPES = (
    '<circle r="4.5"/>',
    '<path d="M-4-4H4V4H-4Z"/>',
    '<path d="M0-5.5 5.5 0 0 5.5-5.5 0Z"/>',
    '<path d="M0-5 5 4H-5Z"/>',
)
_FIRST, _LAST = 1.5, 84.0  # positions of 0 and 1 in per cent of the width; values are written to the right
_LABEL, _ROW, _GAP, _AXIS = 20, 17, 10, 20  # heights in pixels


@dataclass(frozen=True)
class Point:
    """A fraction in [0, 1] with its confidence interval, each None if undefined, and a tooltip."""

    value: float | None
    interval: Interval | None
    tooltip: str


def dot_plot(title: str, bands: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Return an SVG of bands below each other, with a dot, whiskers and the value for each series.

    Args:
        title: Description for screen readers.
        bands: Labels and one point per series.
    """
    height = _AXIS + sum(_LABEL + _ROW * len(points) + _GAP for _, points in bands)
    parts = [f'<svg class="plot" width="100%" height="{height}" role="img" aria-label="{escape(title)}">']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _position(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{height - _AXIS}"/>')
        parts.append(f'<text class="faint" x="{x}" y="{height - 5}" text-anchor="middle">{100 * tick:g}</text>')
    y = 0
    for label, points in bands:
        parts.append(f'<text class="band" x="0" y="{y + 14}">{escape(label)}</text>')
        y += _LABEL
        for series, point in enumerate(points):
            parts.append(_point_row(series, point, y + _ROW / 2))
            y += _ROW
        y += _GAP
    return "".join([*parts, "</svg>"])


def legend(names: Sequence[str]) -> str:
    """Return a list of the names of the series, each after its mark."""
    entries = (
        f'<li><svg width="14" height="14" aria-hidden="true">{_mark(series, "7", 7)}</svg>{escape(name)}</li>'
        for series, name in enumerate(names)
    )
    return f'<ul class="key">{"".join(entries)}</ul>'


def _point_row(series: int, point: Point, y: float) -> str:
    value = f'<text class="value" x="100%" y="{y + 4:g}" text-anchor="end">{percent(point.value)}</text>'
    if point.value is None:
        return value
    low, high = (_position(end) for end in point.interval or (point.value, point.value))
    whisker = f'<line class="whisker series{series % COLOURS}" x1="{low}" x2="{high}" y1="{y:g}" y2="{y:g}"/>'
    return f"<g><title>{escape(point.tooltip)}</title>{whisker}{_mark(series, _position(point.value), y)}{value}</g>"


def _mark(series: int, x: str, y: float) -> str:
    """Return the mark of a series; a nested SVG is needed to place a shape by per cent."""
    shape = _SHAPES[(series + series // COLOURS) % len(_SHAPES)]
    return f'<svg class="mark series{series % COLOURS}" x="{x}" y="{y:g}" overflow="visible">{shape}</svg>'


def _position(fraction: float) -> str:
    return f"{_FIRST + (_LAST - _FIRST) * fraction:.2f}%"
