"""Training of this project's model: first the tokenizer, then transformer and head with the tokenizer frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vidamodal.config import build
from vidamodal.data.clips import TrainingBatch
from vidamodal.heads.base import find_head
from vidamodal.models.amodal import AmodalModel, AmodalOutput, ModelConfig
from vidamodal.models.c2f.model import C2F
from vidamodal.noise import Noise
from vidamodal.training.family import MaskFamily
from vidamodal.training.losses import LossConfig, Weights, amodal_loss, presence_loss, refined_loss
from vidamodal.training.stage import ClipStage, MicroStep, apply_by_clip, generators

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig


@dataclass(frozen=True)
class AmodalFamily(MaskFamily):
    """Tokenizer, spatio-temporal transformer and framewise head."""

    ID = "amodal"
    family: Literal["amodal"] = "amodal"
    network: ModelConfig = field(default_factory=ModelConfig)
    head: dict[str, Any] = field(default_factory=dict)
    """Settings of the head that ``network.head`` names."""

    def new_model(self, _config: TrainConfig) -> AmodalModel:
        """Return a model with random weights."""
        return AmodalModel(self.network, build(find_head(self.network.head).config_class, self.head, "model.head"))


class TokenizerStage(ClipStage):
    """Stage 1: the tokenizer learns to reconstruct amodal masks, BCE + Dice + commitment (C2F-Seg, Eqs. 1 and 2)."""

    ID = "tokenizer"
    families: ClassVar[tuple[str, ...]] = ("amodal", "c2f")
    name = "tokenizer"

    def __init__(self, model: AmodalModel | C2F, _loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.view = model.view
        self.tokenizer = model.tokenizer
        self.tokenizer.prepare_training()
        self.tokenizer.requires_grad_(True)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Encoder and decoder; the codebook is not compiled."""
        return self.tokenizer.encoder, self.tokenizer.decoder

    def counts(self, batch: TrainingBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the counts of object-frames and batches."""
        return {"frames": batch.counted.sum(), "batches": torch.ones_like(batch.counted[0, 0])}

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the loss of reconstructing the amodal masks, their IoU and the number of codes in use."""
        masks = rearrange(batch.amodal, "b t s r -> (b t) s r")
        logits, codes, commitment = self.tokenizer(masks, step.last)
        inside = torch.sigmoid(logits)
        weight = batch.counted.flatten() / step.divide["frames"]
        bce = binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2))
        dice = 1 - (2 * (inside * masks).sum(dim=(1, 2)) + 1) / (inside.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)
        return {
            "loss": ((4 * bce + dice) * weight).sum() + commitment / step.divide["batches"],
            "iou": (mask_iou(logits > 0, masks > 0.5) * weight).sum().detach(),
            "codes_used": count_codes(codes) / step.divide["batches"],
        }


def mask_iou(predicted: Bool[Tensor, "n s s"], truth: Bool[Tensor, "n s s"]) -> Float[Tensor, " n"]:
    """Return the IoU of each pair of masks; 0 if both are empty."""
    both, either = predicted & truth, predicted | truth
    return both.sum(dim=(1, 2)) / either.sum(dim=(1, 2)).clamp_min(1)


def count_codes(codes: Int[Tensor, "n g g"]) -> int:
    """Return the number of different codes."""
    return len(torch.unique(codes))


class AmodalStage(ClipStage):
    """Stage 2: transformer and head learn together on the frozen tokenizer; the head sees the predicted coarse masks.

    C2F-Seg (section 3.3) masks 50 to 100 % of the codes. Here most samples have all codes masked, since this is the
    input of one-pass prediction; the others have 50 to 100 % masked, at the same positions in all frames so
    that codes cannot be copied from neighbouring frames. Some tracks have anchors: one or two frames in which all codes
    are known, from which the others are completed.
    """

    ID = "amodal"
    families = ("amodal",)
    name = "amodal"
    validates = True
    FULLY_MASKED = 0.85
    """Share of the samples in which all codes are masked."""
    ANCHORED = 0.3
    """Share of the tracks with anchors."""

    def __init__(self, model: AmodalModel, loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.view, self.model, self.loss = model.view, model, loss
        model.tokenizer.requires_grad_(False)

    def train(self, mode: bool = True) -> AmodalStage:
        """Set the training mode of all but the tokenizer, whose codebook must not be updated."""
        super().train(mode)
        self.model.tokenizer.eval()
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The transformer and the networks of the head."""
        return self.model.transformer, *self.model.head.networks

    def counts(self, batch: TrainingBatch, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the weights of the parts of the loss."""
        return Weights.of(batch, self._mask_codes(batch, seeds), self.loss).counts()

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the losses of codes (Eq. 6), coarse mask, refined mask (Eq. 10) and presence."""
        masked = self._mask_codes(batch, step.seeds)
        target = known = None
        if self.model.config.transformer.tokens:
            target = self.model.encode(batch.amodal)
            known = torch.where(masked, self.model.transformer.mask_code, target)
        codes, inputs, presence = self.model.predict_coarse(batch.crops, Noise.of(*step.seeds), known)
        refined = self.model.head.training_logits(inputs, batch.amodal)
        output = AmodalOutput(codes, inputs.coarse, refined, presence)
        weights = Weights.of(batch, masked, self.loss)
        parts = amodal_loss(output, target, batch, weights, step.divide, self.loss)
        parts |= refined_loss(self.model.head, output.refined, batch, weights, step.divide, self.loss)
        parts |= presence_loss(output.presence, batch, weights, step.divide, self.loss)
        return parts | {"loss": torch.stack(list(parts.values())).sum()}

    def _mask_codes(self, batch: TrainingBatch, seeds: Sequence[int]) -> Bool[Tensor, "b t g g"]:
        grid = self.model.config.tokenizer.grid
        share = self.ANCHORED * self.model.config.transformer.tokens

        def sample(usable: Tensor, random: torch.Generator) -> Tensor:
            ratio = 0.5 + 0.5 * torch.rand(len(usable), 1, 1, generator=random)
            ratio[torch.rand(len(usable), generator=random) < self.FULLY_MASKED] = 1.0
            masked = torch.rand(len(usable), grid, grid, generator=random) < ratio
            return masked[:, None] & ~_choose_anchors(usable, share, random)[:, :, None, None]

        usable = (batch.annotated > 0) & batch.crops.valid
        return apply_by_clip(sample, usable.cpu(), generators(seeds)).to(batch.counted.device)


def _choose_anchors(usable: Bool[Tensor, "b t"], share: float, random: torch.Generator) -> Bool[Tensor, "b t"]:
    """Choose one or two usable frames of a share of the tracks."""
    count = torch.randint(1, 3, (len(usable), 1), generator=random)
    count[torch.rand(len(usable), generator=random) >= share] = 0
    rank = (torch.rand(usable.shape, generator=random) * usable).argsort(dim=1, descending=True).argsort(dim=1)
    return (rank < count) & usable
