"""Placement of labels on objects, without overlaps where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from vidamodal.report.colours import DARK, Colour, pale
from vidamodal.report.style import Style
from vidamodal.types import Mask

_GRID = 24
"""Cells along the longer side of an object in which places for its label are compared."""

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Label:
    """A text and the points where it may be centred.

    Attributes:
        text: The text.
        rgb: Colour of the object.
        places: Candidate centres (x, y) on the canvas, best first.
    """

    text: str
    rgb: Colour
    places: Float[np.ndarray, "p 2"]


def write_labels(canvas: Image.Image, labels: Sequence[Label], style: Style) -> None:
    """Write labels onto the canvas in order of priority: each takes its first place that is still free."""
    pen = ImageDraw.Draw(canvas)
    font, rim = style.label_font, max(1, round(1.8 * style.unit))
    taken: list[Rectangle] = []
    for label in labels:
        left, top, right, bottom = pen.textbbox((0, 0), label.text, font=font, anchor="mm", stroke_width=rim)
        half = (right - left) / 2, (bottom - top) / 2
        x, y = _first_free(label.places, half, taken, canvas.size)
        taken.append((x - half[0], y - half[1], x + half[0], y + half[1]))
        pen.text((x, y), label.text, pale(label.rgb), font, "mm", stroke_width=rim, stroke_fill=DARK)


def rank_places(mask: Mask) -> Float[np.ndarray, "p 2"]:
    """Return points (x, y) inside a mask, best first: deep inside it and near its middle.

    Args:
        mask: A mask cropped to its bounding box.
    """
    height, width = mask.shape
    step = max(1, -(-max(height, width) // _GRID))
    rows = np.logical_or.reduceat(mask, np.arange(0, height, step), axis=0)
    grid = np.pad(np.logical_or.reduceat(rows, np.arange(0, width, step), axis=1), 1)
    depth = np.zeros(grid.shape, dtype=int)
    while grid.any():
        depth += grid
        grid[1:-1, 1:-1] &= grid[:-2, 1:-1] & grid[2:, 1:-1] & grid[1:-1, :-2] & grid[1:-1, 2:]
    y, x = np.nonzero(depth)
    off_middle = np.hypot(y - y.mean(), x - x.mean())
    best = np.argsort(off_middle - 2.5 * np.minimum(depth[y, x], 5), kind="stable")
    cells = np.stack([x[best], y[best]], axis=1) - 1
    return np.asarray(cells * step + step / 2)


def _first_free(
    places: Float[np.ndarray, "p 2"], half: tuple[float, float], taken: Sequence[Rectangle], size: tuple[int, int]
) -> tuple[float, float]:
    """Return the first place where the label overlaps no other, else the first one; clipped to the picture."""
    room = np.asarray(size) - half
    centres = np.clip(np.round(places), half, np.maximum(room, half))
    free = np.ones(len(centres), dtype=bool)
    for left, top, right, bottom in taken:
        x, y = centres[:, 0], centres[:, 1]
        free &= (x + half[0] <= left) | (x - half[0] >= right) | (y + half[1] <= top) | (y - half[1] >= bottom)
    x, y = centres[int(np.argmax(free))]
    return float(x), float(y)
