"""Matching of predicted to true tracks by their visible masks, for tools that choose ids themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from vidamodal.rle import pack, shared_area
from vidamodal.types import ClipTracks, InputError, Track

MATCH_IOU = 0.5
"""Visible IoU over the whole clip from which two tracks count as the same object."""


def match_by_visible_masks(prediction: ClipTracks, truth: ClipTracks) -> tuple[ClipTracks, dict[int, int]]:
    """Give predicted tracks the ids of the true tracks that their visible masks overlap most.

    The IoU of two tracks is the intersection over the union of their visible masks, each summed over the frames in
    which both are known. Tracks are paired one to one with the greatest sum of IoU, and pairs of at least
    ``MATCH_IOU`` are matched. All other tracks get ids that no true track has and are moved behind the matched ones.
    The order pairs are renamed too.

    Args:
        prediction: Predicted tracks, with visible masks.
        truth: Ground-truth tracks of the same video.

    Returns:
        The renamed prediction, and the new id of each old id.

    Raises:
        InputError: If the two clips differ in size or length.
    """
    size, true_size = ((c.video.frames, c.video.height, c.video.width) for c in (prediction, truth))
    if size != true_size:
        raise InputError(
            f"{prediction.video.path}: {size[0]} frames of {size[1]} x {size[2]} pixels, but the ground truth has "
            f"{true_size[0]} frames of {true_size[1]} x {true_size[2]}. Pass predictions for this video."
        )
    iou = np.array([[_visible_iou(p, t) for t in truth.tracks] for p in prediction.tracks], dtype=float)
    iou = iou.reshape(len(prediction.tracks), len(truth.tracks))
    ids = _new_ids([track.id for track in truth.tracks], iou)
    renamed = dict(zip((track.id for track in prediction.tracks), ids, strict=True))
    tracks = [replace(track, id=renamed[track.id]) for track in prediction.tracks]
    true_ids = {track.id for track in truth.tracks}
    tracks.sort(key=lambda track: (track.id not in true_ids, track.id))
    order = prediction.order
    if order is not None:
        order = tuple(tuple((renamed[front], renamed[back]) for front, back in pairs) for pairs in order)
    return replace(prediction, tracks=tuple(tracks), order=order), renamed


def _new_ids(true_ids: Sequence[int], iou: Float[np.ndarray, "p t"]) -> list[int]:
    """Return the id of each predicted track: that of the matched true track, else the next one above all true ids."""
    pairs = {p: t for p, t in zip(*linear_sum_assignment(-iou), strict=True) if iou[p, t] >= MATCH_IOU}
    spare = iter(range(max(true_ids, default=-1) + 1, max(true_ids, default=-1) + 1 + len(iou)))
    return [true_ids[pairs[p]] if p in pairs else next(spare) for p in range(len(iou))]


def _visible_iou(one: Track, other: Track) -> float:
    shared = total = 0
    for a, b in zip(one.visible, other.visible, strict=True):
        if a is not None and b is not None:
            both = shared_area(pack(a), pack(b))
            shared, total = shared + both, total + a.area() + b.area() - both
    return shared / total if total else 0.0
