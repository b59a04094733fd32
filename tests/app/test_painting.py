from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.helpers import box, photo
from vidamodal.app.painting import marked_frame, mask_layer, painted_mask
from vidamodal.media.prompts import Prompt
from vidamodal.report.colours import object_colour


@settings(max_examples=20)
@given(st.integers(0, 99), st.integers(1, 4))
def test_a_mask_that_is_not_touched_comes_back_unchanged_at_any_scale(seed: int, scale: int) -> None:
    mask = np.random.default_rng(seed).random((9, 14)) > 0.5
    layer = mask_layer(mask, 3).repeat(scale, 0).repeat(scale, 1)
    assert np.array_equal(painted_mask([layer], 9, 14), mask)


def test_strokes_of_all_layers_count_and_faint_edges_do_not() -> None:
    first, second = (np.zeros((20, 30, 4), np.uint8) for _ in range(2))
    first[2:5, 2:5, 3] = 255
    second[10:12, 10:12, 3] = 140
    second[15, 15, 3] = 20
    expected = np.zeros((20, 30), bool)
    expected[2:5, 2:5] = expected[10:12, 10:12] = True
    assert np.array_equal(painted_mask([first, second], 20, 30), expected)
    assert not painted_mask([], 20, 30).any()


def test_a_layer_has_the_colour_of_its_object() -> None:
    layer = mask_layer(box(10, 10, 2, 2, 4, 4), 7)
    assert tuple(layer[2, 2, :3]) == object_colour(7) and not layer[5, 5].any()


def test_points_are_discs_on_the_object_and_rings_outside_it() -> None:
    frame = photo(60, 90)
    marked = marked_frame(frame, [Prompt(2, 0, points=((20.0, 30.0), (60.0, 30.0)), labels=(1, 0))])
    assert tuple(marked[30, 20]) == object_colour(2)
    assert np.array_equal(marked[30, 60], frame[30, 60]) and (marked[24:37, 54:67] != frame[24:37, 54:67]).any()
    assert np.array_equal(marked_frame(frame, []), frame)
