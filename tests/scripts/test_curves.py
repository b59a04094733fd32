"""Tests of line charts."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels


def test_curves_lie_where_their_points_do() -> None:
    """On both scales the middle of the axis is the middle of the panel; points that are not finite are left out."""

    def centre(series: Curve, across: Axis) -> float:
        panel = line_chart("title", [series], across, Axis("", 0, 10), (400, 300)).astype(int)
        blue = (panel[:220, :, 2] - panel[:220, :, 0]) > 120  # above the legend
        return float(np.nonzero(blue)[1].mean())

    linear = centre(Curve("", [(50, 5), (float("nan"), 1), (20, float("inf"))]), Axis("x", 0, 100))
    log = centre(Curve("", [(10, 5)]), Axis("x", 1, 100, log=True))
    assert linear == pytest.approx(log, abs=0.5)
    assert linear < centre(Curve("", [(80, 5)]), Axis("x", 0, 100))
    with pytest.raises(ValueError, match="no finite point"):
        line_chart("empty", [Curve("a", [])], Axis("x"), Axis("y"))
    with pytest.raises(ValueError, match="logarithmic"):
        line_chart("zero", [Curve("a", [(0, 1)])], Axis("x", log=True), Axis("y"))


def test_panels_are_tiled_and_filled_up_with_white() -> None:
    panels = [np.full((4, 6, 3), k, dtype=np.uint8) for k in range(3)]
    sheet = tile_panels(panels, 2)
    assert sheet.shape == (8, 12, 3)
    assert sheet[4:, :6].max() == 2 and sheet[4:, 6:].min() == 255
