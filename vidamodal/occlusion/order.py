"""Pairwise order of the objects of a frame: from depth, from masks, from run lengths, and over time.

Two objects have an order only where their amodal masks share enough pixels: see `thresholds.least_shared_area`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components

from vidamodal.occlusion.thresholds import least_shared_area
from vidamodal.rle import overlaps, pack, shared_area
from vidamodal.types import ClipTracks, FrameOrder, Rle


def order_from_depth(depth: Float[np.ndarray, "n h w"], ids: Sequence[int]) -> FrameOrder:
    """Return pairs (front, back), decided by the majority of the pixels that two objects share.

    Args:
        depth: Depth of each object alone at each pixel; inf outside the object.
        ids: Ids of the n objects.
    """
    pixels = rearrange(depth, "n h w -> n (h w)")  # numpy cannot infer the number of pixels of zero objects
    inside = np.isfinite(pixels)
    shared = inside.astype(np.float32) @ inside.T.astype(np.float32)
    pairs = []
    for i, j in zip(*np.nonzero(np.triu(shared >= least_shared_area(depth.shape[1]), k=1)), strict=True):
        both = inside[i] & inside[j]
        nearer = np.count_nonzero(pixels[i, both] < pixels[j, both])
        front, back = (i, j) if 2 * nearer >= np.count_nonzero(both) else (j, i)
        pairs.append((ids[front], ids[back]))
    return tuple(pairs)


def order_from_visible(amodal: Mapping[int, Rle], visible: Mapping[int, Rle]) -> FrameOrder:
    """Return pairs (front, back) of one frame, from run lengths of masks that are not empty.

    Object b lies behind a if its amodal mask shares enough pixels with the visible mask of a, and more than the
    amodal mask of a shares with the visible mask of b.

    Args:
        amodal: Amodal masks by id.
        visible: Visible masks by id; objects without one occlude nothing.
    """
    ids = list(amodal)
    areas = np.zeros((len(ids), len(ids)))
    rows = [k for k, number in enumerate(ids) if number in visible]
    areas[rows] = overlaps([visible[ids[k]] for k in rows], list(amodal.values()))[1]
    height = max((mask.height for mask in amodal.values()), default=0)
    return tuple((ids[front], ids[back]) for front, back in np.argwhere(_decisive(areas, height)))


def order_from_relation(amodal: Mapping[int, Rle], is_in_front: Callable[[int, int], bool]) -> FrameOrder:
    """Return the pairs (front, back) for which ``is_in_front(front, back)`` holds and whose amodal masks overlap."""
    return tuple(
        (front, back)
        for front, back in permutations(amodal, 2)
        if is_in_front(front, back) and _share_enough(amodal[front], amodal[back])
    )


def occluded_areas(visible: Bool[np.ndarray, "n h w"], amodal: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n n"]:
    """Return how many pixels of object j (last axis) object i occludes: Z(j, i) of Cumulative Occlusion, Eq. 1.

    An entry is 0 where the pixels are too few to count, or where j occludes as many pixels of i.
    """
    shown, whole = (rearrange(masks, "n h w -> n (h w)").astype(np.float32) for masks in (visible, amodal))
    areas = shown @ whole.T
    np.fill_diagonal(areas, 0)
    return np.where(_decisive(areas, visible.shape[1]), areas, 0)


def without_cycles(areas: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Remove the smallest occluded area of every cycle until the objects can be ordered.

    Args:
        areas: Pixels of object j (last axis) that object i occludes, as `occluded_areas` returns them.
    """
    areas = areas.copy()
    while True:
        _, component = connected_components(areas > 0, directed=True, connection="strong")
        within = (areas > 0) & (component[:, None] == component)
        if not within.any():
            return areas
        areas[np.unravel_index(np.where(within, areas, np.inf).argmin(), areas.shape)] = 0


def overlapping_pairs(amodal: Mapping[int, Rle], height: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of objects whose amodal masks share enough pixels to be ordered.

    Args:
        amodal: Amodal masks by id.
        height: Height of the image in pixels.
    """
    known = {key: mask for key, mask in amodal.items() if mask.area()}
    ids, masks = list(known), list(known.values())
    shared = overlaps(masks, masks)[1]
    for a, b in np.argwhere(np.triu(shared >= least_shared_area(height), k=1)):
        yield ids[a], ids[b]


@dataclass
class OrderKeeper:
    """Orders the objects of successive frames and remembers the order of pairs that a frame does not decide."""

    height: int
    """Height of the image in pixels."""
    _a_in_front: dict[tuple[int, int], bool] = field(default_factory=dict)

    def from_masks(self, amodal: Mapping[int, Rle], visible: Mapping[int, Rle | None]) -> FrameOrder:
        """Return the pairs (front, back) of the next frame, from its masks.

        The object that is visible at more of the shared pixels lies in front. If neither is (a third object occludes
        both, or the visible masks are unknown), the last known order holds, or else the object with the larger visible
        mask lies in front.

        Args:
            amodal: Amodal masks by id.
            visible: Visible masks of the same ids; None if unknown.
        """
        pairs = []
        for a, b in overlapping_pairs(amodal, self.height):
            both = pack(amodal[a]), pack(amodal[b])
            shown_a, shown_b = (0 if (v := visible[k]) is None else shared_area(pack(v), *both) for k in (a, b))
            if shown_a != shown_b:
                self._a_in_front[a, b] = shown_a > shown_b
            elif (a, b) not in self._a_in_front:
                total_a, total_b = (0 if (v := visible[k]) is None else v.area() for k in (a, b))
                self._a_in_front[a, b] = total_a >= total_b
            pairs.append((a, b) if self._a_in_front[a, b] else (b, a))
        return tuple(pairs)

    def forget(self, key: int) -> None:
        """Forget the order of an object, whose id another one may have from now on."""
        self._a_in_front = {pair: front for pair, front in self._a_in_front.items() if key not in pair}

    def from_ranks(self, amodal: Mapping[int, Rle], front_to_back: Sequence[int]) -> FrameOrder:
        """Return the pairs (front, back) of the next frame, from a list of the ids that were detected in it.

        If one of two objects was not detected, the last known order holds, or else that object lies behind.

        Args:
            amodal: Amodal masks by id.
            front_to_back: Ids of the detected objects, the front one first.
        """
        rank = {key: place for place, key in enumerate(front_to_back)}
        pairs = []
        for a, b in overlapping_pairs(amodal, self.height):
            a_first = rank.get(a, len(rank)) <= rank.get(b, len(rank))
            if a in rank and b in rank:
                self._a_in_front[a, b] = a_first
            pairs.append((a, b) if self._a_in_front.get((a, b), a_first) else (b, a))
        return tuple(pairs)


def with_order(clip: ClipTracks) -> ClipTracks:
    """Return a clip with the order of every frame, from its amodal and visible masks alone."""
    keeper, order = OrderKeeper(clip.video.height), []
    for t in range(clip.video.frames):
        amodal = {
            track.id: mask
            for track in clip.tracks
            if track.amodal is not None and (mask := track.amodal[t]) is not None
        }
        order.append(keeper.from_masks(amodal, {track.id: track.visible[t] for track in clip.tracks}))
    return replace(clip, order=tuple(order))


def _decisive(areas: Float[np.ndarray, "n n"], height: int) -> Bool[np.ndarray, "n n"]:
    """Return which occluded areas are large enough and exceed those of the reverse pair."""
    return (areas >= least_shared_area(height)) & (areas > areas.T)


def _share_enough(one: Rle, other: Rle) -> bool:
    return shared_area(pack(one), pack(other)) >= least_shared_area(one.height)
