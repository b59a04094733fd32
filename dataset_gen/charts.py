"""Small bar charts in the typeface bundled with Pillow, with the same pixels on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vidamodal.report.colours import Colour
from vidamodal.report.style import load_font
from vidamodal.types import Frame

_PAPER: Colour = (32, 34, 41)
_INK: Colour = (236, 236, 240)
_FAINT: Colour = (150, 154, 166)
_BAR: Colour = (86, 180, 233)
_MARGIN = 28
_TITLE = 64
_TEXT = 15


def column_chart(title: str, names: Sequence[str], values: Sequence[float], below: str, size: tuple[int, int]) -> Frame:
    """Draw vertical bars with their names below and their percentages of the total on top.

    Args:
        title: Title of the chart.
        names: Names of the bars. The text shrinks until it fits the bars.
        values: Values of the bars.
        below: Caption of the horizontal axis.
        size: (width, height) in pixels.
    """
    picture, pen = _new_chart(title, size)
    left, right, top, bottom = _MARGIN, size[0] - _MARGIN, _TITLE + 28, size[1] - 78
    step = (right - left) / max(len(names), 1)
    shares = [_percentage_label(value, values) for value in values]
    text = min(_fitting_font_size(names, step), _fitting_font_size(shares, step))
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = left + (k + 0.5) * step, bottom - (bottom - top) * value / (max(values) or 1)
        if value:
            pen.rectangle((x - 0.38 * step, min(y, bottom - 1), x + 0.38 * step, bottom), _BAR)
        pen.text((x, y - 6), shares[k], _INK, load_font(text), "mb")
        pen.text((x, bottom + 10), name, _INK, load_font(text), "mt")
    pen.line((left, bottom, right, bottom), _FAINT)
    pen.text((size[0] / 2, size[1] - _MARGIN), below, _FAINT, load_font(_TEXT), "mb")
    return np.array(picture)


def bar_chart(title: str, names: Sequence[str], values: Sequence[float], size: tuple[int, int]) -> Frame:
    """Draw horizontal bars in two columns, with their names to the left and their values to the right."""
    picture, pen = _new_chart(title, size)
    half = -(-len(names) // 2)
    height = (size[1] - _TITLE - _MARGIN) / max(half, 1)
    text = load_font(max(9, min(_TEXT, round(0.7 * height))))
    room = max(map(text.getlength, names), default=0) + 10, max(text.getlength(f"{v:,}") for v in [0, *values]) + 10
    width = (size[0] - 3 * _MARGIN) / 2
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = _MARGIN + k // max(half, 1) * (width + _MARGIN) + room[0], _TITLE + (k % max(half, 1) + 0.5) * height
        end = x + (width - sum(room)) * value / (max(values) or 1)
        pen.text((x - 10, y), name, _INK, text, "rm")
        pen.rectangle((x, y - 0.3 * height, end, y + 0.3 * height), _BAR)
        pen.text((end + 8, y), f"{value:,}", _FAINT, text, "lm")
    return np.array(picture)


def _new_chart(title: str, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _TITLE / 2), title, _INK, load_font(20), "lm")
    return picture, pen


def _percentage_label(value: float, values: Sequence[float]) -> str:
    share = 100 * value / (sum(values) or 1)
    return "0" if not value else f"{share:.0f} %" if share >= 9.5 else f"{share:.1f} %"


def _fitting_font_size(texts: Sequence[str], width: float) -> int:
    """Return the largest font size from 9 to 15 at which all texts fit a width; 9 if none does."""
    return next((n for n in range(_TEXT, 9, -1) if all(load_font(n).getlength(t) <= 0.94 * width for t in texts)), 9)
