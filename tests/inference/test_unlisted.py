"""Short-lived holes in visible masks, and thin completed parts."""

from __future__ import annotations

import numpy as np

from vidamodal.inference.unlisted import short_holes, thin_parts


def body(frames: int) -> np.ndarray:
    masks = np.zeros((frames, 32, 32), dtype=np.float32)
    masks[:, 6:28, 8:24] = 1
    return masks


def test_a_ball_that_passes_in_front_leaves_a_short_hole() -> None:
    masks = body(12)
    for t in range(3, 8):
        masks[t, 10:14, 2 * t + 3 : 2 * t + 6] = 0
    holes = short_holes(masks)
    assert holes[3:8].any(axis=(1, 2)).all()
    assert not holes[:3].any() and not holes[8:].any()
    assert (holes <= (body(12) > 0.5)).all()


def test_a_hole_that_persists_belongs_to_the_shape() -> None:
    masks = body(12)
    masks[:, 12:16, 12:16] = 0
    assert not short_holes(masks).any()


def test_a_gap_that_is_open_to_the_outside_is_no_hole() -> None:
    masks = body(12)
    masks[5, 20:28, 14:18] = 0
    assert not short_holes(masks).any()


def test_few_frames_tell_nothing() -> None:
    masks = body(4)
    masks[1, 12:16, 12:16] = 0
    assert not short_holes(masks).any()


def test_frames_in_which_nothing_is_visible_do_not_count() -> None:
    masks = body(12)
    masks[1, 12:16, 12:16] = 0
    masks[2:9] = 0
    assert not short_holes(masks).any()


def test_thin_parts_are_those_that_stay_close_to_the_visible_mask() -> None:
    visible = np.zeros((32, 32), dtype=bool)
    visible[8:24, 4:14] = True
    chosen = np.zeros_like(visible)
    chosen[8:24, 14:15] = True  # a sliver along the outline
    chosen[2:6, 4:20] = chosen[6:8, 6:8] = True  # a part that reaches 6 cells away
    thin = thin_parts(chosen, visible, 0.3)
    assert thin[8:24, 14].all() and np.count_nonzero(thin) == 16
    assert not thin_parts(chosen, visible, 0.05).any()
    assert (thin_parts(chosen, visible, 2.0) == chosen).all()


def test_without_completed_cells_nothing_is_thin() -> None:
    nothing = np.zeros((8, 8), dtype=bool)
    assert not thin_parts(nothing, ~nothing, 0.5).any()
