"""Stages of training: modules that give losses for the batches of a step, so that DDP sees every gradient.

Losses are means over a step, however many batches and processes share it, and all random numbers of a clip follow from
its seed, so that the result does not depend on how a step is divided. C2F-Seg is an exception: its batch normalisation
and the adaptive weight of its VQ-GAN depend on one batch of one process, and its dropout uses the global generator, as
does ``drop_path`` in the pyramid of a CondDiff head.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig, TrainingBatch, TrainingClips
from vidamodal.registry import find_classes
from vidamodal.training.losses import LossConfig
from vidamodal.types import InputError
from vidamodal.windows import View

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class MicroStep:
    """What a stage needs to know about one of the batches that make a step."""

    seeds: tuple[int, ...]
    """One seed for each clip of the batch; all clips have the same number of tracks."""
    divide: Mapping[str, Tensor]
    """Divisors of the sums over a batch: see `vidamodal.training.losses.divisors`."""
    last: bool
    """True for the last batch before the weights change."""


@dataclass(frozen=True)
class SampleRequest:
    """The training samples that a stage asks its data for."""

    worlds: str
    """Data sets, as in `TrainConfig.worlds`."""
    seed: int
    clips: int
    """Clips in each step, over all processes."""
    samples: int
    """Number of samples."""
    sample: ClipConfig


class Stage(nn.Module, Generic[Batch]):
    """A stage of training of one or more model families. Its parameters that require gradients are trained."""

    ID: ClassVar[str]
    """The ``kind`` in configs."""
    families: ClassVar[tuple[str, ...]]
    """Ids of the model families that it trains."""
    name: ClassVar[str]
    """Name of its checkpoints and metrics, which also enters the seed of its random numbers."""
    validates: ClassVar[bool] = False
    """True if the model predicts amodal masks while this stage runs, so that it can be validated."""

    @abstractmethod
    def __init__(self, model: Any, loss: LossConfig) -> None:
        """Choose the parameters of ``model`` that are trained, through `requires_grad_`."""
        super().__init__()

    @classmethod
    def applies_to(cls, _model: nn.Module) -> bool:
        """Return whether this model has anything for the stage to train; the stage is skipped otherwise."""
        return True

    @property
    @abstractmethod
    def networks(self) -> tuple[nn.Module, ...]:
        """Networks that torch.compile may compile."""

    @abstractmethod
    def data(self, request: SampleRequest) -> Dataset[Batch]:
        """Return the training samples, which their ``join`` method collates."""

    @abstractmethod
    def counts(self, batch: Batch, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the counts of a batch over which losses are averaged."""

    @abstractmethod
    def forward(self, batch: Batch, step: MicroStep) -> dict[str, Tensor]:
        """Return the losses of a batch, divided so that those of all batches of a step add up.

        ``loss`` is minimised; the others are logged.
        """


class ClipStage(Stage[TrainingBatch]):
    """A stage that trains on cropped tracks of clips."""

    view: View

    def data(self, request: SampleRequest) -> TrainingClips:
        """Return samples in the windows that the model sees."""
        bank = load_bank(request.worlds, request.seed, self.view.pixels)
        return TrainingClips(bank, request.seed, request.clips, request.samples, request.sample, self.view)


def find_stage(kind: str, family: str) -> type[Stage[Any]]:
    """Return the stage of this kind.

    Raises:
        InputError: If there is none for models of this family.
    """
    import vidamodal.training.stages

    stages = find_classes(vidamodal.training.stages, Stage)  # type: ignore[type-abstract]
    kinds = [name for name, stage in stages.items() if family in stage.families]
    if kind not in kinds:
        raise InputError(
            f"stages: a model of the family {family!r} has no stage {kind!r}. Choose from {', '.join(kinds)}."
        )
    return stages[kind]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a generator for each seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def apply_by_clip(
    function: Callable[[Tensor, torch.Generator], Tensor], values: Tensor, randoms: Sequence[torch.Generator]
) -> Tensor:
    """Apply a random function to the tracks of each clip, each clip with its generator, and concatenate the results."""
    clips = values.chunk(len(randoms))
    return torch.cat([function(clip, random) for clip, random in zip(clips, randoms, strict=True)])
