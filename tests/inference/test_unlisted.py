"""Short-lived holes in visible masks."""

from __future__ import annotations

import numpy as np

from vidamodal.inference.unlisted import short_holes


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
