"""Colours of objects and of errors."""

from __future__ import annotations

import math
from functools import lru_cache

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

FALSE_NEGATIVE: Colour = (255, 122, 0)
FALSE_POSITIVE: Colour = (40, 150, 255)
TRUE_POSITIVE: Colour = (168, 178, 168)
"""Colours of error maps, distinguishable with colour blindness."""

VISIBLE: Colour = (60, 205, 150)
OCCLUDED: Colour = (238, 110, 220)
"""Parts of an object in the film strips of the report."""

DARK: Colour = (12, 12, 18)

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_FIRST_HUE = 0.5
_LIGHTNESS = (0.72, 0.76, 0.68, 0.80, 0.64, 0.84)
_MAX_CHROMA = 0.20


@lru_cache(maxsize=4096)
def object_colour(object_id: int) -> Colour:
    """Return the RGB colour of an object, a function of its id alone.

    Hues in Oklab (Ottosson 2020) advance by the golden ratio, which keeps any number of consecutive ids apart. Within a
    band of lightness that is legible on dark and bright frames, the value with the most chroma in sRGB is chosen.
    """
    hue = 2 * math.pi * ((_FIRST_HUE + object_id * _GOLDEN_RATIO) % 1)
    lightness = max(_LIGHTNESS, key=lambda value: _max_chroma(value, hue))
    linear = _oklch_to_linear(lightness, _max_chroma(lightness, hue), hue)
    red, green, blue = (round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in linear)
    return red, green, blue


def pale(rgb: Colour) -> Colour:
    """Return the colour half way to white, legible as text with a dark rim."""
    red, green, blue = (round((v + 255) / 2) for v in rgb)
    return red, green, blue


def _max_chroma(lightness: float, hue: float) -> float:
    """Return the largest chroma inside sRGB, at most ``_MAX_CHROMA``."""
    chroma = _MAX_CHROMA
    while min(rgb := _oklch_to_linear(lightness, chroma, hue)) < 0 or max(rgb) > 1:
        chroma -= 0.005
    return chroma


def _oklch_to_linear(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
