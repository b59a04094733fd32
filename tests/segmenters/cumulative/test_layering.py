"""Layers from samples (Algorithm 2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.segmenters.cumulative.helpers import (
    SMALL,
    square,
)
from vidamodal.segmenters.cumulative.layering import LayerStack, representative


def as_samples(*masks: np.ndarray) -> np.ndarray:
    return np.stack([2.0 * mask - 1 for mask in masks])


def test_a_mask_that_does_not_touch_the_previous_layer_belongs_to_it() -> None:
    layers = LayerStack.empty(SMALL)
    apart, behind = square(10, 1, side=4), square(4, 4)
    for mask in (square(1, 1), apart, behind):  # the third touches the first alone
        layers.add(as_samples(mask))
    assert [layer.number for layer in layers.layers] == [1, 1, 2]
    assert [each.layer for each in layers.instances()] == [1, 1, 2]
    np.testing.assert_array_equal(layers.cumulative, square(1, 1) | apart | behind)


def test_parts_of_a_layer_are_instances_unless_small_or_fully_occluded() -> None:
    layers = LayerStack.empty(replace(SMALL, least_area=3))
    layers.add(as_samples(square(0, 0) | square(0, 10) | square(14, 14, side=1)))
    layers.add(as_samples(square(1, 1, side=3) | square(4, 10)))
    found = layers.instances()
    assert [each.layer for each in found] == [1, 1, 2]
    assert [int(each.amodal.sum()) for each in found] == [36, 36, 36]
    assert int(found[2].visible.sum()) == 36 - 12


def test_the_score_is_the_agreement_of_the_samples() -> None:
    layers = LayerStack.empty(replace(SMALL, samples=2))
    layers.add(as_samples(square(0, 0, side=4), square(0, 0, side=4) | square(0, 4, side=4)))
    (found,) = layers.instances()
    assert found.score == pytest.approx(16 / (16 + 0.5 * 16))


@settings(max_examples=100)
@given(arrays(bool, st.tuples(st.integers(1, 5), st.just(3), st.just(3))))
def test_the_representative_sample_is_nearest_to_the_mean(samples: np.ndarray) -> None:
    there = [sample for sample in samples if sample.any()]
    if not there:
        assert representative(samples) is None and representative(samples, "mean") is None
        return
    mean = sum(sample.astype(float) for sample in there) / len(there)
    far = [float(np.abs(sample - mean).sum()) for sample in there]
    best, chosen = min(far), representative(samples)
    assert chosen is not None and any((chosen == s).all() and d <= best + 1e-9 for s, d in zip(there, far, strict=True))
    np.testing.assert_array_equal(representative(samples, "mean"), mean >= 0.5)
