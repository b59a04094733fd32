"""The smallest areas that count."""

from __future__ import annotations

import pytest

from vidamodal.occlusion.thresholds import least_counted_area, least_shared_area


@pytest.mark.parametrize(("height", "area"), [(256, 16), (512, 64), (128, 4), (32, 1)])
def test_shared_area_scales_with_the_squared_height_and_is_at_least_one_pixel(height: int, area: float) -> None:
    assert least_shared_area(height) == area


def test_counted_area_scales_with_the_squared_height_or_with_the_area_of_the_image() -> None:
    assert [least_counted_area(height) for height in (256, 512, 128)] == [64, 256, 16]
    assert least_counted_area(256, 512) == 128 == 2 * least_counted_area(256, 256)
