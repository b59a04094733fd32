"""Losses of the two stages. Every one is a sum and a count, so that ranks can divide by the count of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, distributed
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from vidamodal.data.clips import TrainingBatch
from vidamodal.models.amodal import AmodalOutput


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts."""

    codes: float = 0.1
    """Cross-entropy on the masked amodal codes (C2F-Seg, Eq. 6)."""
    coarse: float = 0.5
    """Mask losses on the softly decoded coarse mask."""
    refined: float = 1.0
    """Mask losses on the head's mask (Eq. 10, the amodal term)."""
    dice: float = 1.0
    hidden: float = 0.75
    """Dice on what is not visible, where something is hidden: what occ and hidden measure."""
    hidden_share: float = 0.02
    """Frames with a smaller share hidden have no hidden loss."""
    unseen: float = 1.0
    """Weight of a frame that shows nothing of the object, over one that does."""


def mean_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    """The mean over what all ranks counted, scaled so that DDP's averaged gradients are those of one process."""
    ranks = 1
    if distributed.is_available() and distributed.is_initialized():
        ranks = distributed.get_world_size()
        count = count.detach().clone()
        distributed.all_reduce(count)
    return total * ranks / count.clamp_min(1)


def mask_loss(
    logits: Float[Tensor, "b t s s"], batch: TrainingBatch, config: LossConfig
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """BCE + Dice per object-frame, Dice on the part that is not visible, and where that one holds (0 or 1).

    Cells outside the image have no truth and no weight.
    """
    logits = logits.float()
    inside, truth = batch.crops.inside, batch.amodal
    bce = reduce(binary_cross_entropy_with_logits(logits, truth, reduction="none") * inside, "b t h w -> b t", "sum")
    bce = bce / reduce(inside, "b t h w -> b t", "sum").clamp_min(1)
    probability = torch.sigmoid(logits) * inside
    unseen = 1 - batch.crops.visible
    behind = (truth - batch.crops.visible).clamp_min(0)
    holds = (_sum(behind) >= config.hidden_share * _sum(truth)).float() * (_sum(behind) >= 1).float()
    return bce + config.dice * _dice(probability, truth), _dice(probability * unseen, behind), holds


def _sum(maps: Float[Tensor, "b t h w"]) -> Float[Tensor, "b t"]:
    return reduce(maps, "b t h w -> b t", "sum")


def _dice(probability: Float[Tensor, "b t h w"], truth: Float[Tensor, "b t h w"]) -> Float[Tensor, "b t"]:
    return 1 - (2 * _sum(probability * truth) + 1) / (_sum(probability) + _sum(truth) + 1)


def amodal_loss(
    output: AmodalOutput, target: Int[Tensor, "b t g g"], masked: Tensor, batch: TrainingBatch, config: LossConfig
) -> dict[str, Tensor]:
    """The parts of the second stage's loss and their sum, ``loss``. ``masked`` (b, g, g): which codes were hidden."""
    shown = _sum(batch.crops.visible) > 0
    weight = batch.counted * batch.crops.valid * torch.where(shown, 1.0, config.unseen)
    frames = weight.sum()
    parts = {}
    if output.codes is not None:
        codes = cross_entropy(
            rearrange(output.codes.float(), "b t g h n -> (b t g h) n"), target.flatten(), reduction="none"
        ).view_as(target)
        coded = weight[:, :, None, None] * masked[:, None]
        parts["codes"] = config.codes * mean_over_ranks((codes * coded).sum(), coded.sum())
    for name, logits, scale in (
        ("coarse", output.coarse, config.coarse),
        ("refined", output.refined, config.refined),
    ):
        whole, hidden, holds = mask_loss(logits, batch, config)
        parts[name] = scale * mean_over_ranks((whole * weight).sum(), frames)
        holds = holds * weight
        parts[f"{name}_hidden"] = scale * config.hidden * mean_over_ranks((hidden * holds).sum(), holds.sum())
    parts["loss"] = torch.stack(list(parts.values())).sum()
    return parts
