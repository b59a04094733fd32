"""Curves in Pillow's own typeface, a panel of several: the same picture on every machine."""

from __future__ import annotations

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
"""Apart in hue and lightness, and told apart by the colour-blind."""
_LEFT, _RIGHT, _TOP, _BELOW, _ENTRY = 64, 24, 56, 52, 20
_SMALL, _LARGE = 13, 16


@dataclass(frozen=True)
class Curve:
    """Points (x, y) of one series in the order in which they are joined. Without a name it is not in the legend."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows, its ends (None: those of the data, 0 included where it is linear) and its scale."""

    title: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    ticks: Sequence[float] | None = None


def line_chart(
    title: str, series: Sequence[Curve], across: Axis, up: Axis, size: tuple[int, int] = (460, 400)
) -> Frame:
    """One panel: curves over their grid with the legend below. ``size`` is (width, height) in pixels.

    Raises:
        ValueError: nothing is finite, or a logarithmic axis has values that are not positive.
    """
    finite = [[p for p in curve.points if math.isfinite(p[0]) and math.isfinite(p[1])] for curve in series]
    points = [p for kept in finite for p in kept]
    if not points:
        raise ValueError(f"{title}: no finite point to draw")
    across, up = _ended(across, [x for x, _ in points]), _ended(up, [y for _, y in points])
    picture = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((_LEFT, _TOP / 3), title, _INK, load_font(_LARGE), "lm")
    named = [k for k, curve in enumerate(series) if curve.name]
    bottom = size[1] - _BELOW - _ENTRY * -(-len(named) // 2)
    box = (_LEFT, _TOP, size[0] - _RIGHT, bottom)
    for tick in _ticks(across):
        x = box[0] + (box[2] - box[0]) * _share(across, tick)
        pen.line((x, box[1], x, box[3]), _GRID)
        pen.text((x, box[3] + 5), _number(tick), _FAINT, load_font(_SMALL), "mt")
    for tick in _ticks(up):
        y = box[3] - (box[3] - box[1]) * _share(up, tick)
        pen.line((box[0], y, box[2], y), _GRID)
        pen.text((box[0] - 6, y), _number(tick), _FAINT, load_font(_SMALL), "rm")
    pen.text(((box[0] + box[2]) / 2, box[3] + 24), across.title, _INK, load_font(_SMALL), "mt")
    pen.text((_LEFT, _TOP - 4), up.title, _FAINT, load_font(_SMALL), "lb") if up.title else None
    for k, kept in enumerate(finite):
        places = [
            (box[0] + (box[2] - box[0]) * _share(across, x), box[3] - (box[3] - box[1]) * _share(up, y))
            for x, y in kept
        ]
        _draw(pen, places, _SERIES[k % len(_SERIES)], series[k].dashed)
    for place, k in enumerate(named):
        x = _LEFT + place % 2 * (size[0] - _LEFT) / 2
        y = bottom + _BELOW + _ENTRY * (place // 2)
        _draw(pen, [(x, y), (x + 22, y)], _SERIES[k % len(_SERIES)], series[k].dashed)
        pen.text((x + 30, y), series[k].name, _INK, load_font(_SMALL), "lm")
    return np.array(picture)


def tile_panels(panels: Sequence[Frame], columns: int) -> Frame:
    """Panels of one size in rows of so many; the last row is filled up with white."""
    empty = np.full_like(panels[0], 255)
    rows = [[*panels[k : k + columns]] for k in range(0, len(panels), columns)]
    rows[-1] += [empty] * (min(columns, len(panels)) - len(rows[-1]))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _draw(pen: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], colour: Colour, dashed: bool) -> None:
    for (x0, y0), (x1, y1) in zip(places, places[1:], strict=False):
        steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 5)) if dashed else 1
        for k in range(0, steps, 2):
            a, b = k / steps, min(1.0, (k + 1) / steps)
            pen.line((x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0)), colour, 2)
    if not dashed:
        for x, y in places:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


def _ended(axis: Axis, values: Sequence[float]) -> Axis:
    """The axis with both ends set, apart from each other."""
    if axis.log and min(values) <= 0:
        raise ValueError(f"{axis.title}: {min(values)} has no place on a logarithmic axis")
    if axis.log:
        low, high = (10 ** math.floor(math.log10(min(values)) + 1e-9), 10 ** math.ceil(math.log10(max(values)) - 1e-9))
    else:
        low, high = min(0.0, *values), max(0.0, *values)
    low, high = (given if given is not None else found for given, found in ((axis.low, low), (axis.high, high)))
    if low == high:
        low, high = (low / 10, high) if axis.log else (low, low + 1)
    if not axis.log and axis.high is None:
        step = _step(high - low)
        high = step * math.ceil(high / step - 1e-9)
    return replace(axis, low=low, high=high)


def _share(axis: Axis, value: float) -> float:
    """Where a value lies between the ends, 0 to 1."""
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
    """About five steps of 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(width / 5))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= width / 5 - 1e-12)


def _number(value: float) -> str:
    return f"{round(value, 10):,.10g}"
