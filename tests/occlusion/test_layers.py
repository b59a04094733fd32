"""Occlusion layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.data.helpers import SQUARES, stacked_clip
from tests.helpers import ToyClip
from vidamodal.occlusion.layers import layers_from_masks, layers_from_order, layers_of_clip
from vidamodal.occlusion.order import with_order


def test_a_layer_follows_the_deepest_one_in_front_and_a_cycle_shares_the_next_layer() -> None:
    assert layers_from_order([1, 2, 3, 4], ((1, 2), (2, 3), (1, 3))).tolist() == [1, 2, 3, 1]
    assert layers_from_order([1, 2, 3, 4, 5], ((1, 2), (2, 3), (3, 2), (3, 4))).tolist() == [1, 2, 2, 2, 1]
    assert layers_from_order([5, 6], ((9, 5), (5, 6))).tolist() == [1, 2]  # 9 is not in this frame


def test_layers_from_masks_follow_eq_2() -> None:
    bank = stacked_clip(SQUARES)
    layers, ring = layers_from_masks(bank.masks.visible[:, 0], bank.masks.amodal[:, 0])
    assert layers.tolist() == [1, 2, 3, 1] and not ring


def test_order_and_layers_from_masks_agree_with_the_ground_truth(clip: ToyClip) -> None:
    truth = clip.tracks
    assert truth.order is not None
    found = with_order(replace(truth, order=None))
    assert found.order is not None
    true_pairs = {(t, pair) for t, pairs in enumerate(truth.order) for pair in pairs}
    pairs = {(t, pair) for t, pairs in enumerate(found.order) for pair in pairs}
    assert len(true_pairs) > 20 and len(pairs & true_pairs) / len(pairs | true_pairs) > 0.9
    true_layers, layers = layers_of_clip(truth), layers_of_clip(replace(truth, order=None))
    right = [one[key] == other[key] for one, other in zip(layers, true_layers, strict=True) for key in other]
    assert np.mean(right) > 0.9 and max(max(frame.values()) for frame in true_layers) > 1
