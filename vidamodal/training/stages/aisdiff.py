"""The two stages of AISDiff: DiffSP learns to paint objects, then all that stands on it learns together (Eq. 1).

Their losses are means over a step, and all random numbers of a clip follow from its seed; see `training.stages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig
from vidamodal.data.instance_frames import InstanceFrames
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.segmenters.aisdiff.model import AISDiffSegmenter
from vidamodal.training.losses import LossConfig
from vidamodal.training.stages.ours import MicroStep


class InstanceStage(nn.Module):
    """A stage that learns from frames with their instances."""

    def __init__(self, model: AISDiffSegmenter) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)

    def data(self, worlds: str, seed: int, _clips: int, last: int, sample: ClipConfig) -> InstanceFrames:
        bank = load_bank(worlds, seed, pixels=True)
        return InstanceFrames(bank, seed, last, sample, self.model.size, self.model.config.labels)

    def _regions(self, batch: FrameGroundTruth) -> Tensor:
        """How many of them there are to learn from."""
        return batch.valid.sum(dim=1).clamp_max(self.model.config.learning_regions).sum()


class PaintingStage(InstanceStage):
    """Stage 1: DiffSP learns to paint objects whole."""

    name = "diffsp"

    def __init__(self, model: AISDiffSegmenter, _config: LossConfig) -> None:
        super().__init__(model)
        assert model.prior is not None
        model.prior.requires_grad_(True)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        assert self.model.prior is not None and self.model.prior.own is not None
        return (cast(nn.Module, self.model.prior.own.unet),)

    def counts(self, batch: FrameGroundTruth, _seeds: Sequence[int]) -> dict[str, Tensor]:
        return {"regions": self._regions(batch)}

    def forward(self, batch: FrameGroundTruth, step: MicroStep) -> dict[str, Tensor]:
        total = self.model.inpainting_loss(batch, self.model.config.learning_regions, Noise.of(*step.seeds))
        return {"loss": total / step.divide["regions"]}


class DetectionStage(InstanceStage):
    """Stage 2: detector, branches and amodal predictor learn together, or the detector alone where no regions are
    learnt from; DiffSP stays as it is."""

    name = "segmenter"

    def __init__(self, model: AISDiffSegmenter, _config: LossConfig) -> None:
        super().__init__(model)
        (model if model.config.learning_regions else model.detector).requires_grad_(True)
        if model.prior is not None:
            model.prior.requires_grad_(False)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        model = self.model
        branches = (model.occluding, model.visible, model.amodal) if model.config.learning_regions else ()
        return tuple(m for m in (model.detector, *branches) if m is not None)

    def counts(self, batch: FrameGroundTruth, _seeds: Sequence[int]) -> dict[str, Tensor]:
        targets = self.model.detector.targets(batch.boxes, batch.valid)
        return {
            "places": (targets.object >= 0).sum(),
            "sides": targets.centerness.sum(),
            "regions": self._regions(batch),
        }

    def forward(self, batch: FrameGroundTruth, step: MicroStep) -> dict[str, Tensor]:
        sums = self.model.losses(batch, self.model.config.learning_regions, Noise.of(*step.seeds))
        parts = {name: total / step.divide[name if name in step.divide else "regions"] for name, total in sums.items()}
        return parts | {"loss": torch.stack(list(parts.values())).sum()}
