"""Evidence of who lies in front of whom, from what objects show and how far they are taken to extend."""

from __future__ import annotations

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

SMOOTHING = 3.0
"""Standard deviation in frames over which evidence of who is in front is gathered: orders last."""

REACH = 12
"""Frames either way beyond which evidence does not count."""

DOUBT = 8.0
"""Evidence, in pixels, that makes it half sure who lies in front."""


def gather(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Evidence of every frame together with its neighbours'."""
    if len(evidence) < 2:
        return evidence
    return gaussian_filter1d(evidence, SMOOTHING, axis=0, mode="constant", radius=REACH)


def in_front(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """How sure it is in each frame that object j lies in front of object i (1) or behind it (-1); 0 is not known.

    ``evidence[t, i, j]`` is how many pixels i extends, or is expected to, under what is visible of j.
    """
    gathered = gather(evidence)
    other = gathered.transpose(0, 2, 1)
    return (gathered - other) / (gathered + other + DOUBT)


def extends_under(
    visible: Bool[np.ndarray, "n t h w"], amodal: Bool[np.ndarray, "n t h w"]
) -> Float[np.ndarray, "t n n"]:
    """How many pixels object i extends under what is visible of object j in each frame, on every other row and column
    (which tells as much at a quarter of the cost), scaled to all pixels."""
    whole, shown = (
        rearrange(masks[:, :, ::2, ::2].astype(np.float32), "n t h w -> t n (h w)") for masks in (amodal, visible)
    )
    over = 4.0 * whole @ rearrange(shown, "t n p -> t p n")
    over[:, np.arange(len(visible)), np.arange(len(visible))] = 0
    return over
