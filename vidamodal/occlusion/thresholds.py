"""The smallest areas that count, defined at an image height of 256 pixels and scaled to other sizes."""

from __future__ import annotations

REFERENCE_HEIGHT = 256
"""Image height in pixels at which the areas below are defined."""

SHARED_AREA = 16
"""Pixels that two amodal masks must share to be ordered."""

COUNTED_AREA = 64
"""Pixels that an amodal mask must have for its object-frame to be scored."""


def least_shared_area(height: int) -> float:
    """Return how many pixels two amodal masks must share to be ordered: at least one.

    Args:
        height: Height of the image in pixels.
    """
    return max(1.0, SHARED_AREA * (height / REFERENCE_HEIGHT) ** 2)


def least_counted_area(height: int, width: int | None = None) -> float:
    """Return the amodal area in pixels from which an object-frame counts.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels. If given, the threshold scales with the area of the image, as it does in
            training; by default it scales with the squared height, as it does in evaluation.
    """
    return COUNTED_AREA / REFERENCE_HEIGHT**2 * height * (height if width is None else width)
