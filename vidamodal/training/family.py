"""Model families: how a run's ``model`` section becomes a model, and how the trained model is saved."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor

from vidamodal.config import Variants, build, merge
from vidamodal.data.banks import Bank, load_bank
from vidamodal.formats import find_dataset
from vidamodal.heads.base import FramewiseHead
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import (
    Model,
    check_settings,
    load_model,
    load_segmenter,
    load_weights,
    save_model,
    save_segmenter,
)
from vidamodal.models.framewise import FramewiseModel
from vidamodal.models.transformer import Block, TransformerConfig
from vidamodal.registry import find_classes
from vidamodal.segmenters.base import FrameSegmenter, find_segmenter
from vidamodal.types import InputError

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig

Learner = Model | FrameSegmenter
Notes = dict[str, Any]
"""Facts about the training data that are saved with the model."""


class Family(Variants, ABC):
    """The ``model`` section of a run: a frozen dataclass with a ``family`` field, one for each family of models."""

    discriminator = "family"
    ID: ClassVar[str]

    @classmethod
    def variant(cls, name: str) -> type:
        """Return the family with this id. Raises InputError if there is none."""
        import vidamodal.training.stages

        families = find_classes(vidamodal.training.stages, Family)  # type: ignore[type-abstract]
        if name not in families:
            raise InputError(f"there is no model family {name!r}. Choose one of {', '.join(families)}.")
        return families[name]

    def check(self, config: TrainConfig) -> None:
        """Raise InputError for a config that cannot work, before anything is built."""

    @abstractmethod
    def create(self, config: TrainConfig) -> tuple[Any, Notes]:
        """Return a model with its initial weights."""

    @abstractmethod
    def check_model(self, config: TrainConfig, model: Any) -> None:
        """Raise InputError, before the run begins, if the config asks for what this model cannot do."""

    @abstractmethod
    def save(self, folder: Path, model: Any, config: TrainConfig, training: Mapping[str, Any]) -> None:
        """Write the model folder."""

    def training_record(self, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values that `save` got as ``training`` from the config.json that it wrote."""
        record: Mapping[str, Any] = saved["training"]
        return record


class MaskFamily(Family):
    """Models that complete given visible masks."""

    @abstractmethod
    def new_model(self, config: TrainConfig) -> Model:
        """Return a model with random weights."""

    def create(self, config: TrainConfig) -> tuple[Model, Notes]:
        """Return a model with random weights, the pretrained ones that its config names, or those of ``init``."""
        model = self.new_model(config)
        if config.init is None:
            self.load_pretrained(model)
        else:
            load_initial_weights(model, config.init)
        return model, {}

    def load_pretrained(self, model: Model) -> None:
        """Load the pretrained weights that the model's config names."""
        assert isinstance(model.head, FramewiseHead)
        model.head.load_pretrained()

    def check_model(self, config: TrainConfig, model: Model) -> None:
        """Reject settings that prediction cannot use, and validation clips without the images that the model reads."""
        check_settings(model.config, config.name)
        if config.validation is not None:
            clip = next(iter(find_dataset(Path(config.validation)).clips.values()))
            if model.view.pixels and clip.frames() is None:
                raise InputError(
                    f"validation: {config.validation} has no images, but this model reads pixels. Add them."
                )

    def save(self, folder: Path, model: Model, config: TrainConfig, training: Mapping[str, Any]) -> None:
        """Write the model folder with a model card."""
        view, sample = model.view, config.stages[-1].sample
        optional = " and depth where it is known" if view.depth else ""
        reads = "masks and pixels" if view.pixels else "masks (no pixels)" if optional else "masks alone (no pixels)"
        task = f"reads {reads}{optional} in windows of {view.cells} x {view.cells} cells"
        card = model_card(
            config, model, task, f"{sample.tracks * sample.frames * config.stages[-1].clips} object-frames"
        )
        save_model(folder, model, training, card)


