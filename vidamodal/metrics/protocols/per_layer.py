"""IoU and AP by occlusion layer, with and without requiring the right layer.

Follows the text of Cumulative Occlusion Learning (2024, Tables 4 and 5), as its code is not published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import IouTable, VideoCounts

ID = "layered"
HIDES = "a layer is right or wrong: one pair the other way round may shift all layers behind it"

LAYERS = 5
"""The last layer includes all deeper ones, as the paper's tables end here."""


@dataclass(frozen=True)
class _VisibleObject:
    """A visible object-frame: its true layer, the IoU of its predicted mask, and whether the layer is right."""

    layer: int
    iou: float
    right: bool


def score(videos: Sequence[VideoCounts]) -> dict[str, Any]:
    """Return IoU and AP over all layers and for each one, with (``_required``) and without requiring the right layer.

    Layers follow Eq. 2, from each file's own order or, without one, from which visible masks cover which amodal masks.
    ``iou`` is a mean over visible object-frames, matched by id; ``iou_required`` counts 0 in a wrong layer. ``ap`` is
    that of the protocol coco; for ``ap_required`` a mask only matches objects of its own layer. ``right`` is the share
    of visible object-frames with a predicted mask in the right layer.
    """
    frames = [_with_capped_layers(table) for video in videos for table in video.frame_ious]
    required = [replace(f, iou=f.iou * (f.predicted_layer[:, None] == f.true_layer)) for f in frames]
    objects = [visible for frame in frames for visible in _visible_objects(frame)]
    scores: dict[str, Any] = {
        **_mean_ious(objects),
        "right": mean(float(each.right) for each in objects),
        "ap": average_precision(frames)["ap"],
        "ap_required": average_precision(required)["ap"],
        "layers": {},
    }
    for layer in range(1, LAYERS + 1):
        in_layer = [each for each in objects if each.layer == layer]
        if not in_layer:
            continue
        anywhere = [frame.requiring_only(frame.true_layer == layer) for frame in frames]
        placed = [
            frame.requiring_only(frame.true_layer == layer).with_predictions(frame.predicted_layer == layer)
            for frame in required
        ]
        scores["layers"][str(layer) if layer < LAYERS else f"{layer}+"] = {
            **_mean_ious(in_layer),
            "ap": average_precision(anywhere)["ap"],
            "ap_required": average_precision(placed)["ap"],
            "object_frames": len(in_layer),
        }
    return scores


def _mean_ious(objects: Sequence[_VisibleObject]) -> dict[str, float | None]:
    return {
        "iou": mean(each.iou for each in objects),
        "iou_required": mean(each.iou * each.right for each in objects),
    }


def _with_capped_layers(frame: IouTable) -> IouTable:
    return replace(
        frame,
        predicted_layer=np.minimum(frame.predicted_layer, LAYERS),
        true_layer=np.minimum(frame.true_layer, LAYERS),
    )


def _visible_objects(frame: IouTable) -> list[_VisibleObject]:
    rows = {track_id: row for row, track_id in enumerate(frame.predicted_ids)}
    objects = []
    for column, track_id in enumerate(frame.true_ids):
        if frame.ignored[column]:
            continue
        layer, row = int(frame.true_layer[column]), rows.get(track_id)
        iou, predicted_layer = (0.0, 0) if row is None else (float(frame.iou[row, column]), frame.predicted_layer[row])
        objects.append(_VisibleObject(layer, iou, bool(predicted_layer == layer)))
    return objects
