"""Weights split over processes, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from tests.data.helpers import ONE_FRAME, SQUARES, stacked_clip
from tests.heads.conddiff.helpers import CROP
from tests.heads.conddiff.helpers import SMALL as CONDDIFF
from tests.models.c2f.helpers import random_batch
from tests.segmenters.aisdiff.helpers import ground_truth_of_squares
from tests.segmenters.aisdiff.helpers import segmenter as aisdiff_segmenter
from tests.segmenters.cumulative.helpers import segmenter as cumulative_segmenter
from tests.training.helpers import MODEL, single_step
from vidamodal.data.layer_frames import LayerClips
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.training.losses import LossConfig
from vidamodal.training.sharding import Average, full, shard
from vidamodal.training.stage import Stage
from vidamodal.training.stages.aisdiff import DetectionStage
from vidamodal.training.stages.cumulative import LayersStage
from vidamodal.training.stages.head import HeadStage


def test_the_average_follows_the_weights_and_copies_the_codebook() -> None:
    average, model = AmodalModel(MODEL), AmodalModel(MODEL)
    before = {k: v.clone() for k, v in average.state_dict().items()}
    model.tokenizer.codebook.normal_()
    kept = Average(average, model)
    kept.update(0.75)
    after, new = kept.gather().state_dict(), model.state_dict()
    buffers = {name for name, _ in model.named_buffers()}
    for name, value in after.items():
        wanted = new[name] if name in buffers else 0.75 * before[name] + 0.25 * new[name]
        torch.testing.assert_close(value, wanted)
    assert any("embed" in name for name in buffers)


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """Provide a process group of one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def conddiff_stage() -> tuple[Stage[Any], Any]:
    model = FramewiseModel(FramewiseConfig("conddiff", crop=CROP), CONDDIFF)
    return HeadStage(model, LossConfig()), random_batch(2, 3, CROP)


def aisdiff_stage() -> tuple[Stage[Any], Any]:
    return DetectionStage(aisdiff_segmenter(), LossConfig()), ground_truth_of_squares(2)


def cumulative_stage() -> tuple[Stage[Any], Any]:
    batch = LayerClips(stacked_clip(SQUARES), 0, 1, ONE_FRAME, 64)[0]
    return LayersStage(cumulative_segmenter(size=64), LossConfig()), batch


@pytest.mark.parametrize("make", [conddiff_stage, aisdiff_stage, cumulative_stage])
@pytest.mark.usefixtures("one_process")
def test_networks_with_nested_blocks_have_the_same_gradients_when_they_are_split(
    make: Callable[[], tuple[Stage[Any], Any]],
) -> None:
    whole, batch = make()
    split = deepcopy(whole)
    shard(split, torch.device("cpu"), 1)
    for stage in (whole, split):
        single_step(stage, batch)["loss"].backward()
    for (name, one), two in zip(whole.named_parameters(), split.parameters(), strict=True):
        if one.grad is not None:
            assert two.grad is not None
            torch.testing.assert_close(full(two.grad), one.grad, msg=name)
