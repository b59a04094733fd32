"""Losses of masks and codes, and their divisors."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from tests.training.helpers import CELLS, simple_batch
from vidamodal.data.clips import TrainingBatch
from vidamodal.heads.coarse import CoarseConfig, CoarseHead
from vidamodal.models.amodal import AmodalOutput
from vidamodal.training.losses import (
    LossConfig,
    Weights,
    amodal_loss,
    divisors,
    mask_loss,
    presence_loss,
    refined_loss,
)


def certain(masks: Tensor) -> Tensor:
    return 40 * masks - 20


def parts(batch: TrainingBatch, logits: Tensor, masked: Tensor | None = None) -> dict[str, Tensor]:
    """Losses of a model that gives these mask logits, and codes at random."""
    target = torch.randint(0, 16, (*batch.counted.shape, 4, 4), generator=torch.Generator().manual_seed(0))
    scores = torch.randn(*target.shape, 16, generator=torch.Generator().manual_seed(1))
    masked = torch.ones(target.shape, dtype=torch.bool) if masked is None else masked
    weights = Weights.of(batch, masked, LossConfig())
    divide = divisors([weights.counts()])
    output, head = AmodalOutput(scores, logits, logits), CoarseHead(CoarseConfig(), 16, 16)
    found = amodal_loss(output, target, batch, weights, divide, LossConfig())
    found |= refined_loss(head, logits, batch, weights, divide, LossConfig())
    return found | {"loss": torch.stack(list(found.values())).sum()}


def test_mask_loss_is_zero_for_the_ground_truth_and_large_for_the_visible_mask() -> None:
    batch = simple_batch()
    whole, hidden = mask_loss(certain(batch.amodal), batch, LossConfig())
    assert whole.max() < 1e-3 and hidden.max() < 1e-3
    whole, hidden = mask_loss(certain(batch.crops.visible), batch, LossConfig())
    assert whole.min() > 0.3 and hidden.min() > 0.9


def test_cells_outside_the_image_have_no_weight() -> None:
    batch = simple_batch()
    logits = torch.randn(2, 3, CELLS, CELLS, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole, hidden = mask_loss(logits, batch, LossConfig())
    (slope,) = torch.autograd.grad((whole + hidden).sum(), logits)
    assert not slope[..., :4, :].any() and slope[..., 4:, :].any(dim=(2, 3)).all()


@pytest.mark.parametrize(("share", "holds"), [(0.0, False), (0.125, True), (1.0, True)])
def test_the_hidden_loss_counts_only_occluded_object_frames(share: float, holds: bool) -> None:
    batch = simple_batch(hidden=share)
    weights = Weights.of(batch, torch.ones(2, 3, 4, 4, dtype=torch.bool), LossConfig())
    assert weights.hidden.bool().unique().tolist() == [holds]
    assert (parts(batch, torch.zeros_like(batch.amodal))["refined_hidden"] > 0) == holds


def test_the_hidden_loss_is_a_mean_over_occluded_object_frames() -> None:
    some = simple_batch()
    some.crops.visible[0] = some.amodal[0]  # nothing of the first track is hidden
    logits = certain(some.crops.visible)
    assert parts(some, logits)["refined_hidden"] == pytest.approx(
        float(parts(simple_batch(), certain(simple_batch().crops.visible))["refined_hidden"]), rel=1e-5
    )


def test_a_batch_without_counted_frames_has_no_loss_and_no_gradient() -> None:
    batch = replace(simple_batch(), counted=torch.zeros(2, 3))
    logits = torch.zeros_like(batch.amodal, requires_grad=True)
    found = parts(batch, logits)
    (slope,) = torch.autograd.grad(found["loss"], logits)
    assert all(v == 0 for v in found.values()) and slope.isfinite().all() and not slope.any()


def test_uncounted_and_padding_frames_do_not_affect_the_loss() -> None:
    batch = simple_batch()
    batch.counted[0, 1] = 0
    batch.crops.valid[1, 2] = False
    first = parts(batch, torch.zeros_like(batch.amodal))
    batch.amodal[0, 1] = 0.3
    batch.amodal[1, 2] = 0.7
    second = parts(batch, torch.zeros_like(batch.amodal))
    assert all(torch.equal(first[name], second[name]) for name in first)
    batch.amodal[0, 0] = 0.3
    assert not torch.equal(first["loss"], parts(batch, torch.zeros_like(batch.amodal))["loss"])


def test_only_masked_codes_have_a_loss() -> None:
    batch = simple_batch()
    logits = torch.zeros_like(batch.amodal)
    none = torch.zeros(2, 3, 4, 4, dtype=torch.bool)
    one = none.clone()
    one[1, 2, 2, 3] = True
    assert parts(batch, logits, none)["codes"] == 0
    assert parts(batch, logits, one)["codes"] != parts(batch, logits)["codes"] != 0


def test_divisors_count_all_batches_of_a_step() -> None:
    one, two = simple_batch(), simple_batch(tracks=1, hidden=0.125)
    two.counted[0, 0] = 0
    masked = [torch.ones(2, 3, 4, 4, dtype=torch.bool), torch.ones(1, 3, 4, 4, dtype=torch.bool)]
    masked[1][:, :, 1:] = False
    weights = [Weights.of(batch, mask, LossConfig()) for batch, mask in zip((one, two), masked, strict=True)]
    divide = divisors([weight.counts() for weight in weights])
    assert {name: int(value) for name, value in divide.items()} == {
        "codes": 104,
        "hidden": 8,
        "presence": 1,
        "whole": 8,
    }


def test_frames_with_known_codes_have_no_weight() -> None:
    batch = gone_batch()
    masked = torch.ones(3, 3, 4, 4, dtype=torch.bool)
    masked[:, 1] = False
    weights = Weights.of(batch, masked, LossConfig(gone=0.5))
    assert not any(getattr(weights, f.name)[:, 1].any() for f in fields(weights))
    every = Weights.of(batch, torch.ones_like(masked), LossConfig(gone=0.5))
    assert all(
        torch.equal(getattr(weights, f.name)[:, [0, 2]], getattr(every, f.name)[:, [0, 2]]) for f in fields(weights)
    )


def gone_batch() -> TrainingBatch:
    """Return three tracks: visible, fully occluded, and gone from the image in every frame."""
    batch = simple_batch(tracks=3)
    batch.crops.visible[1:] = 0
    batch.amodal[2] = 0
    batch.counted[2] = batch.present[2] = 0
    return batch


def test_presence_is_weighted_by_what_it_can_be_told_from() -> None:
    batch, config = gone_batch(), LossConfig(evident=0.25, absent=3.0)
    batch.annotated[2, 0] = 0
    batch.crops.valid[1, 1] = False
    batch.counted[1, 2] = 0  # few pixels lie inside the image: neither present nor absent
    weights = Weights.of(batch, None, config)
    assert weights.presence.tolist() == [[0.25] * 3, [1, 0, 0], [0, 3, 3]]


def test_the_presence_loss_is_small_for_right_answers_and_none_without_answers() -> None:
    batch = gone_batch()
    weights = Weights.of(batch, None, LossConfig())
    divide = divisors([weights.counts()])
    right = presence_loss(20 * batch.present - 10, batch, weights, divide, LossConfig())["presence"]
    wrong = presence_loss(10 - 20 * batch.present, batch, weights, divide, LossConfig())["presence"]
    assert right < 1e-3 and wrong == pytest.approx(10 * LossConfig().presence, rel=1e-3)
    assert presence_loss(None, batch, weights, divide, LossConfig()) == {}


def test_masks_of_absent_objects_count_only_with_a_weight() -> None:
    batch = gone_batch()
    ignored, counted = (Weights.of(batch, None, LossConfig(gone=gone)) for gone in (0.0, 0.5))
    assert ignored.whole[2].tolist() == [0, 0, 0] and counted.whole[2].tolist() == [0.5] * 3
    assert torch.equal(ignored.whole[:2], counted.whole[:2]) and torch.equal(ignored.hidden, counted.hidden)
