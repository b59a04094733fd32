"""Occlusion layers: 1 for objects that nothing occludes, else one more than the layer of the deepest occluder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.occlusion.order import occluded_areas, with_order, without_cycles
from vidamodal.types import ClipTracks, FrameOrder


@dataclass(frozen=True)
class LayeredFrame:
    """Ground truth or prediction of one frame on a canvas of s x s cells: n objects in m occlusion layers."""

    layers: Bool[np.ndarray, "m s s"]
    """Union of the amodal masks in each layer, the front layer first."""
    objects: Bool[np.ndarray, "n s s"]
    """Amodal masks of the objects."""
    visible: Bool[np.ndarray, "n s s"]
    """Visible masks of the objects."""
    layer: Int[np.ndarray, " n"]
    """Layer number of each object; 1 is the front layer."""
    score: Float[np.ndarray, " n"]
    """Confidence that each object exists, in [0, 1]."""


def layers_from_order(ids: Sequence[int], order: FrameOrder) -> Int[np.ndarray, " n"]:
    """Return the layer of each object from the order of a frame (Cumulative Occlusion, 2024, Eq. 2).

    Objects that occlude each other in a cycle, and those behind them, share the layer after the deepest known one.

    Args:
        ids: Ids of the n objects.
        order: Pairs (front id, back id). Pairs with other ids are ignored.
    """
    occluders: dict[int, set[int]] = {number: set() for number in ids}
    for front, back in order:
        if front in occluders and back in occluders:
            occluders[back].add(front)
    layers: dict[int, int] = {}
    depth = 0
    while len(layers) < len(occluders):
        depth += 1
        waiting = [number for number in ids if number not in layers]
        free = [number for number in waiting if occluders[number] <= layers.keys()] or waiting
        layers.update(dict.fromkeys(free, depth))
    return np.array([layers[number] for number in ids], dtype=np.int64)


def layers_from_masks(
    visible: Bool[np.ndarray, "n h w"], amodal: Bool[np.ndarray, "n h w"]
) -> tuple[Int[np.ndarray, " n"], bool]:
    """Return the layer of each object from its masks (Cumulative Occlusion, 2024, Eqs. 1 and 2).

    Returns:
        The layers, and whether a cycle of occlusions had to be broken for them.
    """
    areas = occluded_areas(visible, amodal)
    acyclic = without_cycles(areas)
    order: FrameOrder = tuple((int(front), int(back)) for front, back in np.argwhere(acyclic))
    return layers_from_order(range(len(visible)), order), bool((acyclic != areas).any())


def layers_of_clip(clip: ClipTracks) -> tuple[dict[int, int], ...]:
    """Return the layers of the objects of each frame by id; objects without an amodal mask in a frame are left out.

    Layers follow the order of the clip, or that of `order.with_order` if the clip has none.
    """
    order = clip.order if clip.order is not None else with_order(clip).order or ()
    out = []
    for t, pairs in enumerate(order):
        ids = [
            track.id
            for track in clip.tracks
            if track.amodal is not None and (mask := track.amodal[t]) is not None and mask.area()
        ]
        out.append(dict(zip(ids, layers_from_order(ids, pairs).tolist(), strict=True)))
    return tuple(out)
