"""Who lies in front of whom, from the amodal and visible masks of any head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from vidamodal.data.evidence import gather
from vidamodal.types import FrameOrder
from vidamodal.worlds.rasterize import ORDER_PIXELS, ORDER_SCALE

Mask = Bool[np.ndarray, "h w"]


def may_hide(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """How far object j may hide object i in each frame, in [0, 1], from completions made one by one.

    ``evidence[t, i, j]`` is how many pixels i is expected to extend under what is visible of j. Where two objects are
    each completed under the other, at most one completion is right, since what lies behind hides nothing: the weaker
    one is scaled by the ratio of the two. Orders last, so evidence is gathered over neighbouring frames.
    """
    gathered = gather(evidence)
    # One pixel's grace: no ratio is taken of next to nothing.
    return np.minimum(1.0, (gathered + 1) / (gathered.transpose(0, 2, 1) + 1))


def told_fronts(order: Sequence[FrameOrder], ids: Sequence[int]) -> Float[np.ndarray, "t n n"]:
    """`vidamodal.data.evidence.in_front` where it is told: 1 and -1 for the pairs that are listed, 0 for the others."""
    places = {key: place for place, key in enumerate(ids)}
    out = np.zeros((len(order), len(ids), len(ids)), dtype=np.float16)
    for t, pairs in enumerate(order):
        for front, back in pairs:
            if front in places and back in places:
                out[t, places[back], places[front]] = 1
                out[t, places[front], places[back]] = -1
    return out


@dataclass
class OrderKeeper:
    """Orders the objects of one frame after the other; remembers earlier frames for pairs that show nothing now."""

    _last: dict[tuple[int, int], bool] = field(default_factory=dict)

    def order(self, amodal: Mapping[int, Mask], visible: Mapping[int, Mask | None]) -> FrameOrder:
        """Pairs (front, back) whose amodal masks share at least 16 px (at a height of 256).

        In front is the object that is visible at more of the shared pixels. Where neither is (a third one hides both,
        or the masks are not known), the pair's last order holds, or else the object that shows more is in front.
        """
        present = [(k, m, _box(m)) for k, m in amodal.items() if m.any()]
        if not present:
            return ()
        enough = max(1.0, ORDER_PIXELS * (present[0][1].shape[0] / ORDER_SCALE) ** 2)
        pairs = []
        for i, (a, mask_a, box_a) in enumerate(present):
            for b, mask_b, box_b in present[i + 1 :]:
                top, left = max(box_a[0], box_b[0]), max(box_a[1], box_b[1])
                bottom, right = min(box_a[2], box_b[2]), min(box_a[3], box_b[3])
                if top >= bottom or left >= right:
                    continue
                part = np.s_[top:bottom, left:right]
                shared = mask_a[part] & mask_b[part]
                if np.count_nonzero(shared) < enough:
                    continue
                shown_a, shown_b = (
                    0 if (v := visible[k]) is None else np.count_nonzero(shared & v[part]) for k in (a, b)
                )
                if shown_a != shown_b:
                    self._last[a, b] = bool(shown_a > shown_b)
                elif (a, b) not in self._last:
                    total_a, total_b = (0 if (v := visible[k]) is None else np.count_nonzero(v) for k in (a, b))
                    self._last[a, b] = bool(total_a >= total_b)
                pairs.append((a, b) if self._last[a, b] else (b, a))
        return tuple(pairs)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
