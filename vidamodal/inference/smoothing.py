"""Smoothing over time: the completed masks of a track in neighbouring frames correct each other.

A window follows its object, so that the same cell shows about the same part of the object in neighbouring frames. What
the network completes there differs from frame to frame, more than the object does. The logits of a frame are therefore
drawn towards the mean mask of the frames around it, the more so the better their masks explain what is visible.

The constants were chosen on validation worlds: heaps in exhaustive scenes, streets, rooms and fields from an object's
mask alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import expit

from vidamodal.data.crops import FrameCrops

STRENGTH = 1.5
"""Largest logit that is added."""
REACH = 8
"""Frames before and after a frame that correct it."""
NEAR, FADE = 1.8, 0.3
"""The weight of a frame is sigmoid(NEAR - FADE * distance) * sigmoid(STRICT * (explained - GOOD)), with the distance in
frames and the share of what is visible that its mask explains."""
STRICT, GOOD = 20.0, 0.95
HALF = 0.3
"""Sum of the weights of all frames that gives half of the strength."""

Masks = Float[np.ndarray, "t n"]


def smooth_logits(
    logits: Float[np.ndarray, "k t s s"], frames: Sequence[int], crops: Sequence[FrameCrops]
) -> Float[np.ndarray, "k t s s"]:
    """Return logits that neighbouring frames have corrected; those in which nothing is visible correct no other.

    Args:
        logits: Calibrated logits of k hypotheses of a track in t frames.
        frames: Numbers of these frames.
        crops: What is visible in their windows.
    """
    visible = np.stack([each.visible for each in crops]) > 0.5
    possible = np.stack([(each.inside > 0.5) & (each.background < 0.5) for each in crops])
    weights = _distance_weights(frames, np.asarray(visible.any(axis=(1, 2))))
    return np.stack([values + _correction(values, visible, possible, weights) for values in logits])


def _distance_weights(frames: Sequence[int], seen: Bool[np.ndarray, " t"]) -> Float[np.ndarray, "t t"]:
    """Return the weight of each frame (last axis) for each frame, by their distance."""
    numbers = np.array(frames)
    distance = np.abs(numbers[:, None] - numbers)
    return np.asarray(expit(NEAR - FADE * distance) * ((distance > 0) & (distance <= REACH) & seen), dtype=np.float32)


def _correction(
    logits: Float[np.ndarray, "t s s"],
    visible: Bool[np.ndarray, "t s s"],
    possible: Bool[np.ndarray, "t s s"],
    weights: Float[np.ndarray, "t t"],
) -> Float[np.ndarray, "t s s"]:
    """Return what is added to the logits of each frame."""
    masks = np.where(visible, 1, possible * expit(logits)).reshape(len(logits), -1).astype(np.float32)
    shown = visible.reshape(masks.shape).astype(np.float32)
    area = shown.sum(axis=1, keepdims=True)
    explained = _product(shown, masks.T) / np.maximum(area, 1)
    weights = weights * np.where(area > 0, expit(STRICT * (explained - GOOD)), 0.5)
    total = weights.sum(axis=1, keepdims=True)
    mean = _product(weights, masks) / np.maximum(total, np.finfo(np.float32).tiny)
    return np.asarray(STRENGTH * total / (total + HALF) * (2 * mean - 1), dtype=np.float32).reshape(logits.shape)


def _product(first: Float[np.ndarray, "a b"], second: Float[np.ndarray, "b c"]) -> Float[np.ndarray, "a c"]:
    """Multiply matrices on the threads of PyTorch: those of NumPy's library would be added to them."""
    product: np.ndarray = (torch.from_numpy(first.astype(np.float32)) @ torch.from_numpy(second)).numpy()
    return product
