"""Tests of the scores of predicted layers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from scripts.experiments.ablation.layer_scores import layer_scores, layered_frame, pixel_precision
from tests.helpers import ToyClip
from vidamodal.data.layer_frames import LEAST_VISIBLE, ground_truth_layers
from vidamodal.data.recorded import RecordedBank
from vidamodal.occlusion.layers import LayeredFrame
from vidamodal.types import FrameInstance

MASKS = arrays(np.bool_, (2, 6, 6))


def frame() -> LayeredFrame:
    """Two objects in front, one behind."""
    objects = np.zeros((3, 8, 8), dtype=bool)
    objects[0, :3, :3], objects[1, 5:, 5:], objects[2, 2:6, 2:6] = True, True, True
    layers = np.stack([objects[0] | objects[1], objects[2]])
    return LayeredFrame(layers, objects, objects, np.array([1, 1, 2]), np.ones(3))


def test_a_perfect_prediction_scores_1_in_every_layer() -> None:
    scores = layer_scores([frame()], [frame()])
    assert all(
        scores[name] == 1
        for name in ("iou_1", "ap_1", "iou_2", "ap_2", "amodal_ap", "visible_ar", "in_layer_ap", "depth")
    )
    assert scores["iou_3"] is None and scores["ap_5"] is None


def test_an_empty_prediction_has_no_overlap_and_chance_precision() -> None:
    nothing = layered_frame([], 8)
    scores = layer_scores([nothing], [frame()])
    assert scores["iou_1"] == scores["iou_2"] == scores["amodal_ap"] == scores["depth"] == 0
    assert scores["ap_1"] == pytest.approx(18 / 64) and scores["ap_2"] == pytest.approx(16 / 64)


def test_an_object_in_the_wrong_layer_counts_for_amodal_ap_only() -> None:
    true = frame()
    scores = layer_scores([replace(true, layer=np.array([1, 2, 2]))], [true])
    assert scores["amodal_ap"] == 1
    assert scores["in_layer_ap"] == pytest.approx(2 / 3, abs=0.01)


def test_layered_frame_groups_objects_by_their_layer() -> None:
    true = frame()
    found = [
        FrameInstance(mask, mask, int(layer), None, 0.5) for mask, layer in zip(true.objects, true.layer, strict=True)
    ]
    again = layered_frame(found, 8)
    assert np.array_equal(again.layers, true.layers) and np.array_equal(again.objects, true.objects)
    assert np.array_equal(layered_frame(found, 8, true.layers[:1]).layers, true.layers[:1])


def test_means_are_over_the_frames_with_the_layer() -> None:
    true = frame()
    flat = LayeredFrame(true.layers[:1], true.objects[:2], true.visible[:2], true.layer[:2], np.ones(2))
    wrong = replace(flat, layers=np.zeros((1, 8, 8), bool))
    scores = layer_scores([true, wrong], [true, flat])
    assert scores["iou_1"] == 0.5 and scores["iou_2"] == 1


@given(MASKS)
@settings(max_examples=50)
def test_pixel_precision_is_the_area_under_the_precision_recall_steps(masks: np.ndarray) -> None:
    found, truth = masks
    if not truth.any():
        return
    area, before = 0.0, 0.0
    for threshold in (1, 0):  # first the mask, then all pixels
        taken = found >= threshold
        recall = (taken & truth).sum() / truth.sum()
        area += (recall - before) * (taken & truth).sum() / max(taken.sum(), 1)
        before = recall
    assert pixel_precision(found, truth) == pytest.approx(area)


def test_frames_of_a_data_set_have_their_true_layers(clip: ToyClip, tmp_path: Path) -> None:
    shutil.copy(clip.video, tmp_path / "clip.mp4")
    shutil.copy(clip.truth, tmp_path / "clip.tracks.json")
    bank = RecordedBank.load(tmp_path, pixels=True)
    ((images, frames),) = ground_truth_layers(bank, 5, 3, 32)
    assert images.shape == (3, 3, 32, 32) and len(frames) == 3
    for each in frames:
        assert len(each.objects) == len(each.layer) and len(each.layers) == each.layer.max(initial=0)
        for k, layer in enumerate(each.layers):
            of_it = each.objects[each.layer == k + 1]
            assert of_it.any() and np.count_nonzero(layer ^ of_it.any(axis=0)) <= LEAST_VISIBLE
