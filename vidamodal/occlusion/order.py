"""Who lies in front of whom, from the amodal and visible masks of any head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from vidamodal.occlusion.evidence import gather
from vidamodal.occlusion.layers import layers_of
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track
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
    """`in_front` where it is told: 1 and -1 for the pairs that are listed, 0 for the others."""
    places = {key: place for place, key in enumerate(ids)}
    out = np.zeros((len(order), len(ids), len(ids)), dtype=np.float16)
    for t, pairs in enumerate(order):
        for front, back in pairs:
            if front in places and back in places:
                out[t, places[back], places[front]] = 1
                out[t, places[front], places[back]] = -1
    return out


def with_order(clip: ClipTracks) -> ClipTracks:
    """Tracks of any origin with the order of every frame, from their amodal and visible masks alone."""
    keeper, order = OrderKeeper(), []
    for t in range(clip.video.frames):
        amodal = {track.id: mask.decode() for track in clip.tracks if (mask := _amodal(track, t)) is not None}
        visible = {track.id: _decoded(track.visible[t]) for track in clip.tracks}
        order.append(keeper.order(amodal, visible))
    return replace(clip, order=tuple(order))


def frame_layers(clip: ClipTracks) -> tuple[dict[int, int], ...]:
    """The layer of every object in every frame that has a mask of it, by id: 1 in front, then one more than the deepest
    that hides it (Cumulative Occlusion, Eq. 2). By the clip's own order, or, where it has none, by `with_order`."""
    order = clip.order if clip.order is not None else with_order(clip).order or ()
    out = []
    for t, pairs in enumerate(order):
        ids = [track.id for track in clip.tracks if (mask := _amodal(track, t)) is not None and mask.area()]
        out.append(dict(zip(ids, layers_of(ids, pairs).tolist(), strict=True)))
    return tuple(out)


def _amodal(track: Track, t: int) -> Rle | None:
    return None if track.amodal is None else track.amodal[t]


def _decoded(mask: Rle | None) -> Mask | None:
    return None if mask is None else mask.decode()


@dataclass(frozen=True)
class Overlap:
    """Two objects of a frame that share enough pixels to have an order."""

    one: int
    other: int
    place: tuple[slice, slice]
    """Where the shared pixels lie ..."""
    shared: Mask
    """... and which they are, there."""


def overlapping(amodal: Mapping[int, Mask]) -> Iterator[Overlap]:
    """Pairs whose amodal masks share at least 16 px (at a height of 256)."""
    present = [(k, m, _box(m)) for k, m in amodal.items() if m.any()]
    for i, (a, mask_a, box_a) in enumerate(present):
        enough = max(1.0, ORDER_PIXELS * (mask_a.shape[0] / ORDER_SCALE) ** 2)
        for b, mask_b, box_b in present[i + 1 :]:
            top, left = max(box_a[0], box_b[0]), max(box_a[1], box_b[1])
            bottom, right = min(box_a[2], box_b[2]), min(box_a[3], box_b[3])
            if top >= bottom or left >= right:
                continue
            part = slice(top, bottom), slice(left, right)
            shared = mask_a[part] & mask_b[part]
            if np.count_nonzero(shared) >= enough:
                yield Overlap(a, b, part, shared)


@dataclass
class OrderKeeper:
    """Orders the objects of one frame after the other; remembers earlier frames for pairs that show nothing now."""

    _last: dict[tuple[int, int], bool] = field(default_factory=dict)

    def order(self, amodal: Mapping[int, Mask], visible: Mapping[int, Mask | None]) -> FrameOrder:
        """Pairs (front, back) whose amodal masks share at least 16 px (at a height of 256).

        In front is the object that is visible at more of the shared pixels. Where neither is (a third one hides both,
        or the masks are not known), the pair's last order holds, or else the object that shows more is in front.
        """
        pairs = []
        for pair in overlapping(amodal):
            a, b = pair.one, pair.other
            shown_a, shown_b = (
                0 if (v := visible[k]) is None else np.count_nonzero(pair.shared & v[pair.place]) for k in (a, b)
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
