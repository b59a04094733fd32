"""Layers that were found in frames against the true ones, as in the tables of Cumulative Occlusion (2024)."""

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

DEEPEST = 5
"""The paper's tables end here."""


def layered(found: Sequence[FrameInstance], size: int, layers: Bool[np.ndarray, "m s s"] | None = None) -> LayeredFrame:
    """What a segmenter found on a canvas of so many cells a side; by default its layers are made of its objects."""
    objects, visible = (
        np.array([getattr(each, key) for each in found], dtype=bool).reshape(-1, size, size)
        for key in ("amodal", "visible")
    )
    layer, score = np.array([each.layer for each in found], dtype=int), np.array([each.score for each in found])
    if layers is None:
        numbers = range(1, int(layer.max(initial=0)) + 1)
        layers = np.array([objects[layer == k].any(axis=0) for k in numbers], dtype=bool).reshape(-1, size, size)
    return LayeredFrame(layers, objects, visible, layer, score)


def layer_scores(found: Sequence[LayeredFrame], truth: Sequence[LayeredFrame]) -> dict[str, float | None]:
    """``iou_k`` and ``ap_k`` of layer k up to the fifth: means over the frames that truly have such a layer.

    ``amodal_ap``, ``_ap50``, ``_ap75`` and ``_ar`` by COCO's rule over objects in one class, likewise ``visible_``;
    ``in_layer_ap``: where each whole object must be in its true layer (the paper's Table 5 in COCO's terms, as it
    defines none). ``depth``: share of frames with as many layers as in truth. None for means over nothing.
    """
    pairs = list(zip(found, truth, strict=True))
    scores: dict[str, float | None] = {}
    for k in range(DEEPEST):
        masks = [
            (f.layers[k] if k < len(f.layers) else np.zeros_like(t.layers[k]), t.layers[k])
            for f, t in pairs
            if k < len(t.layers)
        ]
        scores[f"iou_{k + 1}"] = mean(_iou(ours, true) for ours, true in masks)
        scores[f"ap_{k + 1}"] = mean(pixel_precision(ours, true) for ours, true in masks)
    whole, seen = ([_matches(f, t, kind) for f, t in pairs] for kind in ("objects", "visible"))
    placed = [replace(m, iou=m.iou * (m.predicted_layer[:, None] == m.true_layer)) for m in whole]
    scores["in_layer_ap"] = average_precision(placed)["ap"]
    for kind, matches in (("amodal", whole), ("visible", seen)):
        scores |= {f"{kind}_{name}": value for name, value in average_precision(matches).items()}
    scores["depth"] = mean(float(len(f.layers) == len(t.layers)) for f, t in pairs)
    return scores


def pixel_precision(found: Bool[np.ndarray, "s s"], truth: Bool[np.ndarray, "s s"]) -> float:
    """Average precision over pixels of a mask that says yes or no: precision x recall, and for the rest of the recall
    the share of the image that the truth takes, which is what answering yes everywhere has.

    The paper does not say what its AP is. Its figures agree with this: they exceed IoU by next to nothing where masks
    are good, and stay at some per cent where IoU is 0.
    """
    both, share = int(np.count_nonzero(found & truth)), float(truth.mean())
    recall = both / max(int(np.count_nonzero(truth)), 1)
    return both / max(int(np.count_nonzero(found)), 1) * recall + (1 - recall) * share


def _iou(one: Bool[np.ndarray, "s s"], other: Bool[np.ndarray, "s s"]) -> float:
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def _matches(found: LayeredFrame, truth: LayeredFrame, kind: str) -> IouTable:
    overlap = np.array([[_iou(ours, true) for true in getattr(truth, kind)] for ours in getattr(found, kind)])
    return IouTable(
        tuple(range(len(found.objects))),
        tuple(range(len(truth.objects))),
        overlap.reshape(len(found.objects), len(truth.objects)),
        found.score,
        np.zeros(len(truth.objects), dtype=bool),
        found.layer,
        truth.layer,
    )
