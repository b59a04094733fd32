"""Evidence of the order of objects, and of what depth shows in front of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import disc_scene
from vidamodal.geometry import Cropper, Window
from vidamodal.occlusion.evidence import (
    DEPTH_PLANES,
    WindowMasks,
    compare_depth,
    depth_planes,
    extends_under,
    front_confidence,
    front_confidence_from_order,
    gather_evidence,
    label_weights,
    occluder_weights,
    open_pixels,
)
from vidamodal.worlds.sample import ClipMasks

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
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


def test_labels_are_weighed_by_the_order_and_the_kind_of_scene() -> None:
    evidence = np.zeros((1, 3, 3))
    evidence[0, 0, 1], evidence[0, 1, 0] = 99, 9
    weights = label_weights(evidence, [1, 2], exhaustive=True)
    assert weights.shape == (1, 2, 4)
    assert weights[0].tolist() == [[0, 0.1, 1, 1], [0, 1, 1, 1]]
    assert label_weights(evidence, [1], exhaustive=False)[0].tolist() == [[1, 0.1, 1, 1]]
    assert (label_weights(evidence, [0, 1, 2], exhaustive=True, constrain=False) == 1).all()


def _post_before_wall(post: float = 2.0, post_bottom: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A box (columns 16 to 47) before a wall, partly behind a post (columns 28 to 35): disparity and visible mask."""
    disparity, visible = np.full((64, 64), 0.5, dtype=np.float32), np.zeros((64, 64), dtype=np.float32)
    disparity[20:44, 16:48] = visible[20:44, 16:48] = 1
    disparity[:post_bottom, 28:36] = post
    visible[:, 28:36] = 0
    return disparity, visible


def test_depth_planes_tell_what_is_in_front_from_what_is_behind() -> None:
    disparity, visible = _post_before_wall()
    disparity[:8, 56:] = np.nan
    planes = depth_planes(disparity, visible)
    post, wall = (slice(24, 40), slice(30, 34)), (slice(0, 10), slice(0, 10))
    assert planes.shape == (DEPTH_PLANES, 64, 64) and planes.dtype == np.float32
    assert np.allclose(planes[1][post], 1 / 3) and np.allclose(planes[1][wall], -1 / 6)  # the range is 1.5
    assert (planes[0][post] > 0.99).all() and (planes[0][wall] < -0.95).all()
    assert np.array_equal(planes[2], np.isfinite(disparity)) and not planes[:, :8, 56:].any()
    assert planes[3, :, 28:36].all() and not planes[3, :, :28].any() and not planes[3, :, 36:].any()


def test_only_jumps_that_touch_the_mask_are_occluders() -> None:
    disparity, visible = _post_before_wall(post_bottom=14)  # the post ends above the box
    assert not depth_planes(disparity, visible)[3].any()
    ground = np.linspace(0, 2, 64, dtype=np.float32)[:, None].repeat(64, axis=1)
    disparity, visible = ground.copy(), np.zeros((64, 64), dtype=np.float32)
    disparity[20:44, 16:48], visible[20:44, 16:48] = ground[43, 0], 1
    planes = depth_planes(disparity, visible)
    assert (planes[1, 50:] > 0.05).all()  # the ground before the feet is nearer
    assert not planes[3].any()  # and no occluder


@settings(max_examples=30)
@given(seeds, st.floats(0.1, 100), st.floats(-10, 10))
def test_depth_planes_cancel_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    disparity = rng.random((8, 8)).repeat(4, axis=0).repeat(4, axis=1)
    visible = (disparity > 0.6).astype(np.float32)
    planes, other = depth_planes(disparity, visible), depth_planes(scale * disparity + shift, visible)
    assert np.allclose(planes, other, atol=1e-3)
    assert np.abs(planes).max() <= 1


def test_depth_planes_are_zero_without_evidence() -> None:
    disparity, visible = _post_before_wall()
    assert not depth_planes(disparity, np.zeros_like(visible)).any()
    assert not depth_planes(np.full_like(disparity, np.nan), visible).any()
    assert not depth_planes(np.where(visible > 0, np.nan, disparity), visible).any()
    assert not depth_planes(np.full_like(disparity, 0.3), visible).any()


def test_a_thin_object_keeps_its_own_disparity() -> None:
    disparity, visible = _post_before_wall()
    pole = np.zeros_like(visible)
    pole[:, 31] = 1
    assert np.allclose(depth_planes(disparity, pole)[1][:, :28].max(), (1 - 2) / 1.5 / 2, atol=1e-6)


def _window_masks(visible: np.ndarray, other: np.ndarray | None = None) -> WindowMasks:
    other = np.zeros_like(visible) if other is None else other
    return WindowMasks(visible, np.maximum(visible, other), np.ones_like(visible), -0.5 * other)


def test_only_exhaustive_scenes_and_depth_tell_background() -> None:
    disparity, visible = _post_before_wall()
    masks = _window_masks(visible)
    partial = gather_evidence(masks, exhaustive=False)
    assert not partial.others.any() and not partial.background.any() and not partial.order.any()
    exhaustive = gather_evidence(masks, exhaustive=True, comparison=compare_depth(disparity, visible))
    assert not exhaustive.others.any() and np.array_equal(exhaustive.background, 1 - visible)


def test_depth_turns_unlisted_surfaces_into_occluders_or_background() -> None:
    disparity, visible = _post_before_wall()
    disparity[:8, 56:] = np.nan
    other = np.zeros_like(visible)
    other[20:44, 50:56] = 1
    evidence = gather_evidence(_window_masks(visible, other), False, compare_depth(disparity, visible))
    post = np.zeros_like(visible)
    post[:, 28:36] = 1
    assert np.array_equal(evidence.others, np.maximum(other, post))
    assert np.array_equal(evidence.order, post - 0.5 * other)  # what is known of listed objects stays
    unknown = np.isnan(disparity)
    assert np.array_equal(evidence.background, np.where(unknown, 0, 1 - np.maximum(visible, np.maximum(other, post))))


def test_open_pixels_are_those_of_the_occluder_and_of_unknown_depth() -> None:
    rows, columns = np.mgrid[:100, :140]
    box, post = (rows > 30) & (rows < 70) & (columns > 40) & (columns < 100), (columns > 63) & (columns < 77)
    disparity = np.where(post, 2, np.where(box, 1, 0.5)).astype(np.float32)
    disparity[:10] = np.nan
    window = Window((70.0, 50.0), (120.0, 120.0))
    cropper = Cropper.at(window, 64, 100, 140)
    visible = cropper.cut(box & ~post)
    comparison = compare_depth(cropper.pick(disparity, outside=np.float32(np.nan)), visible)
    assert comparison is not None
    inside_rows, inside_columns, pixels = open_pixels(comparison, window, disparity)
    expected = post | (rows < 10)
    assert np.array_equal(pixels, expected[inside_rows, inside_columns])


def test_sparse_depth_is_told_from_dense_depth() -> None:
    disparity, visible = _post_before_wall()
    inside = np.ones_like(visible)
    inside[:, 48:] = 0
    disparity[:, 48:] = np.nan  # beyond the image
    dense = compare_depth(disparity, visible)
    disparity[::2], disparity[::3] = np.nan, np.nan
    sparse = compare_depth(disparity, visible)
    assert dense is not None and dense.is_dense(inside)
    assert sparse is not None and not sparse.is_dense(inside)
