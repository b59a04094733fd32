"""Propagation of anchors to the frames around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from vidamodal.data.crops import FrameCrops
from vidamodal.inference.propagation import FADE, NEAR, REACH, STRENGTH, Cells, propagate

S = 32
WHOLE = np.zeros((S, S), np.float32)
WHOLE[8:24, 10:22] = 1


def crops_of(visible: Cells, background: Cells | None = None) -> FrameCrops:
    """Return the crops of a frame in which nothing is known besides a visible mask and the background."""
    nothing, none = np.zeros((S, S), np.float32), np.zeros((0, S, S), np.float32)
    certain = nothing if background is None else background
    return FrameCrops(visible, nothing, nothing, nothing + 1, certain, nothing, none, none)


def half_seen() -> FrameCrops:
    """Return crops in which the upper half of the object is visible."""
    visible = WHOLE.copy()
    visible[16:] = 0
    return crops_of(visible)


def predicted(frames: int, hypotheses: int = 1) -> np.ndarray:
    """Return logits that show only what is visible of it."""
    return np.broadcast_to(8 * half_seen().visible - 4, (hypotheses, frames, S, S)).astype(np.float32)


def iou(logits: Cells, mask: Cells) -> float:
    return float(((logits > 0) & (mask > 0.5)).sum() / ((logits > 0) | (mask > 0.5)).sum())


def test_an_anchor_completes_the_frames_around_it_and_fades() -> None:
    frames = range(5, 25)
    corrected = propagate(predicted(20), frames, dict.fromkeys(frames, half_seen()), {5: WHOLE})[0]
    assert np.array_equal(corrected[0], predicted(1)[0, 0])  # the anchor's own frame is left to the caller
    assert iou(corrected[1], WHOLE) == 1 and iou(predicted(1)[0, 0], WHOLE) == 0.5
    added = np.abs(corrected - predicted(20)[0])[1:].max(axis=(1, 2))
    assert (np.diff(added) < 0).all() and added[0] < STRENGTH


def test_a_mask_is_moved_to_where_it_fits() -> None:
    moved = np.roll(WHOLE, (-2, 2), axis=(0, 1))
    crops = crops_of(moved * half_seen().visible)
    logits = np.where(crops.visible > 0.5, 4, np.where(moved > 0.5, 0.5, -4)).astype(np.float32)[None, None]
    corrected = propagate(logits, [1], {0: half_seen(), 1: crops}, {0: WHOLE})[0, 0]
    assert iou(corrected, moved) == 1


def test_a_mask_is_not_moved_beyond_its_reach() -> None:
    far = np.roll(WHOLE, round(REACH * S) + 6, axis=1)
    corrected = propagate((8 * far - 4)[None, None], [1], dict.fromkeys((0, 1), crops_of(0 * WHOLE)), {0: WHOLE})[0, 0]
    columns = np.flatnonzero((corrected > 8 * far - 4).any(axis=0))
    assert columns.max() == 21 + round(REACH * S)


@pytest.mark.parametrize("known", [False, True])
def test_a_mask_that_contradicts_what_is_certain_counts_less(known: bool) -> None:
    """A visible part that it leaves out, or background that it covers."""
    odd = WHOLE.copy()
    odd[8:16, 10:19] = 0
    if known:
        crops, anchor = crops_of(half_seen().visible, 1 - WHOLE), np.ones_like(WHOLE)
    else:
        crops, anchor = half_seen(), odd
    corrected = propagate(predicted(1), [1], {0: half_seen(), 1: crops}, {0: anchor})
    fitting = propagate(predicted(1), [1], dict.fromkeys((0, 1), half_seen()), {0: WHOLE})
    assert np.abs(corrected - predicted(1)).max() < 0.2 * np.abs(fitting - predicted(1)).max()


def test_an_anchor_whose_occluder_has_a_mask_adds_nothing_where_there_is_none() -> None:
    """In a partial scene, an object that is occluded by listed ones is not completed under nothing."""
    listed = replace(half_seen(), others=np.where(half_seen().visible > 0.5, 0, WHOLE).astype(np.float32))
    open_here = propagate(predicted(1), [1], {0: listed, 1: half_seen()}, {0: WHOLE})
    assert (open_here <= predicted(1)).all()
    whole = propagate(predicted(1), [1], {0: crops_of(WHOLE), 1: half_seen()}, {0: WHOLE})  # nothing is occluded there
    assert (whole <= predicted(1)).all()
    covered = propagate(predicted(1), [1], {0: listed, 1: listed}, {0: WHOLE})
    assert iou(covered[0, 0] * (listed.others + listed.visible > 0.5), WHOLE) == 1


def test_fully_occluded_frames_are_corrected_by_distance_alone() -> None:
    hidden = crops_of(0 * WHOLE)
    logits = np.full((1, 1, S, S), -1.0, np.float32)
    corrected = propagate(logits, [3], dict.fromkeys((0, 3), hidden), {0: WHOLE})
    assert corrected.max() == pytest.approx(-1 + STRENGTH * expit(NEAR - 3 * FADE), abs=1e-5)


def test_a_frame_between_two_anchors_is_corrected_by_both_in_proportion_to_nearness() -> None:
    hidden, logits = dict.fromkeys(range(6), crops_of(0 * WHOLE)), np.full((1, 1, S, S), -1.0, np.float32)
    gone = 0 * WHOLE
    one, both = (propagate(logits, [2], hidden, anchors) for anchors in ({1: WHOLE}, {1: WHOLE, 5: gone}))
    least = propagate(logits, [2], hidden, {5: gone})
    np.testing.assert_allclose(both, 0.75 * one + 0.25 * least, atol=1e-6)
    assert (propagate(logits, [2], hidden, {1: WHOLE, 0: gone}) == one).all()  # the nearest on each side counts


def test_all_hypotheses_are_corrected_alike() -> None:
    logits = predicted(2, hypotheses=3) + np.arange(3, dtype=np.float32)[:, None, None, None]
    corrected = propagate(logits, [1, 2], dict.fromkeys(range(3), half_seen()), {0: WHOLE})
    added = corrected - logits
    np.testing.assert_allclose(added[1], added[0], atol=1e-5)
    assert corrected.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), distance=st.integers(1, 200))
def test_corrections_are_bounded_and_finite(seed: int, distance: int) -> None:
    random = np.random.default_rng(seed)
    visible, background, mask = (random.random((S, S), dtype=np.float32) for _ in range(3))
    logits = random.normal(0, 20, (1, 1, S, S)).astype(np.float32)
    corrected = propagate(logits, [distance], dict.fromkeys((0, distance), crops_of(visible, background)), {0: mask})
    assert np.isfinite(corrected).all() and np.abs(corrected - logits).max() <= STRENGTH + 1e-4
