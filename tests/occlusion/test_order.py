"""The order of a frame."""

from __future__ import annotations

from tests.metrics.helpers import (
    columns,
)
from vidamodal.occlusion.order import order_from_visible
from vidamodal.types import Rle


def test_the_order_follows_which_visible_masks_cover_which_amodal_masks() -> None:
    amodal = {1: Rle.encode(columns(0, 16)), 2: Rle.encode(columns(8, 24)), 3: Rle.encode(columns(24, 30))}
    visible = {1: Rle.encode(columns(0, 8)), 2: amodal[2], 3: amodal[3]}
    assert order_from_visible(amodal, visible) == ((2, 1),)
    assert order_from_visible({}, {}) == ()
