"""The axes of arrays of masks."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidamodal.formats.masks.array_masks import MaskArray, as_mask, understand_axes
from vidamodal.types import InputError, VideoInfo

VIDEO = VideoInfo("v.mp4", 4, 6, 3, 1.0)


def array(values: np.ndarray) -> MaskArray:
    content = np.ascontiguousarray(values).tobytes()
    return MaskArray(
        Path("a.npy"), "a", values.shape, values.dtype, False, lambda: contextlib.nullcontext(io.BytesIO(content))
    )


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 4, 6), "thw"),
        ((4, 6, 3), "hwt"),
        ((2, 3, 4, 6), "nthw"),
        ((3, 2, 4, 6), "tnhw"),
        ((2, 2, 4, 6), "nthw"),
        ((4, 6), "hw"),
    ],
)
def test_axes_follow_from_the_video(shape: tuple[int, ...], axes: str) -> None:
    stack = understand_axes(array(np.zeros(shape, bool)), VIDEO)
    assert stack.axes == axes
    assert (stack.note is None) == (axes in ("thw", "nthw"))


def test_objects_of_one_frame_are_reported_where_they_may_be_frames() -> None:
    masks = array(np.zeros((2, 1, 4, 6), bool))
    for known in ({"objects": 2}, {"frames": 1}):
        assert understand_axes(masks, VIDEO, **known).note is None
    assert understand_axes(masks, replace(VIDEO, frames=1)).note is None
    for shape, video in (((2, 1, 4, 6), None), ((2, 1, 4, 6), VIDEO), ((5, 1, 4, 6), VIDEO)):
        stack = understand_axes(array(np.zeros(shape, bool)), video)
        assert stack.axes == "nthw" and f"{shape[0]} objects in one frame" in (stack.note or "")


def test_planes_are_the_same_in_every_order() -> None:
    values = np.random.default_rng(0).random((2, 3, 4, 6)) > 0.5
    for order in ((0, 1, 2, 3), (1, 0, 2, 3)):
        stack = understand_axes(array(values.transpose(order)), VIDEO)
        for n, t, plane in stack.planes():
            np.testing.assert_array_equal(plane, values[n, t])


@pytest.mark.parametrize("shape", [(3, 6, 4), (5, 4, 6), (4, 6, 5), (3, 4), (4,), (1, 1, 3, 4, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"save \(t, h, w\) integer ids"):
        understand_axes(array(np.zeros(shape, bool)), VIDEO)


def test_masks_have_one_value_inside() -> None:
    assert as_mask(np.array([[0.0, 255.0]]), "a").tolist() == [[False, True]]
    for values in ([[0.2, 0.9]], [[1, 2]], [[-1, 0]], [[0.0, np.nan]]):
        with pytest.raises(InputError, match="threshold it"):
            as_mask(np.array(values), "a")
