"""Simulated results of a first pass."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import disc_scene
from vidamodal.data.crops import boxes_and_areas
from vidamodal.data.first_pass import simulate_first_boxes, simulate_first_order
from vidamodal.occlusion.evidence import extends_under, front_confidence
from vidamodal.windows import WindowConfig, track_windows
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
@given(seeds)
def test_the_simulated_order_is_antisymmetric_and_knows_only_objects_that_meet(seed: int) -> None:
    clip = disc_scene(seed)
    drawn = simulate_first_order(clip, np.random.default_rng(seed))
    assert np.array_equal(drawn, simulate_first_order(clip, np.random.default_rng(seed)))
    over = extends_under(clip.visible, clip.amodal)
    assert np.allclose(drawn, -drawn.transpose(0, 2, 1), atol=1e-6)
    assert not drawn[:, ~(over + over.transpose(0, 2, 1) > 0).any(axis=0)].any()  # of those that never meet: nothing


def test_the_simulated_order_mostly_agrees_with_the_ground_truth() -> None:
    agree = []
    for seed in range(100):  # single scenes may disagree
        clip = disc_scene(seed)
        drawn = simulate_first_order(clip, np.random.default_rng(seed))
        true = front_confidence(extends_under(clip.visible, clip.amodal))
        clear = np.abs(true) > 0.9
        agree += (np.sign(drawn[clear]) == np.sign(true[clear])).tolist()
    assert len(agree) > 100 and 0.9 < np.mean(agree) <= 1


def test_simulated_boxes_are_near_the_ground_truth_and_inside_their_windows() -> None:
    """Errors shrink as more of the object is visible, and no box leaves its window."""
    bank, rng = toy_bank(4), np.random.default_rng(0)
    clear, covered = [], []
    for _ in range(6):
        clip = bank.sample(rng, WorldConfig(size=64, frames=10))
        boxes, areas = boxes_and_areas(clip.visible)
        whole, truth = boxes_and_areas(clip.amodal)
        windows = track_windows(boxes, areas, WindowConfig())
        predicted, shares = simulate_first_boxes(whole, windows, areas, truth, rng)
        seen = areas > 0
        low, high = windows.center - windows.side / 2, windows.center + windows.side / 2
        assert (predicted[seen][:, :2] >= low[seen][:, ::-1] - 1e-9).all()
        assert (predicted[seen][:, 2:] <= high[seen][:, ::-1] + 1e-9).all()
        assert ((shares > 0) == seen).all() and shares.max() <= 1
        size = (whole[..., 2:] - whole[..., :2]).max(axis=2)
        off = np.abs(predicted - whole).max(axis=2) / size
        clear += off[shares > 0.95].tolist()
        covered += off[seen & (shares < 0.3)].tolist()
    assert np.median(clear) < 0.05 < np.median(covered) < 0.5
