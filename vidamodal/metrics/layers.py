"""Occlusion layers: 1 in front, then one more than the deepest object that hides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from vidamodal.metrics.rle import overlaps
from vidamodal.types import FrameOrder, Rle

_LEAST_SHARED, _REFERENCE_HEIGHT = 16, 256


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


def seen_order(amodal: Mapping[int, Rle], visible: Mapping[int, Rle]) -> FrameOrder:
    """Pairs (front, back) of one frame that gives no order, none of whose masks is empty.

    b is behind a if b's amodal mask covers at least 16 pixels (at a height of 256) where a is visible, and more than
    a's covers of what is visible of b.
    """
    ids = list(amodal)
    hides = np.zeros((len(ids), len(ids)))  # hides[front, back] in pixels
    rows = [k for k, number in enumerate(ids) if number in visible]
    hides[rows] = overlaps([visible[ids[k]] for k in rows], list(amodal.values()))[1]
    enough = max(_LEAST_SHARED * (mask.height / _REFERENCE_HEIGHT) ** 2 for mask in amodal.values()) if ids else 0
    behind = (hides >= enough) & (hides > hides.T)
    return tuple((ids[front], ids[back]) for front, back in np.argwhere(behind))
