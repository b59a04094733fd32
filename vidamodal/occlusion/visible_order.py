"""The order of a frame whose truth gives none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vidamodal.rle import overlaps
from vidamodal.types import FrameOrder, Rle

_LEAST_SHARED, _REFERENCE_HEIGHT = 16, 256


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
