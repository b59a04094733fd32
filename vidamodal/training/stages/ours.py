"""The two stages of training, each a module whose forward gives losses, so that DDP sees every gradient.

Losses are means over a step, however many batches and processes share it, and all random numbers of a clip follow from
its seed: what is learnt does not depend on who trains on what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import torch
from einops import rearrange
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import Dataset

from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig, TrainingBatch, TrainingClips
from vidamodal.data.layer_frames import LayerBatch, LayerClips
from vidamodal.models.amodal import AmodalModel, AmodalOutput
from vidamodal.models.c2f.model import C2F
from vidamodal.models.framewise import FramewiseModel
from vidamodal.noise import Noise
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.training.losses import LossConfig, Weights, amodal_loss, divisors, refined_loss
from vidamodal.windows import View

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class MicroStep:
    """What a stage is told of one of the batches that make a step."""

    seeds: tuple[int, ...]
    """One for each clip of the batch; each clip has equally many of the tracks."""
    divide: Mapping[str, Tensor]
    """See `vidamodal.training.losses.divisors`."""
    last: bool
    """Whether no other batch follows before the weights change."""

    @staticmethod
    def alone(stage: Stage[Batch], batch: Batch, seeds: tuple[int, ...] = (0,)) -> MicroStep:
        """Of a step that has no other batch."""
        return MicroStep(seeds, divisors([stage.counts(batch, seeds)]), True)


class Stage(Protocol[Batch]):
    """What the trainer asks of a stage, which is a module besides."""

    name: str

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """What torch.compile may take."""
        ...

    def data(self, worlds: str, seed: int, clips: int, last: int, sample: ClipConfig) -> Dataset[Batch]:
        """``last`` samples of what it learns from, ``clips`` of them a step; samples are joined by their own `join`."""
        ...

    def counts(self, batch: Batch, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Over what of a batch losses are means."""
        ...

    def __call__(self, batch: Batch, step: MicroStep) -> dict[str, Tensor]:
        """The losses, ``loss`` being the one to learn from, divided so that those of all batches add up."""
        ...


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One for each clip."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def each_clip(
    draw: Callable[[Tensor, torch.Generator], Tensor], values: Tensor, randoms: Sequence[torch.Generator]
) -> Tensor:
    """What ``draw`` gives for every clip's tracks with that clip's generator, together again."""
    clips = values.chunk(len(randoms))
    return torch.cat([draw(clip, random) for clip, random in zip(clips, randoms, strict=True)])


