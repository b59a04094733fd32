"""Ground truth of images with their instances."""

from __future__ import annotations

import torch

from tests.segmenters.aisdiff.helpers import (
    ground_truth_of_squares,
)
from vidamodal.data.instance_frames import MOST


def test_ground_truth_holds_boxes_labels_and_occluder_masks() -> None:
    truth = ground_truth_of_squares(1)
    assert truth.size == 2 and truth.valid.shape == (1, MOST)
    back, front = truth.boxes[0, :2].tolist()  # the one that shows more comes first
    assert back == [10, 10, 26, 26] and front == [4, 4, 16, 16] and truth.labels[0, :2].tolist() == [-1, 1]
    assert torch.equal(truth.occluding[0, 0], truth.visible[0, 1]) and not truth.occluding[0, 1].any()
