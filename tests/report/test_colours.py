"""Tests of the colours of objects."""

from __future__ import annotations

import numpy as np

from vidamodal.report.colours import object_colour


def test_colours_of_twelve_objects_are_apart() -> None:
    colours = np.array([object_colour(index) for index in range(1, 13)], dtype=int)
    distance = np.abs(colours[:, None] - colours[None]).sum(axis=-1) + 999 * np.eye(12, dtype=int)
    assert distance.min() > 60
    assert (colours.max(axis=1) > 150).all() and (np.ptp(colours, axis=1) > 60).all(), "bright and saturated"
