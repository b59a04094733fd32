"""Line charts in the typeface bundled with Pillow, so that pictures are the same on every machine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from vidamodal.report.colours import Colour
from vidamodal.report.style import load_font
from vidamodal.types import Frame

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (32, 34, 41)
_FAINT: Colour = (112, 116, 128)
_GRID: Colour = (226, 228, 234)
_SERIES: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (120, 94, 240),
    (90, 90, 90),
)
"""Colours of the series, distinguishable with colour blindness."""
_LEFT, _RIGHT, _TOP, _BELOW, _ENTRY = 64, 24, 56, 52, 20
_SMALL, _LARGE = 13, 16


@dataclass(frozen=True)
class Curve:
    """One series.

    Attributes:
        name: Name in the legend; a curve without a name is not listed there.
        points: Points (x, y) in the order in which they are joined.
        dashed: True for a dashed line without dots.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: Text beside the axis.
        low: Lower end; None for that of the data, 0 included on a linear axis.
        high: Upper end; None for that of the data.
        log: True for a logarithmic scale.
        ticks: Values with grid lines; None for round values.
    """

    title: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    ticks: Sequence[float] | None = None


@dataclass(frozen=True)
class _Panel:
    """The plotting area (left, top, right, bottom) with both axes; their ends are set."""

    pen: ImageDraw.ImageDraw
    box: tuple[int, int, int, int]
    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        return self.box[0] + (self.box[2] - self.box[0]) * _fraction(self.across, value)

    def y(self, value: float) -> float:
        return self.box[3] - (self.box[3] - self.box[1]) * _fraction(self.up, value)

    def write_axes(self) -> None:
        left, top, right, bottom = self.box
        for tick in _ticks(self.across):
            self.pen.line((self.x(tick), top, self.x(tick), bottom), _GRID)
            self.pen.text((self.x(tick), bottom + 5), _number(tick), _FAINT, load_font(_SMALL), "mt")
        for tick in _ticks(self.up):
            self.pen.line((left, self.y(tick), right, self.y(tick)), _GRID)
            self.pen.text((left - 6, self.y(tick)), _number(tick), _FAINT, load_font(_SMALL), "rm")
        self.pen.text(((left + right) / 2, bottom + 24), self.across.title, _INK, load_font(_SMALL), "mt")
        if self.up.title:
            self.pen.text((_LEFT, _TOP - 4), self.up.title, _FAINT, load_font(_SMALL), "lb")


def line_chart(
    title: str, series: Sequence[Curve], across: Axis, up: Axis, size: tuple[int, int] = (460, 400)
) -> Frame:
    """Render curves over a grid with a legend below. Points that are not finite are left out.

    Args:
        title: Title of the chart.
        series: The curves.
        across: Horizontal axis.
        up: Vertical axis.
        size: Width and height in pixels.

    Raises:
        ValueError: No point is finite, or a logarithmic axis has values that are not positive.
    """
    finite = [[p for p in curve.points if math.isfinite(p[0]) and math.isfinite(p[1])] for curve in series]
    points = [p for kept in finite for p in kept]
    if not points:
        raise ValueError(f"{title}: no finite point to plot")
    named = [k for k, curve in enumerate(series) if curve.name]
    bottom = size[1] - _BELOW - _ENTRY * -(-len(named) // 2)
    picture = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(picture)
    box = (_LEFT, _TOP, size[0] - _RIGHT, bottom)
    panel = _Panel(pen, box, _with_ends(across, [x for x, _ in points]), _with_ends(up, [y for _, y in points]))
    pen.text((_LEFT, _TOP / 3), title, _INK, load_font(_LARGE), "lm")
    panel.write_axes()
    for k, kept in enumerate(finite):
        places = [(panel.x(x), panel.y(y)) for x, y in kept]
        _plot(pen, places, _SERIES[k % len(_SERIES)], series[k].dashed)
    for place, k in enumerate(named):
        x = _LEFT + place % 2 * (size[0] - _LEFT) / 2
        y = bottom + _BELOW + _ENTRY * (place // 2)
        _plot(pen, [(x, y), (x + 22, y)], _SERIES[k % len(_SERIES)], series[k].dashed)
        pen.text((x + 30, y), series[k].name, _INK, load_font(_SMALL), "lm")
    return np.array(picture)


def tile_panels(panels: Sequence[Frame], columns: int) -> Frame:
    """Arrange panels of one size in rows; the last row is filled up with white."""
    empty = np.full_like(panels[0], 255)
    rows = [[*panels[k : k + columns]] for k in range(0, len(panels), columns)]
    rows[-1] += [empty] * (min(columns, len(panels)) - len(rows[-1]))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _plot(pen: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], colour: Colour, dashed: bool) -> None:
    for (x0, y0), (x1, y1) in itertools.pairwise(places):
        steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 5)) if dashed else 1
        for k in range(0, steps, 2):
            a, b = k / steps, min(1.0, (k + 1) / steps)
            pen.line((x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0)), colour, 2)
    if not dashed:
        for x, y in places:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


def _with_ends(axis: Axis, values: Sequence[float]) -> Axis:
    """Return the axis with both ends set, the lower one below the upper one."""
    if axis.log and min(values) <= 0:
        raise ValueError(f"{axis.title}: {min(values)} cannot be shown on a logarithmic axis")
    if axis.log:
        low, high = (10 ** math.floor(math.log10(min(values)) + 1e-9), 10 ** math.ceil(math.log10(max(values)) - 1e-9))
    else:
        low, high = min(0.0, *values), max(0.0, *values)
    low = low if axis.low is None else axis.low
    high = high if axis.high is None else axis.high
    if low == high:
        low, high = (low / 10, high) if axis.log else (low, low + 1)
    if not axis.log and axis.high is None:
        step = _step(high - low)
        high = step * math.ceil(high / step - 1e-9)
    return replace(axis, low=low, high=high)


def _fraction(axis: Axis, value: float) -> float:
    """Return the position of a value between the ends of an axis, from 0 to 1."""
    assert axis.low is not None and axis.high is not None
    low, high, at = (math.log(v) if axis.log else v for v in (axis.low, axis.high, value))
    return min(1.0, max(0.0, (at - low) / (high - low)))


def _ticks(axis: Axis) -> Sequence[float]:
    assert axis.low is not None and axis.high is not None
    if axis.ticks is not None:
        return axis.ticks
    if axis.log:
        first, last = round(math.log10(axis.low)), round(math.log10(axis.high))
        return [10.0**k for k in range(first, last + 1)]
    step = _step(axis.high - axis.low)
    first = math.ceil(axis.low / step - 1e-9)
    return [step * k for k in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def _step(width: float) -> float:
    """Return 1, 2 or 5 times a power of ten that divides a width into about five steps."""
    power = 10 ** math.floor(math.log10(width / 5))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= width / 5 - 1e-12)


def _number(value: float) -> str:
    return f"{round(value, 10):,.10g}"
