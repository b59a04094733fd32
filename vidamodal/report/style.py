"""Sizes of lines, hatching and text, in proportion to the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFont

MIN_SIDE = 512
"""Frames with a shorter longer side are enlarged before painting: hatching needs pixels to be legible."""

_HATCH_ALPHA = 0.95
_HATCH_DUTY = 0.38


@dataclass(frozen=True)
class Style:
    """Sizes in pixels for a canvas of a given size. One unit is 1 px up to 640 x 640, 1.5 at 720p and 4.5 at 4K."""

    width: int
    height: int

    @property
    def unit(self) -> float:
        """Scale of all other sizes."""
        return max(1.0, math.sqrt(self.width * self.height) / 640)

    @property
    def line(self) -> float:
        """Width of the outline."""
        return 2.0 * self.unit

    @property
    def casing(self) -> float:
        """Width of the dark border on each side of the outline."""
        return 1.0 * self.unit

    @property
    def dash(self) -> tuple[float, float]:
        """Length of a dash and of the gap after it."""
        return 8.0 * self.unit, 6.0 * self.unit

    @property
    def margin(self) -> int:
        """Distance that an outline may extend beyond the mask."""
        return math.ceil(self.line / 2 + self.casing) + 1

    @property
    def label_font(self) -> ImageFont.FreeTypeFont:
        """Font of the labels."""
        return load_font(round(16 * self.unit))

    def hatching(self, direction: int) -> Image.Image:
        """Return diagonal stripes over the whole canvas as alpha; ``direction`` is 1 or -1."""
        return _hatching(self.width, self.height, 8.0 * self.unit, direction)


@lru_cache(maxsize=4)
def _hatching(width: int, height: int, period: float, direction: int) -> Image.Image:
    """Anti-aliased stripes that are fixed to the canvas, so that they do not move with the objects."""
    y, x = np.ogrid[:height, :width]
    phase = ((x + direction * y) / (math.sqrt(2) * period)) % 1
    distance = (_HATCH_DUTY / 2 - abs(phase - 0.5)) * period
    return Image.fromarray((np.clip(distance + 0.5, 0, 1) * (255 * _HATCH_ALPHA)).astype(np.uint8))


@lru_cache(maxsize=16)
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the typeface bundled with Pillow, which is the same on every machine.

    Raises:
        RuntimeError: Pillow was built without FreeType.
    """
    typeface = ImageFont.load_default(size)
    if not isinstance(typeface, ImageFont.FreeTypeFont):
        raise RuntimeError("this build of Pillow lacks FreeType, which the labels need")
    return typeface
