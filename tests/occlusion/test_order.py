"""The order of the objects of a frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.metrics.helpers import (
    columns,
)
from tests.worlds.helpers import SIZE, random_depth
from vidamodal.occlusion.order import (
    OrderKeeper,
    order_from_depth,
    order_from_relation,
    order_from_visible,
    without_cycles,
)
from vidamodal.types import Rle


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_order_from_depth_follows_the_majority_of_shared_pixels(seed: int, count: int) -> None:
    depth, _ = random_depth(seed, count)
    ids = [10 + 3 * k for k in range(count)]
    enough = 16 * (SIZE / 256) ** 2
    wanted = {}
    for i in range(count):
        for j in range(i + 1, count):
            both = np.isfinite(depth[i]) & np.isfinite(depth[j])
            if both.sum() >= max(enough, 1):
                wanted[ids[i], ids[j]] = (depth[i] < depth[j])[both].sum() * 2 - both.sum()
    order = order_from_depth(depth, ids)
    assert {tuple(sorted(pair)) for pair in order} == set(wanted) and len(order) == len(wanted)
    for front, back in order:
        lead = wanted[min(front, back), max(front, back)]
        assert lead == 0 or (front < back) == (lead > 0)


def test_ordered_objects_share_at_least_16_pixels_at_height_256() -> None:
    near, far = np.full((2, 256, 256), np.inf)
    far[:] = 2.0
    near[0, :15] = 1.0
    assert order_from_depth(np.stack([far, near]), [5, 7]) == ()
    near[0, 15] = 1.0
    assert order_from_depth(np.stack([far, near]), [5, 7]) == ((7, 5),)


def test_the_order_follows_which_visible_masks_cover_which_amodal_masks() -> None:
    amodal = {1: Rle.encode(columns(0, 16)), 2: Rle.encode(columns(8, 24)), 3: Rle.encode(columns(24, 30))}
    visible = {1: Rle.encode(columns(0, 8)), 2: amodal[2], 3: amodal[3]}
    assert order_from_visible(amodal, visible) == ((2, 1),)
    assert order_from_visible({}, {}) == ()


def test_a_cycle_is_broken_at_the_smallest_occluded_area() -> None:
    hides = np.array([[0, 9, 0, 0], [0, 0, 5, 0], [7, 0, 0, 3], [0, 0, 0, 0]], dtype=float)
    opened = without_cycles(hides)
    assert opened[1, 2] == 0 and (opened != hides).sum() == 1
    assert without_cycles(opened) is not opened and (without_cycles(opened) == opened).all()


@settings(max_examples=50)
@given(arrays(np.float64, (5, 5), elements=st.integers(0, 9).map(float)))
def test_without_cycles_every_object_has_a_layer_behind_its_occluders(hides: np.ndarray) -> None:
    np.fill_diagonal(hides, 0)
    opened = without_cycles(hides)
    assert ((opened == hides) | (opened == 0)).all()
    depth = np.ones(5, dtype=int)
    for _ in range(6):  # Eq. 2, until nothing changes: with a ring it never ends
        before = depth.copy()
        depth = np.array([1 + max((depth[j] for j in range(5) if opened[j, i]), default=0) for i in range(5)])
    assert (depth == before).all()


def test_order_from_a_relation_lists_overlapping_pairs_only() -> None:
    amodal = {1: Rle.encode(columns(0, 16)), 2: Rle.encode(columns(8, 24)), 3: Rle.encode(columns(24, 30))}
    assert order_from_relation(amodal, lambda front, back: front > back) == ((2, 1),)
    assert order_from_relation(amodal, lambda _front, _back: False) == ()


def runs(first: int, stop: int) -> Rle:
    return Rle.encode(columns(first, stop))


def test_a_pair_keeps_its_order_while_neither_object_is_visible_there() -> None:
    keeper, amodal = OrderKeeper(16), {1: runs(0, 16), 2: runs(8, 24)}
    nothing = runs(0, 0)
    assert keeper.from_masks(amodal, {1: amodal[1], 2: nothing}) == ((1, 2),)
    assert keeper.from_masks(amodal, {1: nothing, 2: None}) == ((1, 2),)
    assert keeper.from_masks(amodal, {1: nothing, 2: amodal[2]}) == ((2, 1),)
    assert keeper.from_masks(amodal, {1: None, 2: None}) == ((2, 1),)
    # Without any earlier order, the object with the larger visible mask lies in front.
    assert OrderKeeper(16).from_masks(amodal, {1: runs(0, 2), 2: runs(20, 24)}) == ((2, 1),)


def test_an_undetected_object_keeps_its_last_order_or_lies_behind() -> None:
    keeper, amodal = OrderKeeper(16), {1: runs(0, 16), 2: runs(8, 24)}
    assert keeper.from_ranks(amodal, [2]) == ((2, 1),)
    assert keeper.from_ranks(amodal, [1]) == ((1, 2),)
    assert keeper.from_ranks(amodal, [2, 1]) == ((2, 1),)
    assert keeper.from_ranks(amodal, [1]) == ((2, 1),)
