"""Scores by occlusion layer, with the layer required and not (Cumulative Occlusion Learning 2024, tables 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vidamodal.metrics.counts import VideoCounts, mean
from vidamodal.metrics.detection import Matches, average_precision

HIDES = "a layer is right or wrong: one pair the other way round may shift all layers behind it"

LAYERS = 5
"""The last one takes in all that lie deeper, as the paper's tables end here."""


def score(videos: Sequence[VideoCounts]) -> dict[str, Any]:
    """IoU and AP for each layer and over all, each with the layer required and not; ``right`` is the share of visible
    object-frames whose predicted mask is in the right layer.

    Layers follow eq. 2 from each file's own order; a file without one is ordered by what is seen to cover what. IoU is
    a mean over visible object-frames, matched by id: required, it is 0 in a wrong layer. AP is `coco`'s: required, a
    mask finds only objects of its own layer. The paper's code is not published: this is its text.
    """
    frames = [_capped(frame) for video in videos for frame in video.frames]
    required = [replace(f, iou=f.iou * (f.predicted_layer[:, None] == f.true_layer)) for f in frames]
    objects = [found for frame in frames for found in _own(frame)]
    scores: dict[str, Any] = {
        "iou": mean(iou for _, iou, _ in objects),
        "iou_required": mean(iou * right for _, iou, right in objects),
        "right": mean(float(right) for _, _, right in objects),
        "ap": average_precision(frames)["ap"],
        "ap_required": average_precision(required)["ap"],
        "layers": {},
    }
    for layer in range(1, LAYERS + 1):
        own = [(iou, right) for at, iou, right in objects if at == layer]
        if not own:
            continue
        asked = [frame.asking_for(frame.true_layer == layer) for frame in frames]
        placed = [
            frame.asking_for(frame.true_layer == layer).keeping(frame.predicted_layer == layer) for frame in required
        ]
        scores["layers"][str(layer) if layer < LAYERS else f"{layer}+"] = {
            "iou": mean(iou for iou, _ in own),
            "iou_required": mean(iou * right for iou, right in own),
            "ap": average_precision(asked)["ap"],
            "ap_required": average_precision(placed)["ap"],
            "object_frames": len(own),
        }
    return scores


def _capped(frame: Matches) -> Matches:
    return replace(
        frame,
        predicted_layer=np.minimum(frame.predicted_layer, LAYERS),
        true_layer=np.minimum(frame.true_layer, LAYERS),
    )


def _own(frame: Matches) -> list[tuple[int, float, bool]]:
    """Of each visible object: its layer, the IoU of the mask predicted for it, and whether that is in the layer."""
    rows = {number: d for d, number in enumerate(frame.predicted_ids)}
    own = []
    for g, number in enumerate(frame.true_ids):
        if frame.ignored[g]:
            continue
        layer, d = int(frame.true_layer[g]), rows.get(number)
        iou, guess = (0.0, 0) if d is None else (float(frame.iou[d, g]), frame.predicted_layer[d])
        own.append((layer, iou, bool(guess == layer)))
    return own
