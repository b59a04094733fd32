"""The simulated order of a first pass."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import disc_scene
from vidamodal.data.first_pass import simulate_first_order
from vidamodal.occlusion.evidence import extends_under, front_confidence

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_simulated_order_agrees_with_the_ground_truth(seed: int) -> None:
    clip = disc_scene(seed)
    drawn = simulate_first_order(clip, np.random.default_rng(seed))
    assert np.array_equal(drawn, simulate_first_order(clip, np.random.default_rng(seed)))
    over = extends_under(clip.visible, clip.amodal)
    true = front_confidence(over)
    assert np.allclose(drawn, -drawn.transpose(0, 2, 1), atol=1e-6)
    assert not drawn[:, ~(over + over.transpose(0, 2, 1) > 0).any(axis=0)].any()  # of those that never meet: nothing
    clear = np.abs(true) > 0.9
    assert (np.sign(drawn[clear]) == np.sign(true[clear])).mean() > 0.8 if clear.any() else True
