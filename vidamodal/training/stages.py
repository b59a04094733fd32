"""The two stages of training, each a module whose forward gives losses, so that DDP sees every gradient."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vidamodal.data.clips import TrainingBatch
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import Model
from vidamodal.training.losses import LossConfig, amodal_loss, mean_over_ranks


class TokenizerStage(nn.Module):
    """Stage 1: the tokenizer learns to reconstruct whole masks, BCE + Dice + commitment (C2F-Seg, Eqs. 1 and 2)."""

    name = "tokenizer"

    def __init__(self, model: Model, _config: LossConfig) -> None:
        super().__init__()
        self.tokenizer = model.tokenizer
        self.tokenizer.requires_grad_(True)

    def forward(self, batch: TrainingBatch, _generator: torch.Generator) -> dict[str, Tensor]:
        masks = rearrange(batch.amodal, "b t s r -> (b t) s r")
        logits, codes, commitment = self.tokenizer(masks)
        inside = torch.sigmoid(logits)
        weight = batch.counted.flatten()
        bce = binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2))
        dice = 1 - (2 * (inside * masks).sum(dim=(1, 2)) + 1) / (inside.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)
        hard, truth = logits > 0, masks > 0.5
        iou = (hard & truth).sum(dim=(1, 2)) / (hard | truth).sum(dim=(1, 2)).clamp_min(1)
        frames = weight.sum()
        loss = mean_over_ranks(((4 * bce + dice) * weight).sum(), frames) + commitment
        return {
            "loss": loss,
            "iou": mean_over_ranks((iou * weight).sum(), frames).detach(),
            "codes_used": cast(Tensor, codes.unique().numel() + torch.zeros((), device=loss.device)),
        }


class AmodalStage(nn.Module):
    """Stage 2: transformer and head learn together on the frozen tokenizer; the head sees the model's own coarse masks.

    Masking (C2F-Seg, section 3.3, takes 50 to 100 % uniformly): all codes are masked in most samples, since that is
    what one-pass prediction sees; else 50 to 100 %, the same places in all frames, or neighbours give them away.
    """

    name = "amodal"
    ALL_MASKED = 0.85

    def __init__(self, model: AmodalModel, config: LossConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        model.tokenizer.requires_grad_(False)

    def train(self, mode: bool = True) -> AmodalStage:
        super().train(mode)
        self.model.tokenizer.eval()  # the codebook stays as it is
        return self

    def forward(self, batch: TrainingBatch, generator: torch.Generator) -> dict[str, Tensor]:
        target = self.model.encode(batch.amodal)
        masked = self._mask(target, generator)
        known = torch.where(masked[:, None], self.model.transformer.mask_code, target)
        output = self.model(batch.crops, known)
        return amodal_loss(output, target, masked, batch, self.config)

    def _mask(self, target: Tensor, generator: torch.Generator) -> Tensor:
        tracks, grid = len(target), target.shape[-1]
        ratio = 0.5 + 0.5 * torch.rand(tracks, 1, 1, generator=generator)
        ratio[torch.rand(tracks, generator=generator) < self.ALL_MASKED] = 1.0
        return (torch.rand(tracks, grid, grid, generator=generator) < ratio).to(target.device)
