"""Smoothing of completed masks over time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.data.crops import FrameCrops
from vidamodal.inference.smoothing import REACH, STRENGTH, smooth_logits

S = 16
WHOLE = np.zeros((S, S), np.float32)
WHOLE[4:12, 5:11] = 1
UPPER = WHOLE.copy()
UPPER[8:] = 0
"""The part of the object that is visible."""
NOTHING = np.zeros((S, S), np.float32)


def crops_of(visible: np.ndarray, background: np.ndarray = NOTHING) -> FrameCrops:
    none = np.zeros((0, S, S), np.float32)
    return FrameCrops(visible, NOTHING, NOTHING, NOTHING + 1, background, NOTHING, none, none)


def logits_of(*masks: np.ndarray, strength: float = 2.0) -> np.ndarray:
    return (strength * (2 * np.stack(masks) - 1)).astype(np.float32)[None]


@pytest.mark.parametrize(("usual", "odd"), [(WHOLE, UPPER), (UPPER, WHOLE)])
def test_a_part_that_is_missing_or_added_in_one_frame_is_corrected(usual: np.ndarray, odd: np.ndarray) -> None:
    logits = logits_of(*[usual] * 9, strength=4.0)
    logits[0, 4] = 2 * odd - 1
    smoothed = smooth_logits(logits, range(9), [crops_of(UPPER)] * 9)
    assert ((smoothed[0, 4] > 0) == usual).all()


def test_masks_that_do_not_explain_what_is_visible_correct_little() -> None:
    logits = logits_of(*[WHOLE] * 9, strength=1.0)
    turned = [crops_of(UPPER)] * 4 + [crops_of(np.rot90(WHOLE).copy())] + [crops_of(UPPER)] * 4
    fits = np.abs(smooth_logits(logits, range(9), [crops_of(UPPER)] * 9) - logits)[0, 4]
    does_not = np.abs(smooth_logits(logits, range(9), turned) - logits)[0, 4]
    assert does_not.max() < 0.2 * fits.max()


def test_frames_in_which_nothing_is_visible_are_corrected_and_correct_none() -> None:
    hidden = crops_of(NOTHING)
    logits = logits_of(WHOLE, UPPER, strength=1.0)
    smoothed = smooth_logits(logits, [0, 1], [crops_of(UPPER), hidden])
    assert np.array_equal(smoothed[0, 0], logits[0, 0])
    assert ((smoothed[0, 1] > logits[0, 1]) == (WHOLE > 0)).all()
    assert np.array_equal(smooth_logits(logits, [0, 1], [hidden, hidden]), logits)


def test_distant_frames_and_single_ones_stay_the_same() -> None:
    logits = logits_of(WHOLE, UPPER)
    assert np.array_equal(smooth_logits(logits, [0, REACH + 1], [crops_of(UPPER)] * 2), logits)
    assert np.array_equal(smooth_logits(logits[:, :1], [3], [crops_of(UPPER)]), logits[:, :1])


def test_cells_that_cannot_be_occluded_are_no_part_of_a_mask() -> None:
    logits = logits_of(WHOLE, WHOLE)
    background = 1 - UPPER
    smoothed = smooth_logits(logits, [0, 1], [crops_of(UPPER, background), crops_of(UPPER)])
    lower = (WHOLE > 0) & (UPPER == 0)
    assert (smoothed[0, 1][lower] < logits[0, 1][lower]).all()
    assert (smoothed[0, 0][lower] > logits[0, 0][lower]).all()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 3))
def test_corrections_are_bounded_symmetric_in_time_and_one_for_each_hypothesis(seed: int, frames: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (k, frames, S, S)).astype(np.float32)
    crops = [crops_of((rng.random((S, S)) < rng.choice([0, 0.3])).astype(np.float32)) for _ in range(frames)]
    numbers = list(range(5, 5 + frames))
    smoothed = smooth_logits(logits, numbers, crops)
    assert np.abs(smoothed - logits).max() <= STRENGTH + 1e-5
    backwards = smooth_logits(logits[:, ::-1], numbers, crops[::-1])[:, ::-1]
    assert backwards == pytest.approx(smoothed, abs=1e-4)
    assert smooth_logits(logits[-1:], numbers, crops)[0] == pytest.approx(smoothed[-1], abs=1e-5)
