"""Masks from polygons and ellipses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidamodal.formats.annotators.outlines import ellipse_mask, polygon_mask
from vidamodal.media.json_records import FieldError


def test_a_polygon_covers_the_pixels_inside() -> None:
    mask = polygon_mask([1, 2, 4, 2, 4, 5, 1, 5], 6, 7, "here").decode()
    assert mask[2:5, 1:4].all() and mask.sum() == 9


@given(st.floats(2, 8), st.floats(2, 8), st.floats(-400, 400))
def test_an_ellipse_has_its_area_and_turns_clockwise(rx: float, ry: float, degrees: float) -> None:
    mask = ellipse_mask((20, 20), (rx, ry), degrees, 40, 40, "here").decode()
    assert mask.sum() == pytest.approx(math.pi * rx * ry, abs=math.pi * (rx + ry) / 2)  # half of the outline
    ys, xs = np.mgrid[:40, :40] + 0.5 - 20
    turn = math.radians(degrees)
    along, across = xs * math.cos(turn) + ys * math.sin(turn), ys * math.cos(turn) - xs * math.sin(turn)
    distance = (along / rx) ** 2 + (across / ry) ** 2
    assert mask[distance < 0.5].all() and not mask[distance > 2.5].any()


@pytest.mark.parametrize("radii", [(-1, 2), (math.nan, 2), (1, math.inf), (1e12, 1)])
def test_impossible_ellipses_are_refused(radii: tuple[float, float]) -> None:
    with pytest.raises(FieldError, match="here"):
        ellipse_mask((1, 1), radii, 0, 9, 9, "here")
