"""Evidence of the order of objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import disc_scene
from vidamodal.occlusion.evidence import (
    extends_under,
    front_confidence,
    front_confidence_from_order,
    occluder_weights,
)
from vidamodal.worlds.sample import ClipMasks

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_evidence_counts_the_pixels_under_visible_masks(seed: int) -> None:
    clip = disc_scene(seed)
    visible, amodal = (m.repeat(2, axis=2).repeat(2, axis=3) for m in (clip.visible, clip.amodal))
    doubled = ClipMasks(visible, amodal)
    over = extends_under(doubled.visible, doubled.amodal)  # on every other pixel of twice the pixels: exact
    for i in range(3):
        for j in range(3):
            shared = np.count_nonzero(doubled.amodal[i] & doubled.visible[j], axis=(1, 2)) * (i != j)
            assert np.array_equal(over[:, i, j], shared)
    front = front_confidence(over)
    assert np.allclose(front, -front.transpose(0, 2, 1)) and np.abs(front).max() < 1
    # The first disc lies in front of all others, the last one behind them.
    assert (front[:, 0] <= 0).all() and (front[:, -1] >= 0).all()


def test_a_known_order_gives_full_confidence_for_its_pairs() -> None:
    front = front_confidence_from_order([((7, 3),), (), ((3, 9), (9, 7))], [3, 7, 9])
    assert front.shape == (3, 3, 3)
    assert front[0, 0, 1] == 1 and front[0, 1, 0] == -1 and np.count_nonzero(front[0]) == 2
    assert not front[1].any()
    assert front[2, 2, 0] == 1 and front[2, 1, 2] == 1
    assert not front_confidence_from_order([((1, 2),)], [3, 4]).any()  # others' ids are passed over


def test_the_weaker_of_two_mutual_completions_is_scaled_down() -> None:
    evidence = np.zeros((1, 3, 3))
    evidence[0, 0, 1], evidence[0, 1, 0], evidence[0, 2, 1] = 99, 9, 5
    weights = occluder_weights(evidence)[0]
    assert weights[0, 1] == 1 and weights[1, 0] == 0.1 and weights[2, 1] == 1
    assert weights[0, 2] == weights[0, 0] == 1  # no evidence against it
