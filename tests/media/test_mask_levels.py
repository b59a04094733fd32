"""Statistics of the values in masks."""

from __future__ import annotations

import numpy as np
import pytest

from vidamodal.media.mask_levels import Levels, count_levels, lie_between, painted_levels


def test_values_are_counted_by_where_they_lie() -> None:
    values = np.zeros((5, 7), dtype=np.uint8)
    values[:, 3] = 100  # between 0 and 200
    values[:, 4:] = 200
    levels = count_levels(values, False, False)
    assert levels.codes.tolist() == [0, 100, 200]
    assert levels.pixels.tolist() == [15, 5, 15] and levels.solid.tolist() == [10, 0, 10]
    assert levels.counts[:, 2].tolist() == [0, 5, 0] and levels.counts[:, 3].tolist() == [1, 1, 1]


def test_counts_of_images_are_added() -> None:
    levels = Levels()
    for value in (3, 9, 3):
        levels.merge(count_levels(np.full((2, 2), value), False, False))
    assert levels.codes.tolist() == [3, 9] and levels.pixels.tolist() == [8, 4] and levels.flat == 12
    assert levels.relabelled(np.array([5, 5])).pixels.tolist() == [12]


@pytest.mark.parametrize(
    ("point", "expected"), [((100, 100, 100), True), ((100, 20, 100), False), ((255, 255, 255), False)]
)
def test_mixtures_lie_between_two_colours(point: tuple[int, int, int], expected: bool) -> None:
    anchors = np.array([(0, 0, 0), (255, 255, 255)], dtype=float)
    assert lie_between(np.array([point], dtype=float), anchors).tolist() == [expected]


def test_thin_ids_are_no_smoothing() -> None:
    values = np.zeros((20, 20), dtype=np.uint8)
    values[4:12, 4:12], values[14, 2:9], values[16:18, 16:18] = 1, 2, 3
    levels = count_levels(values, False, False)
    assert painted_levels(levels, levels.codes[:, None].astype(float), False) is None
