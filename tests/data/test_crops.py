"""Model inputs cut out of frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.helpers import head_inputs
from vidamodal.data.crops import FrameMap, cut_frame
from vidamodal.geometry import Cropper, Window
from vidamodal.runs import LabelRuns, Runs


def test_the_order_channel_holds_the_confidence_of_each_label() -> None:
    labels = np.zeros((16, 16), dtype=np.uint16)
    labels[:, :5], labels[:, 5:10], labels[:, 10:] = 1, 2, 3
    cropper = Cropper.at(Window((8, 8), (16, 16)), 16, 16, 16)
    front = np.array([0, 0, 1, -0.5], dtype=np.float32)
    mask, frame = Runs.of_mask(labels == 1), FrameMap(LabelRuns.of_map(labels))
    crops = cut_frame(cropper, mask, frame, True, front)
    assert np.allclose(crops.order[:, :4], 0) and np.allclose(crops.order[:, 6:9], 1)
    assert np.allclose(crops.order[:, 11:], -0.5)
    assert not cut_frame(cropper, mask, frame, True).order.any()


def test_occluders_lack_objects_that_lie_behind() -> None:
    crops = head_inputs(16, 0).crops
    front = crops.occluders()
    assert (front[crops.order < 0] == 0).all() and torch.equal(front[crops.order > 0], crops.others[crops.order > 0])
    unknown = replace(crops, order=torch.zeros_like(crops.order))
    assert torch.equal(unknown.occluders(), crops.others)