class SegmenterFamily(Family):
    """Segmenters of frames without masks. With ``init``, the settings given here override those of that model."""

    network: dict[str, Any]

    def check(self, config: TrainConfig) -> None:
        """Reject validation, which scores the completion of given masks."""
        if config.validation is not None:
            raise InputError("validation: segmenters are not validated during training. Remove this setting.")

    def create(self, config: TrainConfig) -> tuple[FrameSegmenter, Notes]:
        """Return a segmenter with random weights or those of ``init``; open settings are taken from the data."""
        kind, settings, initial = find_segmenter(self.ID), self.network, None
        if config.init is not None:
            initial = load_segmenter(config.init, self.ID).model
            settings = merge(dataclasses.asdict(initial.config), settings)
        complete, notes = self.complete_settings(
            build(kind.config_class, settings, "model.network"),
            load_bank(config.worlds, config.seed, pixels=False),
            config,
        )
        segmenter = kind(complete)
        if initial is None:
            segmenter.load_pretrained()
        else:
            state = initial.state_dict()
            fresh = segmenter.initialize_as_identity(set(segmenter.state_dict()) - set(state))
            load_weights(segmenter, state, str(config.init), fresh)
        return segmenter, notes

    @abstractmethod
    def complete_settings(self, settings: Any, bank: Bank, config: TrainConfig) -> tuple[Any, Notes]:
        """Return the settings with those that were left open, taken from the training data."""

    @abstractmethod
    def describe(self, model: Any) -> str:
        """Describe the segmenter's output for its model card."""

    def check_model(self, config: TrainConfig, model: FrameSegmenter) -> None:
        """Accept every segmenter."""

    def save(self, folder: Path, model: FrameSegmenter, config: TrainConfig, training: Mapping[str, Any]) -> None:
        """Write the model folder with a model card."""
        task = f"finds the objects of frames, resized to {model.size} x {model.size} cells, {self.describe(model)}"
        stage = config.stages[-1]
        card = model_card(config, model, task, f"{stage.clips * stage.sample.frames} frames")
        save_segmenter(folder, model, training, card)


def model_card(config: TrainConfig, model: Learner, task: str, step: str) -> str:
    """Return the model card: the model's task and training; ``step`` describes the samples of one step."""
    count = sum(parameter.numel() for parameter in model.parameters())
    sources, steps = (config.init or "").split(","), config.stages[-1].steps
    initial = f"Initialised from {sources[0]}. " if config.init else ""
    if len(sources) > 1:
        initial = f"Initialised from the mean of {', '.join(sources[:-1])} and {sources[-1]}. "
    trained = f"Trained on {config.worlds}, seed {config.seed}, {steps} steps of {step}. " if steps else ""
    return (
        f"# vidamodal {config.name}\n\n{count / 1e6:.2f} M parameters; {task}. {initial}{trained}"
        "config.json holds the whole training config.\n"
    )


def load_initial_weights(model: Model, init: str) -> None:
    """Load the weights of an earlier model, or the mean of several, separated by commas.

    They may have fewer blocks and inputs than the model, and may lack the presence. New blocks pass their input
    through and new inputs are ignored until training changes that.

    Raises:
        InputError: If a model cannot be read, or weights do not fit the model or one another.
    """
    state = _mean({source: _initial_state(model, source) for source in init.split(",")})
    new = set(model.state_dict()) - set(state)
    fresh = {name for name in new if name.startswith(("transformer.extra.", "transformer.presence.", "head.extra."))}
    for number, block in enumerate([] if isinstance(model, FramewiseModel) else model.transformer.blocks):
        within = {name for name in new if name.startswith(f"transformer.blocks.{number}.")}
        if isinstance(block, Block) and within:
            block.initialize_as_identity()
            fresh |= within
    load_weights(model, state, init, fresh)


def _initial_state(model: Model, source: str) -> Mapping[str, Tensor]:
    """Return the weights of an earlier model with the inputs of this one."""
    initial = load_model(source, model.config.head).model
    state = initial.state_dict()
    if isinstance(model, AmodalModel) and isinstance(initial, AmodalModel):
        return _with_extra_inputs(state, initial.config.transformer, model.config.transformer)
    return state


def _mean(states: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Return the mean of the weights of several models."""
    (first, state), *others = states.items()
    shapes = {name: value.shape for name, value in state.items()}
    for source, other in others:
        if {name: value.shape for name, value in other.items()} != shapes:
            raise InputError(
                f"init: the weights of {first} and {source} have no mean, because their names or shapes differ. "
                "Choose models of one config."
            )
    return {
        name: torch.stack([other[name] for other in states.values()]).mean(0) if value.is_floating_point() else value
        for name, value in state.items()
    }


def _with_extra_inputs(
    state: Mapping[str, Tensor], before: TransformerConfig, after: TransformerConfig
) -> dict[str, Tensor]:
    """Return weights whose `transformer.extra` reads the inputs of ``after``; weights of new inputs are zero."""
    state, name = dict(state), "transformer.extra.weight"
    if name in state and set(before.extra_planes) <= set(after.extra_planes):
        old = rearrange(state[name], "d (planes fold) p q -> planes d fold p q", fold=4)
        new = old.new_zeros(len(after.extra_planes), *old.shape[1:])
        for plane, weights in zip(before.extra_planes, old, strict=True):
            new[after.extra_planes.index(plane)] = weights
        state[name] = rearrange(new, "planes d fold p q -> d (planes fold) p q")
    return state
