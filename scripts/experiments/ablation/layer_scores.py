"""Scores of predicted layers against the true ones, as in the tables of Cumulative Occlusion (2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counts import IouTable
from vidamodal.occlusion.layers import LayeredFrame
from vidamodal.types import FrameInstance

MAX_LAYERS = 5
"""Number of layers in the tables of the paper."""


def layered_frame(
    instances: Sequence[FrameInstance], size: int, layers: Bool[np.ndarray, "m s s"] | None = None
) -> LayeredFrame:
    """Return the layers of a segmented frame.

    Args:
        instances: Objects of the frame.
        size: Height and width of the canvas in cells.
        layers: Masks of the layers; by default the unions of the objects of each layer.
    """
    objects, visible = (
        np.array([getattr(each, key) for each in instances], dtype=bool).reshape(-1, size, size)
        for key in ("amodal", "visible")
    )
    layer = np.array([each.layer for each in instances], dtype=int)
    score = np.array([each.score for each in instances])
    if layers is None:
        numbers = range(1, int(layer.max(initial=0)) + 1)
        layers = np.array([objects[layer == k].any(axis=0) for k in numbers], dtype=bool).reshape(-1, size, size)
    return LayeredFrame(layers, objects, visible, layer, score)


def layer_scores(predicted: Sequence[LayeredFrame], truth: Sequence[LayeredFrame]) -> dict[str, float | None]:
    """Score the layers and objects of frames.

    Returns:
        Fractions, None for a mean over nothing. ``iou_k`` and ``ap_k``: IoU and pixel precision of layer k, over the
        frames with such a layer in the ground truth. ``amodal_ap``, ``amodal_ap50``, ``amodal_ap75``, ``amodal_ar``:
        COCO's measures of objects in one class; likewise ``visible_...``. ``in_layer_ap``: the same if an object must
        be in its true layer (Table 5 of the paper, in COCO's terms). ``depth``: share of frames with the true number
        of layers.
    """
    pairs = list(zip(predicted, truth, strict=True))
    scores: dict[str, float | None] = {}
    for k in range(MAX_LAYERS):
        masks = [
            (p.layers[k] if k < len(p.layers) else np.zeros_like(t.layers[k]), t.layers[k])
            for p, t in pairs
            if k < len(t.layers)
        ]
        scores[f"iou_{k + 1}"] = mean(_iou(ours, true) for ours, true in masks)
        scores[f"ap_{k + 1}"] = mean(pixel_precision(ours, true) for ours, true in masks)
    amodal, visible = ([_object_ious(p, t, kind) for p, t in pairs] for kind in ("objects", "visible"))
    in_layer = [replace(m, iou=m.iou * (m.predicted_layer[:, None] == m.true_layer)) for m in amodal]
    scores["in_layer_ap"] = average_precision(in_layer)["ap"]
    for kind, tables in (("amodal", amodal), ("visible", visible)):
        scores |= {f"{kind}_{name}": value for name, value in average_precision(tables).items()}
    scores["depth"] = mean(float(len(p.layers) == len(t.layers)) for p, t in pairs)
    return scores


def pixel_precision(predicted: Bool[np.ndarray, "s s"], truth: Bool[np.ndarray, "s s"]) -> float:
    """Return the average precision over the pixels of a binary mask.

    This is precision x recall, plus, for the remaining recall, the share of the image that the ground truth covers (the
    precision of predicting every pixel). The paper does not define its AP; its figures agree with this one.
    """
    both, share = int(np.count_nonzero(predicted & truth)), float(truth.mean())
    recall = both / max(int(np.count_nonzero(truth)), 1)
    return both / max(int(np.count_nonzero(predicted)), 1) * recall + (1 - recall) * share


def _iou(one: Bool[np.ndarray, "s s"], other: Bool[np.ndarray, "s s"]) -> float:
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def _object_ious(predicted: LayeredFrame, truth: LayeredFrame, kind: str) -> IouTable:
    ious = np.array([[_iou(ours, true) for true in getattr(truth, kind)] for ours in getattr(predicted, kind)])
    return IouTable(
        tuple(range(len(predicted.objects))),
        tuple(range(len(truth.objects))),
        ious.reshape(len(predicted.objects), len(truth.objects)),
        predicted.score,
        np.zeros(len(truth.objects), dtype=bool),
        predicted.layer,
        truth.layer,
    )
