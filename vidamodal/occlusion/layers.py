"""Occlusion layers: 1 in front, then one more than the deepest object that hides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components

from vidamodal.types import FrameOrder
from vidamodal.worlds.rasterize import ORDER_PIXELS, ORDER_SCALE


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


def layers_of(ids: Sequence[int], order: FrameOrder) -> Int[np.ndarray, " n"]:
    """The layer of each object, by eq. 2 of Cumulative Occlusion (2024): 1, or 1 + the deepest layer in front of it.

    The recursion has no end for objects that hide each other in a ring: they, and what lies behind them, share the
    layer after the deepest one that is known.
    """
    fronts: dict[int, set[int]] = {number: set() for number in ids}
    for front, back in order:
        if front in fronts and back in fronts:
            fronts[back].add(front)
    layers: dict[int, int] = {}
    depth = 0
    while len(layers) < len(fronts):
        depth += 1
        waiting = [number for number in ids if number not in layers]
        free = [number for number in waiting if fronts[number] <= layers.keys()] or waiting
        layers.update(dict.fromkeys(free, depth))
    return np.array([layers[number] for number in ids], dtype=np.int64)


def occlusions(visible: Bool[np.ndarray, "n h w"], amodal: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n n"]:
    """How many pixels of object j object i is seen to hide (Z(j, i) of Eq. 1), where it hides enough to count (16 at a
    height of 256) and more than j hides of it; else 0."""
    shown, whole = (rearrange(masks, "n h w -> n (h w)").astype(np.float32) for masks in (visible, amodal))
    hides = shown @ whole.T
    np.fill_diagonal(hides, 0)
    enough = max(1.0, ORDER_PIXELS * (visible.shape[1] / ORDER_SCALE) ** 2)
    return np.where((hides >= enough) & (hides > hides.T), hides, 0)


def without_rings(hides: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Occlusions that Eq. 2 can order: of objects that hide each other in a ring, the one that hides the fewest pixels
    of the next hides nothing of it, until no ring is left."""
    hides = hides.copy()
    while True:
        _, ring = connected_components(hides > 0, directed=True, connection="strong")
        within = (hides > 0) & (ring[:, None] == ring)
        if not within.any():
            return hides
        hides[np.unravel_index(np.where(within, hides, np.inf).argmin(), hides.shape)] = 0


def frame_layers(
    visible: Bool[np.ndarray, "n h w"], amodal: Bool[np.ndarray, "n h w"]
) -> tuple[Int[np.ndarray, " n"], bool]:
    """The layer of each object by Eqs. 1 and 2, and whether a ring was opened for it."""
    hides = occlusions(visible, amodal)
    ordered = without_rings(hides)
    pairs: FrameOrder = tuple((int(front), int(back)) for front, back in np.argwhere(ordered))
    return layers_of(range(len(visible)), pairs), bool((ordered != hides).any())
