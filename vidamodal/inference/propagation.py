"""Propagation of anchors: true masks of some frames correct the logits of the frames around them.

A window follows its object, so the mask of an anchor lies almost where the object is in the neighbouring frames. There
it is moved by a few cells to where it fits best, and added to the logits. The weight falls with the distance in time,
and with the part of what is visible that the mask does not explain. The network sees no more of an anchor than its
codes; this brings its outline.

The constants were chosen on validation worlds (heaps, streets and rooms), for occ in frames without an anchor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from vidamodal.data.crops import FrameCrops

STRENGTH = 6.0
"""Largest logit that is added."""
NEAR, FADE = 1.8, 0.5
"""The weight is sigmoid(NEAR - FADE * distance + STRICT * (agreement - GOOD)), with the distance in frames."""
STRICT, GOOD = 20.0, 0.8
"""How far the weight depends on the agreement, and the agreement at which it depends on the distance alone."""
REACH = 0.08
"""How far a mask is moved in each direction, relative to the window."""

Cells = Float[np.ndarray, "s s"]


class _Aligned(NamedTuple):
    """The mask of an anchor, moved to where it fits another frame."""

    mask: Cells
    agreement: float
    """IoU with the visible mask, where it is certain what is visible; `GOOD` if nothing of the object is."""


def propagate(
    logits: Float[np.ndarray, "k t s s"],
    frames: Sequence[int],
    crops: Mapping[int, FrameCrops],
    anchors: Mapping[int, Cells],
) -> Float[np.ndarray, "k t s s"]:
    """Return logits that are corrected by the nearest anchor before and after each frame.

    Args:
        logits: Calibrated logits of k hypotheses in t frames.
        frames: Numbers of these frames.
        crops: What is visible in the windows of these frames, and of those of the anchors.
        anchors: Masks by frame number, in their windows; those of other frames count, too.
    """
    corrected = logits.copy()
    for place, t in enumerate(frames):
        if t not in anchors:
            corrected[:, place] += _correction(expit(logits[0, place]), t, crops, anchors)
    return corrected


def _correction(probability: Cells, frame: int, known: Mapping[int, FrameCrops], anchors: Mapping[int, Cells]) -> Cells:
    """Return what the anchors around a frame add to its logits."""
    crops = known[frame]
    before = max((t for t in anchors if t < frame), default=None)
    after = min((t for t in anchors if t > frame), default=None)
    total, shares = np.zeros_like(probability), 0.0
    for anchor in (before, after):
        if anchor is not None:
            distance = abs(frame - anchor)
            aligned = _align(anchors[anchor], probability, crops)
            weight = STRENGTH * expit(NEAR - FADE * distance + STRICT * (aligned.agreement - GOOD)) / distance
            added = weight * (2 * aligned.mask - 1)
            # If all that is occluded in the anchor's frame has an occluder with a mask, others are unlikely.
            open_share = _open_share(anchors[anchor], known[anchor])
            total += np.where((crops.others < 0.5) & (added > 0), open_share * added, added)
            shares += 1 / distance
    return total / shares


def _open_share(mask: Cells, crops: FrameCrops) -> float:
    """Return the share of the occluded part of an anchor that lies under no mask; 0 if nothing is occluded."""
    occluded = mask * (crops.visible < 0.5) * crops.inside
    return float((occluded * (crops.others < 0.5)).sum() / max(occluded.sum(), 1))


def _align(mask: Cells, probability: Cells, crops: FrameCrops) -> _Aligned:
    """Move a mask to where its soft IoU with the prediction is largest."""
    visible, inside = crops.visible > 0.5, crops.inside > 0.5
    possible = ~visible & inside & (crops.background < 0.5)
    expected = np.where(visible, 1, np.where(possible, probability, 0)) * inside
    reach = round(REACH * len(mask))
    moved = np.lib.stride_tricks.sliding_window_view(np.pad(mask, reach), mask.shape)
    overlap = np.einsum("yxhw,hw->yx", moved, expected)
    union = expected.sum() + np.einsum("yxhw,hw->yx", moved, inside.astype(mask.dtype)) - overlap
    best = np.unravel_index(np.argmax(overlap / np.maximum(union, 1)), overlap.shape)
    aligned = moved[best]
    if not visible.any():
        return _Aligned(aligned, GOOD)
    certain = inside & ~possible
    covered = aligned > 0.5
    either = (visible | covered) & certain
    return _Aligned(aligned, float((visible & covered).sum() / max(either.sum(), 1)))
