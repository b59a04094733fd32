"""Masks from the shapes that annotators draw: polygons and ellipses, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vidamodal.formats.annotation_files import ImageEntry, read_mask
from vidamodal.media.json_records import FieldError
from vidamodal.types import Rle

_CORNERS = 96
"""Corners of the polygon that stands for an ellipse."""


def polygon_mask(points: Sequence[float], height: int, width: int, where: str) -> Rle:
    """Return the inside of a polygon.

    Args:
        points: x, y, x, y, ... in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: The place in the file, for messages.

    Raises:
        FieldError: A coordinate is not a finite number, or too large.
    """
    return read_mask([list(points)], ImageEntry(0, "", height, width), where)


def ellipse_mask(
    center: tuple[float, float], radii: tuple[float, float], degrees: float, height: int, width: int, where: str
) -> Rle:
    """Return the inside of an ellipse; the other arguments are those of `polygon_mask`.

    Args:
        center: (x, y) in pixels.
        radii: Along its first and second axis, in pixels.
        degrees: Clockwise angle from the x axis of the image to its first axis.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: The place in the file, for messages.

    Raises:
        FieldError: A number is not finite, too large, or a radius is negative.
    """
    if not all(map(math.isfinite, (*center, *radii, degrees))) or min(radii) < 0:
        raise FieldError(f"{where}: not an ellipse; draw it again")
    turn, around = math.radians(degrees), np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    along, across = radii[0] * np.cos(around), radii[1] * np.sin(around)
    x = center[0] + along * math.cos(turn) - across * math.sin(turn)
    y = center[1] + along * math.sin(turn) + across * math.cos(turn)
    return polygon_mask(np.stack([x, y], axis=1).ravel().tolist(), height, width, where)