class ClipStage(nn.Module):
    """A stage that learns from tracks of clips, looked at as a model does."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def data(self, worlds: str, seed: int, clips: int, last: int, sample: ClipConfig) -> TrainingClips:
        return TrainingClips(load_bank(worlds, seed, self.view.pixels), seed, clips, last, sample, self.view)


class TokenizerStage(ClipStage):
    """Stage 1: the tokenizer learns to reconstruct whole masks, BCE + Dice + commitment (C2F-Seg, Eqs. 1 and 2)."""

    name = "tokenizer"

    def __init__(self, model: AmodalModel | C2F, _config: LossConfig) -> None:
        super().__init__(model.view)
        self.tokenizer = model.tokenizer
        self.tokenizer.requires_grad_(True)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return self.tokenizer.encoder, self.tokenizer.decoder

    def counts(self, batch: TrainingBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        return {"frames": batch.counted.sum(), "batches": torch.ones_like(batch.counted[0, 0])}

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        masks = rearrange(batch.amodal, "b t s r -> (b t) s r")
        logits, codes, commitment = self.tokenizer(masks, step.last)
        inside = torch.sigmoid(logits)
        weight = batch.counted.flatten() / step.divide["frames"]
        bce = binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2))
        dice = 1 - (2 * (inside * masks).sum(dim=(1, 2)) + 1) / (inside.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)
        hard, truth = logits > 0, masks > 0.5
        iou = (hard & truth).sum(dim=(1, 2)) / (hard | truth).sum(dim=(1, 2)).clamp_min(1)
        return {
            "loss": ((4 * bce + dice) * weight).sum() + commitment / step.divide["batches"],
            "iou": (iou * weight).sum().detach(),
            "codes_used": cast(Tensor, codes.unique().numel() / step.divide["batches"]),
        }


class AmodalStage(ClipStage):
    """Stage 2: transformer and head learn together on the frozen tokenizer; the head sees the model's own coarse masks.

    Masking (C2F-Seg, section 3.3, takes 50 to 100 % uniformly): all codes are masked in most samples, since that is
    what one-pass prediction sees; else 50 to 100 %, the same places in all frames, or neighbours give them away.
    """

    name = "amodal"
    ALL_MASKED = 0.85

    def __init__(self, model: AmodalModel, config: LossConfig) -> None:
        super().__init__(model.view)
        self.model, self.config = model, config
        model.tokenizer.requires_grad_(False)

    def train(self, mode: bool = True) -> AmodalStage:
        super().train(mode)
        self.model.tokenizer.eval()  # the codebook stays as it is
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return self.model.transformer, self.model.head

    def counts(self, batch: TrainingBatch, seeds: Sequence[int]) -> dict[str, Tensor]:
        return Weights.of(batch, self._mask(batch, seeds), self.config).counts()

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        masked = self._mask(batch, step.seeds)
        target = known = None
        if self.model.config.transformer.tokens:
            target = self.model.encode(batch.amodal)
            known = torch.where(masked[:, None], self.model.transformer.mask_code, target)
        codes, inputs = self.model.look(batch.crops, Noise.of(*step.seeds), known)
        output = AmodalOutput(codes, inputs.coarse, self.model.head.training_logits(inputs, batch.amodal))
        weights = Weights.of(batch, masked, self.config)
        parts = amodal_loss(output, target, batch, weights, step.divide, self.config)
        parts |= refined_loss(self.model.head, output.refined, batch, weights, step.divide, self.config)
        return parts | {"loss": torch.stack(list(parts.values())).sum()}

    def _mask(self, batch: TrainingBatch, seeds: Sequence[int]) -> Bool[Tensor, "b g g"]:
        grid = self.model.config.tokenizer.grid

        def draw(tracks: Tensor, random: torch.Generator) -> Tensor:
            ratio = 0.5 + 0.5 * torch.rand(len(tracks), 1, 1, generator=random)
            ratio[torch.rand(len(tracks), generator=random) < self.ALL_MASKED] = 1.0
            return torch.rand(len(tracks), grid, grid, generator=random) < ratio

        return each_clip(draw, batch.counted, generators(seeds)).to(batch.counted.device)


class HeadStage(ClipStage):
    """A head learns by itself: on a model that stays as it is, or without one, from what is visible in each frame."""

    name = "amodal"

    def __init__(self, model: AmodalModel | FramewiseModel, config: LossConfig) -> None:
        super().__init__(model.view)
        self.model, self.config = model, config
        model.requires_grad_(False)
        model.head.requires_grad_(True)

    def train(self, mode: bool = True) -> HeadStage:
        super().train(False)
        self.model.head.train(mode)
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model.head,)

    def counts(self, batch: TrainingBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        return Weights.of(batch, None, self.config).counts()

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        with torch.no_grad():
            _, inputs = self.model.look(batch.crops, Noise.of(*step.seeds))
        logits = self.model.head.training_logits(inputs, batch.amodal)
        weights = Weights.of(batch, None, self.config)
        parts = refined_loss(self.model.head, logits, batch, weights, step.divide, self.config)
        return parts | {"loss": torch.stack(list(parts.values())).sum()}


class SegmenterStage(nn.Module):
    """A segmenter learns layers of frames, each with the true ones in front (Cumulative Occlusion, Algorithm 1)."""

    name = "segmenter"

    def __init__(self, model: CumulativeSegmenter, _config: LossConfig) -> None:
        super().__init__()
        self.model = model

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model.denoise,)

    def data(self, worlds: str, seed: int, _clips: int, last: int, sample: ClipConfig) -> LayerClips:
        bank = load_bank(worlds, seed, pixels=True)
        return LayerClips(bank, seed, last, sample, self.model.size, self.model.config.omitted)

    def counts(self, batch: LayerBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        return {"layers": torch.ones_like(batch.number).sum()}

    def forward(self, batch: LayerBatch, step: MicroStep) -> dict[str, Tensor]:
        noise = Noise.of(*step.seeds)
        losses = self.model.layer_losses(batch.image, batch.cumulative, batch.number, batch.mask, noise)
        return {"loss": losses.sum() / step.divide["layers"]}
