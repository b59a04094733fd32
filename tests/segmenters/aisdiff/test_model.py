"""The AISDiff segmenter: instances of frames, the inpainting loss, saving and loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.segmenters.aisdiff.helpers import (
    LABELS,
    SMALL,
    assert_same_instances,
    ground_truth_of_squares,
    random_images,
    segmenter,
)
from vidamodal.data.instance_frames import MOST
from vidamodal.heads.aisdiff import AISDiffHead
from vidamodal.heads.base import find_head
from vidamodal.models.folder import load_segmenter, save_segmenter
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.segmenters.aisdiff.detector import Proposals
from vidamodal.segmenters.aisdiff.model import RegionMasks
from vidamodal.segmenters.base import find_segmenter


@pytest.mark.parametrize("changes", [{}, {"shape_prior": False}, {"amodal": "visible"}, {"labels": ()}], ids=str)
def test_the_result_of_a_frame_does_not_depend_on_the_other_frames(changes: dict[str, Any]) -> None:
    network, images = segmenter(**changes), random_images(3)
    together = network.segment(images, [1, 2, 1])
    assert sum(map(len, together)) >= 3
    for k, seed in enumerate([1, 2, 1]):
        assert_same_instances(together[k], network.segment(images[k : k + 1], [seed])[0])


def test_visible_masks_do_not_overlap_and_lie_inside_amodal_masks() -> None:
    for found in segmenter().segment(random_images(4), [0] * 4):
        assert [each.layer for each in found] == sorted(each.layer for each in found)
        assert np.sum([each.visible for each in found], axis=0).max(initial=0) <= 1
        for each in found:
            assert not (each.visible & ~each.amodal).any() and each.visible.sum() >= SMALL.least_area
            assert 0 <= each.score <= 1 and each.label in LABELS
            assert each.appearance is not None and np.linalg.norm(each.appearance) == pytest.approx(1, abs=1e-5)


def test_amodal_masks_copied_from_visible_ones_add_no_occluded_region() -> None:
    for found in segmenter(amodal="visible").segment(random_images(4), [0] * 4):
        for each in found:
            assert (each.amodal & ~each.visible).sum() <= sum((each.amodal & o.visible).sum() for o in found)


def test_region_masks_are_assembled_to_instances_on_the_canvas() -> None:
    network = segmenter(labels=("box", "mug"), margin=1.0)
    boxes = torch.tensor([[4.0, 4.0, 20.0, 20.0], [12.0, 4.0, 28.0, 20.0], [0.0, 24.0, 4.0, 28.0]])
    seen = torch.full((3, 8, 8), 0.95)
    seen[1, :, :4] = 0.05  # the first one occludes the second
    whole, features = torch.full((3, 8, 8), 0.95), torch.rand(3, 8, 4, 4)
    found = Proposals(boxes, torch.tensor([0.9, 0.8, 0.02]))
    with torch.no_grad():
        regions = network.segment_regions(network.detector(random_images(1)), boxes, torch.zeros(3).long())
    regions, network = replace(regions, features=features), AISDiffSegmenter(replace(network.config, least_score=0.1))
    masks = RegionMasks(seen, torch.zeros_like(seen), torch.tensor([0, 1, 1]))
    out = network._assemble(found, regions, masks, whole)
    assert [(each.layer, each.label) for each in out] == [(1, "box"), (2, "mug")]
    front, back = out
    assert front.visible.sum() == 256 and back.amodal.sum() == 256 and back.visible.sum() == 128
    assert front.score == pytest.approx(0.9 * 0.95, abs=1e-6)
    # Of two instances with the same visible mask the one with the higher score remains.
    twice = replace(found, scores=torch.tensor([0.8, 0.9, 0.7]))
    again = replace(regions, boxes=boxes.clone())
    again.boxes[0] = again.boxes[1] + torch.tensor([2.0, 0.0, 2.0, 0.0])
    (one, far) = network._assemble(twice, again, replace(masks, visible=torch.full((3, 8, 8), 0.95)), whole)
    assert (one.label, one.visible.sum(), far.visible.sum()) == ("mug", 256, 16)


def test_unknown_colours_do_not_affect_the_inpainting_loss() -> None:
    network, truth = segmenter(), ground_truth_of_squares(2)
    other = replace(truth, image=truth.image.clone())
    only = replace(truth, valid=truth.valid & (torch.arange(MOST) == 0))  # the occluded one
    hidden = (truth.amodal[:, 0] & ~truth.visible[:, 0])[:, None].expand_as(truth.image)
    away = (
        torch.nn.functional.max_pool2d((~hidden).float(), 5, 1, 2) == 0
    )  # far enough from visible pixels not to be mixed with them
    other.image[away] = 0.123
    losses = [network.inpainting_loss(replace(only, image=each.image), 1, Noise.of(0, 1)) for each in (truth, other)]
    assert away.any() and torch.equal(*losses)


def test_a_segmenter_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    network = segmenter()
    save_segmenter(tmp_path / "m", network, {}, "# m\n")
    loaded = load_segmenter(str(tmp_path / "m"))
    assert loaded.head == "aisdiff" and loaded.model.config == network.config
    assert find_segmenter("aisdiff") is AISDiffSegmenter
    assert find_head("aisdiff") is AISDiffHead
    images = random_images(1)
    assert_same_instances(network.segment(images, [0])[0], loaded.model.segment(images, [0])[0])
