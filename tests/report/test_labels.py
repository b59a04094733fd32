"""Tests of the placement of labels."""

from __future__ import annotations

import numpy as np

from tests.report.helpers import box
from vidamodal.report.overlay import (
    ObjectMasks,
    render_overlay,
)


def label_pixels(objects: list[ObjectMasks]) -> np.ndarray:
    """Where the labels of the objects change the picture."""
    frame = np.full((600, 600, 3), 128, np.uint8)
    bare = [ObjectMasks(item.id, item.visible, item.amodal, "") for item in objects]
    return (render_overlay(frame, objects) != render_overlay(frame, bare)).any(axis=-1)


def test_labels_are_on_the_visible_part_or_else_on_the_occluded_part() -> None:
    whole = box(600, 600, 100, 100, 500, 500)
    for visible, place in ((box(600, 600, 100, 100, 500, 180),) * 2, (None, whole)):
        for label in (None, "77"):
            changed = label_pixels([ObjectMasks(1, visible, whole, label)])
            assert changed.any() and not changed[~place].any()


def test_labels_do_not_overlap_where_there_is_room() -> None:
    whole = box(600, 600, 100, 100, 500, 500)
    one = np.count_nonzero(label_pixels([ObjectMasks(1, whole, whole, "88"), ObjectMasks(2, whole, whole, "")]))
    three = np.count_nonzero(label_pixels([ObjectMasks(index, whole, whole, "88") for index in (1, 2, 3)]))
    assert three > 2.8 * one > 0
