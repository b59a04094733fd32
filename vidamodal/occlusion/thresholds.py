"""Thresholds: the smallest areas that count, and the probabilities from which masks and presence are decided.

Areas are defined at an image height of 256 pixels and scaled to other sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidamodal.occlusion.parts import PartJudge

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


@dataclass(frozen=True)
class PartialDecision:
    """How masks are decided on pixels that may show an occluder without a mask.

    These are the pixels outside all listed masks, in frames of partial scenes in which the object is visible. The
    network cannot know what such a pixel shows, and its probabilities are too high there: a judge chooses the parts of
    the completed mask that are kept, in them probabilities become expit(logit / temperature + shift), and a pixel
    belongs to the object above the threshold. All are fitted by ``scripts/experiments/partial``.
    """

    temperature: float = 1.0
    """Divisor of the logits, after that of all logits."""
    shift: float = 0.0
    """Added to the logits."""
    threshold: float = 0.5
    """Probability above which a pixel belongs to the object."""
    judge: PartJudge | None = None
    """Chooses the parts that are kept; None keeps all."""
