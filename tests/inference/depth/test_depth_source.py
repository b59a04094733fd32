"""Depth maps become disparities at the size of the video."""

from __future__ import annotations

import numpy as np
import pytest

from vidamodal.geometry import resize_nearest
from vidamodal.inference.depth.depth_source import (
    DepthSource,
    DisparityMaps,
    are_distances,
    read_values,
    to_disparity,
)
from vidamodal.types import InputError


def _map(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_values_become_disparities() -> None:
    nan, values = np.nan, _map([2, np.inf, np.nan], [0, -1, 4])
    for conversion, expected in {
        "inverted": _map([0.5, 0, nan], [nan, nan, 0.25]),
        "as is": _map([2, nan, nan], [0, -1, 4]),
        "negated": _map([-2, nan, nan], [0, 1, -4]),
    }.items():
        assert np.array_equal(to_disparity(values, conversion), expected, equal_nan=True)  # type: ignore[arg-type]


def test_distances_are_told_from_reversed_scales() -> None:
    disparity = np.linspace(0.01, 0.5, 400).reshape(20, 20)  # a floor
    metres = 1 / disparity
    assert are_distances([metres], False)
    assert not any(
        are_distances([scale], False) for scale in (1 - disparity, 3 - disparity, 0.5 - disparity, -disparity)
    )
    millimetres = (1000 * metres).clip(max=65535).astype(np.uint16)
    assert are_distances([millimetres], False)
    millimetres[:, :3] = 0
    assert are_distances([millimetres], zero_is_unknown=True) and not are_distances([millimetres], False)
    reversed_scale = 65535 - (100000 * disparity).astype(np.uint16)
    assert not are_distances([reversed_scale], False) and not are_distances([reversed_scale], True)
    flat = np.where(np.arange(20) < 10, 2.0, 5.0)[None].repeat(20, axis=0)
    assert are_distances([flat], False)  # nothing speaks against it


def test_maps_are_resized_without_mixing_surfaces() -> None:
    values = np.array([[1.0, 5.0], [np.nan, 3.0]], dtype=np.float32)
    assert np.array_equal(resize_nearest(values, 4, 6)[:2, :3], np.ones((2, 3)))
    large = values.repeat(3, axis=0).repeat(5, axis=1)
    assert np.array_equal(resize_nearest(large, 2, 2), values, equal_nan=True)
    maps = DisparityMaps(DepthSource([values, None].__getitem__), "as is", 4, 6)
    read = maps.read(0)
    assert read is not None and read.shape == (4, 6) and maps.read(1) is None


def test_maps_in_memory_are_checked() -> None:
    with pytest.raises(InputError, match=r"the map of frame 3 has shape \(2, 2, 3\).*Pass an array \(h, w\)"):
        read_values(DepthSource(lambda _: np.zeros((2, 2, 3))), 3)
    with pytest.raises(InputError, match=r"unknown depth_kind 'inverse'. Choose auto, disparity or depth"):
        DepthSource(lambda _: None, "inverse")  # type: ignore[arg-type]
