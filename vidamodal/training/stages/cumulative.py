"""Cumulative occlusion learning: a segmenter of frames learns their layers from front to back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vidamodal.data.banks import Bank, load_bank
from vidamodal.data.layer_frames import LayerBatch, LayerClips, measure_limits
from vidamodal.noise import Noise
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.training.family import Notes, SegmenterFamily
from vidamodal.training.losses import LossConfig
from vidamodal.training.stage import MicroStep, SampleRequest, Stage

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig


@dataclass(frozen=True)
class CumulativeFamily(SegmenterFamily):
    """Segmenter of cumulative occlusion learning."""

    ID = "cumulative"
    family: Literal["cumulative"] = "cumulative"
    network: dict[str, Any] = field(default_factory=dict)

    def complete_settings(self, settings: Any, bank: Bank, config: TrainConfig) -> tuple[Any, Notes]:
        """Return the settings with N_max and Area_min of the training data (Algorithm 2)."""
        limits = measure_limits(bank, config.seed, config.stages[-1].sample, settings.size)
        complete = dataclasses.replace(
            settings,
            most_layers=settings.most_layers or limits.most_layers,
            least_area=settings.least_area or limits.least_area,
        )
        return complete, {"limits": dataclasses.asdict(limits)}

    def describe(self, model: Any) -> str:
        """Return the limits on layers and areas."""
        settings = model.config
        return f"layer by layer: at most {settings.most_layers} layers, objects of at least {settings.least_area} cells"


class LayersStage(Stage[LayerBatch]):
    """The segmenter learns each layer of a frame given the true layers in front (Cumulative Occlusion, Algorithm 1)."""

    ID = "layers"
    families = ("cumulative",)
    name = "segmenter"

    def __init__(self, model: CumulativeSegmenter, _loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.model = model

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The denoising UNet."""
        return (self.model.denoise,)

    def data(self, request: SampleRequest) -> LayerClips:
        """Return random layers of frames."""
        bank = load_bank(request.worlds, request.seed, pixels=True)
        settings = self.model.config
        return LayerClips(bank, request.seed, request.samples, request.sample, self.model.size, settings.omitted)

    def counts(self, batch: LayerBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the number of layers."""
        return {"layers": torch.ones_like(batch.number).sum()}

    def forward(self, batch: LayerBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the diffusion loss."""
        noise = Noise.of(*step.seeds)
        losses = self.model.layer_losses(batch.image, batch.cumulative, batch.number, batch.mask, noise)
        return {"loss": losses.sum() / step.divide["layers"]}
