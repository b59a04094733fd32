"""Evidence for the order of objects: by how many pixels one extends, or is predicted to extend, under another.

Throughout, ``evidence[t, i, j]`` is the number of pixels by which object i extends under the visible mask of object j
in frame t.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from vidamodal.types import FrameOrder

SMOOTHING = 3.0
"""Standard deviation in frames of the Gaussian that pools evidence over time: the order of two objects persists."""

REACH = 12
"""Number of frames before and after a frame that contribute to its evidence."""

DOUBT = 8.0
"""Evidence in pixels that yields a confidence of one half."""


def extends_under(
    visible: Bool[np.ndarray, "n t h w"], amodal: Bool[np.ndarray, "n t h w"]
) -> Float[np.ndarray, "t n n"]:
    """Return evidence from known masks.

    Only every other row and column is read, at a quarter of the cost; the counts are scaled to all pixels.
    """
    amodal_pixels, visible_pixels = (
        rearrange(masks[:, :, ::2, ::2].astype(np.float32), "n t h w -> t n (h w)") for masks in (amodal, visible)
    )
    evidence = 4.0 * amodal_pixels @ rearrange(visible_pixels, "t n p -> t p n")
    evidence[:, np.arange(len(visible)), np.arange(len(visible))] = 0
    return evidence


def front_confidence(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Return the signed confidence that object j (last axis) lies in front of object i, from evidence.

    Returns:
        Values in (-1, 1) for each frame: positive if j lies in front, negative if it lies behind, 0 if unknown.
    """
    pooled = _pool_over_time(evidence)
    reverse = pooled.transpose(0, 2, 1)
    return np.asarray((pooled - reverse) / (pooled + reverse + DOUBT))


def front_confidence_from_order(order: Sequence[FrameOrder], ids: Sequence[int]) -> Float[np.ndarray, "t n n"]:
    """Return the signed confidence that object j (last axis) lies in front of object i, from a known order.

    Args:
        order: Pairs (front id, back id) of each frame. Pairs with other ids are ignored.
        ids: Ids of the n objects.

    Returns:
        1 and -1 for the listed pairs, 0 for all others.
    """
    places = {key: place for place, key in enumerate(ids)}
    out = np.zeros((len(order), len(ids), len(ids)), dtype=np.float16)
    for t, pairs in enumerate(order):
        for front, back in pairs:
            if front in places and back in places:
                out[t, places[back], places[front]] = 1
                out[t, places[front], places[back]] = -1
    return out


def occluder_weights(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Return the weight with which object j (last axis) may occlude object i, from evidence of independent completions.

    If two objects are each completed under the other, at most one of the completions is right. The weaker one is
    scaled by the ratio of the two.

    Returns:
        Weights in [0, 1] for each frame.
    """
    pooled = _pool_over_time(evidence)
    # One pixel is added to both, so that a ratio of almost nothing means nothing.
    return np.asarray(np.minimum(1.0, (pooled + 1) / (pooled.transpose(0, 2, 1) + 1)))


def _pool_over_time(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Add up the evidence of each frame and its neighbours, weighted by a Gaussian."""
    if len(evidence) < 2:
        return evidence
    return np.asarray(gaussian_filter1d(evidence, SMOOTHING, axis=0, mode="constant", radius=REACH))
