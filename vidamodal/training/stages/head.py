"""A further framewise head for a finished model, or a head that works without tokenizer and transformer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vidamodal.config import build
from vidamodal.data.clips import TrainingBatch
from vidamodal.heads.base import find_head
from vidamodal.hub import find_model
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import Model, add_head, load_model
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.noise import Noise
from vidamodal.training.family import MaskFamily, Notes
from vidamodal.training.losses import LossConfig, Weights, refined_loss
from vidamodal.training.stage import ClipStage, MicroStep
from vidamodal.types import InputError

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig


@dataclass(frozen=True)
class FramewiseFamily(MaskFamily):
    """A head that completes every frame by itself, without tokenizer and transformer."""

    ID = "framewise"
    family: Literal["framewise"] = "framewise"
    network: FramewiseConfig = field(default_factory=FramewiseConfig)
    head: dict[str, Any] = field(default_factory=dict)
    """Settings of the head that ``network.head`` names."""

    def new_model(self, _config: TrainConfig) -> FramewiseModel:
        """Return a model with random weights."""
        return FramewiseModel(self.network, build(find_head(self.network.head).config_class, self.head, "model.head"))


@dataclass(frozen=True)
class HeadFamily(MaskFamily):
    """An additional head for the model that ``init`` names, whose other weights and heads stay unchanged."""

    ID = "head"
    family: Literal["head"] = "head"
    name: str = "conv"
    """Id of the head."""
    head: dict[str, Any] = field(default_factory=dict)
    """Settings of the head."""

    def check(self, config: TrainConfig) -> None:
        """Reject a run whose ``init`` names no model that the head can be trained on."""
        if config.init is None:
            raise InputError("init: a head is trained on a finished model. Set init to its folder or name.")

    def new_model(self, config: TrainConfig) -> AmodalModel:
        """Return the model that ``init`` names, with the new head and its random weights."""
        settings: Any = build(find_head(self.name).config_class, self.head, "model.head")
        body = load_model(str(config.init)).model
        if not isinstance(body, AmodalModel):
            raise InputError(f"init: {config.init} cannot have a second head. Choose a model of the family 'amodal'.")
        model = AmodalModel(dataclasses.replace(body.config, head=self.name, temperature=1.0), settings)
        kept = {name: value for name, value in body.state_dict().items() if not name.startswith("head.")}
        model.load_state_dict(kept, strict=False)
        return model

    def create(self, config: TrainConfig) -> tuple[Model, Notes]:
        """Return the model, with pretrained weights where the head's settings name them."""
        model = self.new_model(config)
        self.load_pretrained(model)
        return model, {}

    def save(self, folder: Path, model: Model, config: TrainConfig, training: Mapping[str, Any]) -> None:
        """Write the model folder of ``init`` with the new head."""
        assert isinstance(model, AmodalModel)
        add_head(folder, find_model(str(config.init)), model, training)

    def training_record(self, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the record of the new head."""
        record: Mapping[str, Any] = saved["heads_training"][self.name]
        return record


class HeadStage(ClipStage):
    """A head learns alone: on a frozen model, or without one, from the visible mask of each frame."""

    ID = "head"
    families = ("framewise", "head")
    name = "amodal"
    validates = True

    def __init__(self, model: AmodalModel | FramewiseModel, loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.view, self.model, self.loss = model.view, model, loss
        model.requires_grad_(False)
        model.head.requires_grad_(True)

    def train(self, mode: bool = True) -> HeadStage:
        """Set the training mode of the head alone."""
        super().train(False)
        self.model.head.train(mode)
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks of the head."""
        return self.model.head.networks

    def counts(self, batch: TrainingBatch, _seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the weights of the parts of the loss."""
        return Weights.of(batch, None, self.loss).counts()

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the losses of the head's masks."""
        with torch.no_grad():
            inputs = self.model.predict_coarse(batch.crops, Noise.of(*step.seeds)).inputs
        logits = self.model.head.training_logits(inputs, batch.amodal)
        weights = Weights.of(batch, None, self.loss)
        parts = refined_loss(self.model.head, logits, batch, weights, step.divide, self.loss)
        return parts | {"loss": torch.stack(list(parts.values())).sum()}
