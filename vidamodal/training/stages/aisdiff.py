"""AISDiff: DiffSP learns to paint whole objects, then detector, branches and amodal predictor learn (Eq. 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from vidamodal.data.banks import Bank, load_bank
from vidamodal.data.instance_frames import InstanceFrames, vocabulary
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.segmenters.aisdiff.model import AISDiffSegmenter
from vidamodal.training.family import Notes, SegmenterFamily
from vidamodal.training.losses import LossConfig
from vidamodal.training.stage import MicroStep, SampleRequest, Stage

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig


@dataclass(frozen=True)
class AISDiffFamily(SegmenterFamily):
    """Segmenter of AISDiff."""

    ID = "aisdiff"
    family: Literal["aisdiff"] = "aisdiff"
    network: dict[str, Any] = field(default_factory=dict)

    def complete_settings(self, settings: Any, bank: Bank, _config: TrainConfig) -> tuple[Any, Notes]:
        """Return the settings with the labels of the training data as categories."""
        return dataclasses.replace(settings, labels=settings.labels or vocabulary(bank)), {}

    def describe(self, model: Any) -> str:
        """Return the number of categories."""
        return f"each with one of {len(model.config.labels)} categories"


class InstanceStage(Stage[FrameGroundTruth]):
    """A stage that learns from frames with their instances."""

    def __init__(self, model: AISDiffSegmenter, _loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.model = model
        model.requires_grad_(False)

    def data(self, request: SampleRequest) -> InstanceFrames:
        """Return frames with their instances."""
        bank = load_bank(request.worlds, request.seed, pixels=True)
        labels = self.model.config.labels
        return InstanceFrames(bank, request.seed, request.samples, request.sample, self.model.size, labels)

    def _count_regions(self, batch: FrameGroundTruth) -> Tensor:
        """Return the number of objects that the branches learn from."""
        return batch.valid.sum(dim=1).clamp_max(self.model.config.learning_regions).sum()


class PaintingStage(InstanceStage):
    """Stage 1: DiffSP learns to paint whole objects. Skipped if the model has no DiffSP, or a pretrained one."""

    ID = "painting"
    families = ("aisdiff",)
    name = "diffsp"

    def __init__(self, model: AISDiffSegmenter, loss: LossConfig) -> None:
        super().__init__(model, loss)
        assert model.prior is not None
        model.prior.requires_grad_(True)

    @classmethod
    def applies_to(cls, model: nn.Module) -> bool:
        """Return whether the model has a DiffSP to train."""
        assert isinstance(model, AISDiffSegmenter)
        return model.trains_prior

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The denoising UNet."""
        assert self.model.prior is not None and self.model.prior.own is not None
        return (cast(nn.Module, self.model.prior.own.unet),)

    def counts(self, batch: FrameGroundTruth, _seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the number of objects in the batch."""
        return {"regions": self._count_regions(batch)}

    def forward(self, batch: FrameGroundTruth, step: MicroStep) -> dict[str, Tensor]:
        """Return the diffusion loss."""
        total = self.model.inpainting_loss(batch, self.model.config.learning_regions, Noise.of(*step.seeds))
        return {"loss": total / step.divide["regions"]}


class DetectionStage(InstanceStage):
    """Stage 2: detector, branches and amodal predictor learn together on the frozen DiffSP.

    The detector learns alone if the model's ``learning_regions`` is 0.
    """

    ID = "detection"
    families = ("aisdiff",)
    name = "segmenter"

    def __init__(self, model: AISDiffSegmenter, loss: LossConfig) -> None:
        super().__init__(model, loss)
        alone = model.config.learning_regions == 0
        (model.detector if alone else model).requires_grad_(True)
        if alone:  # the map for regions has no loss, and DDP waits for the gradient of every weight
            for convolutions in (model.detector.lateral, model.detector.smooth):
                convolutions[0].requires_grad_(False)
        if model.prior is not None:
            model.prior.requires_grad_(False)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Detector and branches."""
        model = self.model
        branches = (model.occluding, model.visible, model.amodal) if model.config.learning_regions else ()
        return tuple(network for network in (model.detector, *branches) if network is not None)

    def counts(self, batch: FrameGroundTruth, _seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the numbers of positive locations, of locations that regress boxes, and of regions."""
        targets = self.model.detector.targets(batch.boxes, batch.valid)
        return {
            "places": (targets.object >= 0).sum(),
            "sides": targets.centerness.sum(),
            "regions": self._count_regions(batch),
        }

    def forward(self, batch: FrameGroundTruth, step: MicroStep) -> dict[str, Tensor]:
        """Return the terms of Eq. 1 and their sum."""
        sums = self.model.losses(batch, self.model.config.learning_regions, Noise.of(*step.seeds))
        parts = {name: total / step.divide[name if name in step.divide else "regions"] for name, total in sums.items()}
        return parts | {"loss": torch.stack(list(parts.values())).sum()}
