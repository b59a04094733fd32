"""Predictions of other tools, whose ids are their own: matched to the truth by what is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from vidamodal.types import ClipTracks, InputError, Rle, Track

THRESHOLD = 0.5
"""Visible IoU over the whole clip from which a pair counts as the same object."""


def match_visible(prediction: ClipTracks, truth: ClipTracks) -> tuple[ClipTracks, dict[int, int]]:
    """A prediction with the ids of the true tracks that its visible masks lie on, and the new id of each old one.

    The IoU of two tracks is the intersection over the union of their visible masks, each summed over the frames in
    which both are known. Tracks are paired one to one so that the sum of IoU is the greatest; pairs of at least
    ``THRESHOLD`` are matched. All others stay, with ids that no true track has, behind those that have one. The order
    speaks of the new ids.

    InputError if the two clips differ in size or length.
    """
    ours, theirs = prediction.video, truth.video
    if (ours.height, ours.width, ours.frames) != (theirs.height, theirs.width, theirs.frames):
        raise InputError(
            f"{ours.path}: {ours.frames} frames of {ours.height} x {ours.width} pixels, its truth has {theirs.frames} "
            f"of {theirs.height} x {theirs.width}; give predictions for this video"
        )
    overlap = np.array([[_visible_iou(p, t) for t in truth.tracks] for p in prediction.tracks], dtype=float)
    overlap = overlap.reshape(len(prediction.tracks), len(truth.tracks))
    ids = _new_ids([track.id for track in truth.tracks], overlap)
    old = [track.id for track in prediction.tracks]
    renamed = dict(zip(old, ids, strict=True))
    tracks = [replace(track, id=renamed[track.id]) for track in prediction.tracks]
    known = {track.id for track in truth.tracks}
    tracks.sort(key=lambda track: (track.id not in known, track.id))
    order = prediction.order
    if order is not None:
        order = tuple(tuple((renamed[front], renamed[back]) for front, back in pairs) for pairs in order)
    return replace(prediction, tracks=tuple(tracks), order=order), renamed


def _new_ids(true_ids: Sequence[int], overlap: Float[np.ndarray, "p t"]) -> list[int]:
    """The id of each predicted track: that of its true one, else the next above all true ones."""
    pairs = {p: t for p, t in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[p, t] >= THRESHOLD}
    spare = iter(range(max(true_ids, default=-1) + 1, max(true_ids, default=-1) + 1 + len(overlap)))
    return [true_ids[pairs[p]] if p in pairs else next(spare) for p in range(len(overlap))]


def _visible_iou(one: Track, other: Track) -> float:
    shared = total = 0
    for a, b in zip(one.visible, other.visible, strict=True):
        if a is not None and b is not None:
            both = _intersection(a, b)
            shared, total = shared + both, total + a.area() + b.area() - both
    return shared / total if total else 0.0


def _intersection(one: Rle, other: Rle) -> int:
    pair = [{"size": [m.height, m.width], "counts": m.counts.encode("ascii")} for m in (one, other)]
    return int(coco.area(coco.merge(pair, intersect=True)))
