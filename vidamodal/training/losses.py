"""Losses of masks, codes and presence: sums over a batch, divided by the counts of a step on all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

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
    """Weights of the parts of the loss."""

    codes: float = 0.1
    """Cross-entropy of the masked amodal codes (C2F-Seg, Eq. 6)."""
    coarse: float = 0.5
    """Mask losses of the softly decoded coarse mask."""
    refined: float = 1.0
    """Mask losses of the head's mask (Eq. 10, the amodal term)."""
    dice: float = 1.0
    """Dice of the whole mask, relative to its BCE."""
    hidden: float = 0.75
    """Dice outside the visible mask, in frames where the object is occluded: what occ and hidden measure."""
    hidden_share: float = 0.02
    """Smallest occluded share of an object with which the hidden loss counts."""
    unseen: float = 1.0
    """Weight of an object-frame in which the object is fully occluded, relative to one in which it is visible."""
    gone: float = 0.0
    """Weight of an object-frame in which nothing of the object is inside the image, where its mask shall be empty."""
    presence: float = 0.2
    """Cross-entropy of the presence, for a model that predicts it."""
    absent: float = 2.0
    """Weight in it of an object-frame without the object, relative to one in which the object is fully occluded."""
    evident: float = 0.1
    """Weight in it of an object-frame with a visible mask, where the presence is evident."""


def divisors(counts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the divisors of sums over a batch.

    They are the counts of all batches on all ranks, divided by the number of ranks: DDP and FSDP average gradients, so
    that a step has the gradients of one process that trains on everything at once.

    Args:
        counts: The counts of each of this process's batches of a step.
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
    """Return BCE + Dice of each object-frame, and Dice outside the visible mask, both inside the image."""
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
    """Weights of object-frames and codes in the parts of the loss."""

    whole: Float[Tensor, "b t"]
    """Weights of object-frames in the loss of the whole mask."""
    hidden: Float[Tensor, "b t"]
    """Weights of object-frames in the loss outside the visible mask."""
    codes: Float[Tensor, "b t g g"]
    """Weights of codes; only masked ones count."""
    presence: Float[Tensor, "b t"]
    """Weights of object-frames in the loss of the presence."""

    @staticmethod
    def of(batch: TrainingBatch, masked: Bool[Tensor, "b t g g"] | None, config: LossConfig) -> Weights:
        """Return the weights for a batch and its masked codes (None: no codes are predicted).

        Frames in which all codes are known have no weight.
        """
        shown = _sum(batch.crops.visible) > 0
        valid = batch.crops.valid.float()
        if masked is None:
            masked = batch.counted.new_zeros(*batch.counted.shape, 1, 1).bool()
        else:
            valid = valid * masked.flatten(2).any(dim=2)
        whole = valid * (batch.counted * torch.where(shown, 1.0, config.unseen) + batch.absent * config.gone)
        codes = whole[:, :, None, None] * masked
        # Neither present nor absent: object-frames of which a few pixels lie inside the image.
        presence = batch.counted * torch.where(shown, config.evident, 1.0) + batch.absent * config.absent
        return Weights(whole, whole * _partly_hidden(batch, config), codes, valid * presence)

    def counts(self) -> dict[str, Tensor]:
        """Return the sum of each kind of weights."""
        return {f.name: getattr(self, f.name).sum() for f in fields(self)}


def _partly_hidden(batch: TrainingBatch, config: LossConfig) -> Float[Tensor, "b t"]:
    """Return 1 for object-frames with enough of the object occluded, else 0."""
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
    """Return the losses of the codes (Eq. 6) and of the coarse mask.

    Args:
        output: Predictions of the model.
        target: Codes of the amodal masks; None for a model without tokens.
        batch: The ground truth.
        weights: Weights of object-frames and codes.
        divide: See `divisors`.
        config: Weights of the parts.
    """
    parts = {}
    if output.codes is not None and target is not None:
        logits = rearrange(output.codes.float(), "b t g h n -> (b t g h) n")
        codes = cross_entropy(logits, target.flatten(), reduction="none").view_as(target)
        parts["codes"] = config.codes * (codes * weights.codes).sum() / divide["codes"]
    whole, hidden = mask_loss(output.coarse, batch, config)
    return parts | _scaled("coarse", config.coarse, whole, hidden, weights, divide, config)


def presence_loss(
    logits: Float[Tensor, "b t"] | None,
    batch: TrainingBatch,
    weights: Weights,
    divide: Mapping[str, Tensor],
    config: LossConfig,
) -> dict[str, Tensor]:
    """Return the loss of the presence; none for a model that does not predict it."""
    if logits is None:
        return {}
    each = binary_cross_entropy_with_logits(logits.float(), batch.present, reduction="none")
    return {"presence": config.presence * (each * weights.presence).sum() / divide["presence"]}


def refined_loss(
    head: FramewiseHead,
    logits: Float[Tensor, "b t s s"],
    batch: TrainingBatch,
    weights: Weights,
    divide: Mapping[str, Tensor],
    config: LossConfig,
) -> dict[str, Tensor]:
    """Return the losses of a head's mask; a head may define the loss that replaces BCE + Dice."""
    whole, hidden = mask_loss(logits, batch, config)
    head_loss = head.loss(logits, batch.amodal, batch.crops.inside)
    return _scaled(
        "refined", config.refined, whole if head_loss is None else head_loss, hidden, weights, divide, config
    )


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
