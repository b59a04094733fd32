"""Occlusion layers."""

from __future__ import annotations

from vidamodal.occlusion.layers import layers_from_order


def test_a_layer_follows_the_deepest_one_in_front_and_a_cycle_shares_the_next_layer() -> None:
    assert layers_from_order([1, 2, 3, 4], ((1, 2), (2, 3), (1, 3))).tolist() == [1, 2, 3, 1]
    assert layers_from_order([1, 2, 3, 4, 5], ((1, 2), (2, 3), (3, 2), (3, 4))).tolist() == [1, 2, 2, 2, 1]
    assert layers_from_order([5, 6], ((9, 5), (5, 6))).tolist() == [1, 2]  # 9 is not in this frame
