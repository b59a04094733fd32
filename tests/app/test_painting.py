from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.helpers import Page, box, photo
from vidamodal.app.painting import marked_frame, painter_page, read_painted
from vidamodal.media.prompts import Prompt
from vidamodal.report.colours import object_colour
from vidamodal.types import InputError, VideoInfo

VIDEO = VideoInfo("v", 9, 14, 5, 12.0)


def record_of(mask: np.ndarray) -> dict[str, object]:
    page = painter_page(photo(*mask.shape), mask, 3, 2)
    Page(page)  # every element is closed
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page)
    assert found is not None
    return dict(json.loads(found[1]))


@settings(max_examples=20)
@given(st.integers(0, 99), st.sampled_from([0, 0.4, 1]))
def test_a_mask_that_is_not_touched_comes_back_unchanged(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((9, 14)) < share
    painted = read_painted(json.dumps(record_of(mask)), VIDEO)
    assert (painted.object, painted.frame) == (3, 2) and np.array_equal(painted.mask, mask)


def test_the_painter_has_the_colour_of_the_object() -> None:
    assert record_of(box(9, 14, 1, 1, 4, 4))["colour"] == "#{:02x}{:02x}{:02x}".format(*object_colour(3))


@pytest.mark.parametrize(
    "text",
    [
        "[", "[]", "{}", "[" * 100_000, '{"object": 1, "frame": 0, "runs": [3]}',
        '{"object": 1, "frame": 0, "runs": [-3, 129]}', '{"object": 1, "frame": 0, "runs": [126.0]}',
        '{"object": 1, "frame": 0, "runs": []}', '{"object": "1", "frame": 0, "runs": [126]}',
        '{"object": 1, "frame": 0, "runs": [[126]]}', '{"object": 1, "frame": 0, "runs": [1, [2]]}',
        '{"object": 1, "frame": 0, "runs": [99999999999999999999]}',
        '{"object": 1, "frame": 0, "runs": [9223372036854775807, 9223372036854775807, 128]}',
    ],
)  # fmt: skip
def test_damaged_masks_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="does not fit this video"):
        read_painted(text, VIDEO)


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(InputError, match="no object is loaded"):
        read_painted("", VIDEO)


def test_points_are_discs_on_the_object_and_rings_outside_it() -> None:
    frame = photo(60, 90)
    marked = marked_frame(frame, [Prompt(2, 0, points=((20.0, 30.0), (60.0, 30.0)), labels=(1, 0))])
    assert tuple(marked[30, 20]) == object_colour(2)
    assert np.array_equal(marked[30, 60], frame[30, 60]) and (marked[24:37, 54:67] != frame[24:37, 54:67]).any()
    assert np.array_equal(marked_frame(frame, []), frame)
