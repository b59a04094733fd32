"""Losses of the two stages. Each is a sum over a batch, divided by the count of all batches of a step, on any rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from vidamodal.data.clips import TrainingBatch
from vidamodal.heads.base import FramewiseHead
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


def divisors(counts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What sums over a batch are divided by, from the counts of each of this process's batches of a step.

    The count of all batches on all ranks, over the number of ranks: DDP and FSDP average gradients, and a step then
    has those of one process that sees everything at once.
    """
    names = sorted(counts[0])
    total = torch.stack([torch.stack([count[name].float() for name in names]) for count in counts]).sum(dim=0)
    ranks = 1
    if distributed.is_available() and distributed.is_initialized():
        ranks = distributed.get_world_size()
        distributed.all_reduce(total)
    return dict(zip(names, total.clamp_min(1) / ranks, strict=True))


def mask_loss(
    logits: Float[Tensor, "b t s s"], batch: TrainingBatch, config: LossConfig
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """BCE + Dice per object-frame, and Dice on the part that is not visible.

    Cells outside the image have no truth and no weight.
    """
    logits = logits.float()
    inside, truth = batch.crops.inside, batch.amodal
    bce = reduce(binary_cross_entropy_with_logits(logits, truth, reduction="none") * inside, "b t h w -> b t", "sum")
    bce = bce / reduce(inside, "b t h w -> b t", "sum").clamp_min(1)
    probability = torch.sigmoid(logits) * inside
    unseen = 1 - batch.crops.visible
    behind = (truth - batch.crops.visible).clamp_min(0)
    return bce + config.dice * _dice(probability, truth), _dice(probability * unseen, behind)


def _sum(maps: Float[Tensor, "b t h w"]) -> Float[Tensor, "b t"]:
    return reduce(maps, "b t h w -> b t", "sum")


def _dice(probability: Float[Tensor, "b t h w"], truth: Float[Tensor, "b t h w"]) -> Float[Tensor, "b t"]:
    return 1 - (2 * _sum(probability * truth) + 1) / (_sum(probability) + _sum(truth) + 1)


@dataclass(frozen=True)
class Weights:
    """How much each part of the second stage's loss counts where."""

    whole: Float[Tensor, "b t"]
    """Object-frames, for the whole mask."""
    hidden: Float[Tensor, "b t"]
    """Object-frames, for the part that is not visible."""
    codes: Float[Tensor, "b t g g"]
    """Codes that were masked."""

    @staticmethod
    def of(batch: TrainingBatch, masked: Bool[Tensor, "b g g"] | None, config: LossConfig) -> Weights:
        """From the batch and which codes were masked (None: there are none); nothing here depends on the model."""
        masked = batch.counted.new_zeros(len(batch.counted), 1, 1).bool() if masked is None else masked
        shown = _sum(batch.crops.visible) > 0
        whole = batch.counted * batch.crops.valid * torch.where(shown, 1.0, config.unseen)
        codes = whole[:, :, None, None] * masked[:, None]
        return Weights(whole, whole * _partly_hidden(batch, config), codes)

    def counts(self) -> dict[str, Tensor]:
        """The sum of each."""
        return {"whole": self.whole.sum(), "hidden": self.hidden.sum(), "codes": self.codes.sum()}


def _partly_hidden(batch: TrainingBatch, config: LossConfig) -> Float[Tensor, "b t"]:
    """1 where enough of an object is hidden, else 0."""
    behind = _sum((batch.amodal - batch.crops.visible).clamp_min(0))
    return ((behind >= config.hidden_share * _sum(batch.amodal)) & (behind >= 1)).float()


def amodal_loss(
    output: AmodalOutput,
    target: Int[Tensor, "b t g g"] | None,
    batch: TrainingBatch,
    weights: Weights,
    divide: Mapping[str, Tensor],
    config: LossConfig,
) -> dict[str, Tensor]:
    """The parts of the loss of codes and coarse mask. ``divide``: see `divisors`.

    ``target`` holds the true codes, None for a model that has no codes.
    """
    parts = {}
    if output.codes is not None and target is not None:
        logits = rearrange(output.codes.float(), "b t g h n -> (b t g h) n")
        codes = cross_entropy(logits, target.flatten(), reduction="none").view_as(target)
        parts["codes"] = config.codes * (codes * weights.codes).sum() / divide["codes"]
    whole, hidden = mask_loss(output.coarse, batch, config)
    return parts | _scaled("coarse", config.coarse, whole, hidden, weights, divide, config)


def refined_loss(
    head: FramewiseHead,
    logits: Float[Tensor, "b t s s"],
    batch: TrainingBatch,
    weights: Weights,
    divide: Mapping[str, Tensor],
    config: LossConfig,
) -> dict[str, Tensor]:
    """The parts of the loss of a head's mask: its own, if it has one, for BCE + Dice."""
    whole, hidden = mask_loss(logits, batch, config)
    own = head.loss(logits, batch.amodal, batch.crops.inside)
    return _scaled("refined", config.refined, whole if own is None else own, hidden, weights, divide, config)


def _scaled(
    name: str,
    scale: float,
    whole: Float[Tensor, "b t"],
    hidden: Float[Tensor, "b t"],
    weights: Weights,
    divide: Mapping[str, Tensor],
    config: LossConfig,
) -> dict[str, Tensor]:
    return {
        name: scale * (whole * weights.whole).sum() / divide["whole"],
        f"{name}_hidden": scale * config.hidden * (hidden * weights.hidden).sum() / divide["hidden"],
    }
