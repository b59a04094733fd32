"""Noise, transition and ensemble of CondDiff-AMO."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.heads.conddiff.helpers import random_inputs
from vidamodal.heads.conddiff import diffusion
from vidamodal.heads.conddiff.diffusion import SamplingNoise, ensemble
from vidamodal.noise import Noise


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), grain=st.sampled_from([0.0, 1.0, 3.0]))
def test_cells_leave_the_amodal_state_once_with_the_probability_of_eq_5(seed: int, grain: float) -> None:
    inputs = replace(random_inputs(tracks=8), noise=Noise.of(seed))
    drawn = SamplingNoise.sample(inputs, 10, True, grain).transition
    amodal = [drawn < 1 - t for t in np.linspace(0, 1, 11)]
    assert amodal[0].all() and not amodal[-1].any()
    for before, after in itertools.pairwise(amodal):
        assert not (after & ~before).any()  # Eq. 4: no way back
    if grain < 3:  # with coarse grains a few windows hold too few of them to tell
        for t in (3, 5, 8):
            assert amodal[t].float().mean() == pytest.approx(1 - t / 10, abs=0.02 + 0.06 * grain)


@pytest.mark.parametrize("grain", [0.0, 1.0, 2.5])
def test_smoothed_noise_has_deviation_1_and_correlated_neighbours(grain: float) -> None:
    noise = diffusion.smooth_noise(torch.randn(64, 1, 1, 32, 32, generator=torch.Generator().manual_seed(0)), grain)
    assert float(noise.std()) == pytest.approx(1, abs=0.1)
    together = float((noise * noise.roll(1, -1)).mean())
    assert together == pytest.approx(np.exp(-1 / (4 * grain**2)) if grain else 0, abs=0.1)


@settings(max_examples=50)
@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.just(5)), elements=st.floats(0, 1, width=32)))
def test_the_ensemble_follows_eq_12(predictions: np.ndarray) -> None:
    votes = (predictions > 0.5).sum(axis=0)
    expected = np.where(2 * votes >= len(predictions), predictions.mean(axis=0), 0)
    np.testing.assert_allclose(ensemble(torch.from_numpy(predictions)).numpy(), expected, atol=1e-6)
