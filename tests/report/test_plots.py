"""Tests of dot plots."""

from __future__ import annotations

from tests.report.helpers import Page
from vidamodal.report.plots import Point, dot_plot


def test_dots_lie_within_the_axis_and_undefined_values_have_none() -> None:
    points = [Point(0.0, (0.0, 0.5), "none"), Point(1.0, None, "all"), Point(None, None, "<empty>")]
    svg = dot_plot("a < b", [("x", points)])
    page = Page(svg)
    dots = [float(value[:-1]) for tag, name, value in page.attributes if (tag, name) == ("svg", "x")]
    assert len(dots) == 2 and 0 < dots[0] < dots[1] < 90
    assert "a < b" in [value for _, name, value in page.attributes if name == "aria-label"]
