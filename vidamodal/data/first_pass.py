"""Simulated results of a first pass, so that training shows inputs like those of the second pass in inference."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from vidamodal.geometry import Windows
from vidamodal.occlusion.evidence import extends_under, front_confidence
from vidamodal.worlds.sample import ClipMasks

RECALL, FALSE_SHARE, FALSE_PIXELS = 0.9, 0.05, 2.0
"""Share of the pixels that objects extend under each other that a first pass predicts, and its false positives: as a
share of the other object's extent and in pixels, for overlapping objects (measured on validation worlds)."""


def simulate_first_boxes(
    boxes: Float[np.ndarray, "n t 4"],
    windows: Windows,
    areas: Float[np.ndarray, "n t"],
    true_areas: Int[np.ndarray, "n t"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "n t 4"], Float[np.ndarray, "n t"]]:
    """Return amodal boxes with the errors of a first pass, and the visible share of each object.

    A model's boxes were off by 0.02 object sizes where the object was fully visible and by 0.15 where it was hardly
    visible, their sides by 3 and 30 %, with a correlation of 0.9 between frames. Boxes never leave their windows.

    Args:
        boxes: True amodal boxes (top, left, bottom, right) in pixels; nan where nothing lies inside the image.
        windows: Windows of the first pass.
        areas: Visible areas in pixels.
        true_areas: Amodal areas in pixels.
        rng: Source of the errors.
    """
    shares = np.minimum(areas / np.maximum(true_areas, 1), 1)
    center, extent = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    error = rng.normal(size=(*areas.shape, 4))
    for t in range(1, error.shape[1]):
        error[:, t] = 0.9 * error[:, t - 1] + np.sqrt(1 - 0.9**2) * error[:, t]
    unseen = (1 - shares[..., None]) ** 2
    center = center + error[..., :2] * (0.02 + 0.14 * unseen) * extent.max(axis=2, keepdims=True)
    extent = extent * np.exp(error[..., 2:] * (0.03 + 0.25 * unseen))
    middle, reach = windows.center[..., ::-1], windows.side[..., ::-1] / 2
    corners = [np.clip(c, middle - reach, middle + reach) for c in (center - extent / 2, center + extent / 2)]
    return np.concatenate(corners, axis=2), shares


def simulate_first_order(clip: ClipMasks, rng: np.random.Generator) -> Float[np.ndarray, "t n n"]:
    """Return the confidence that objects lie in front of each other, with the errors of a first pass.

    Some of the pixels that an object extends under another are missed, and false ones are added on either side; the
    errors are the same in all frames. See `vidamodal.occlusion.evidence.front_confidence`.
    """
    over = extends_under(clip.visible, clip.amodal)
    predicted = over * np.clip(rng.normal(RECALL, 0.3, over.shape[1:]), 0, None)
    near = (over + over.transpose(0, 2, 1) > 0).any(axis=0)
    false = rng.exponential(FALSE_SHARE, over.shape[1:]) * near * over.transpose(0, 2, 1)
    stray = rng.exponential(FALSE_PIXELS, over.shape[1:]) * near
    return front_confidence(predicted + false + stray).astype(np.float32)
