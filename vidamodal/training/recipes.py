"""How segmenters of bare frames learn: what they take from their data, in which stages, and what their cards say."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from vidamodal.data.banks import Bank
from vidamodal.data.clips import ClipConfig
from vidamodal.data.instance_frames import vocabulary
from vidamodal.data.layer_frames import measure_limits
from vidamodal.training.stages.aisdiff import DetectionStage, PaintingStage
from vidamodal.training.stages.ours import SegmenterStage
from vidamodal.types import InputError


class Recipe(Protocol):
    """What the trainer asks about a head's segmenter."""

    def settle(self, settings: Any, bank: Bank, seed: int, sample: ClipConfig) -> tuple[Any, dict[str, Any]]:
        """The settings, with what they leave open taken from the training data, and what else the model's folder is to
        say of it."""

    def stages(self, model: Any) -> list[tuple[Any, str]]:
        """The stages that it learns in, each with the name of its settings in the run's config."""

    def finds(self, model: Any) -> str:
        """What it finds, after "finds the objects of bare frames, brought to the cells of its canvas, "."""


class Layers:
    """Of cumulative occlusion."""

    def settle(self, settings: Any, bank: Bank, seed: int, sample: ClipConfig) -> tuple[Any, dict[str, Any]]:
        """N_max and Area_min."""
        limits = measure_limits(bank, seed, sample, settings.size)
        most, least = settings.most_layers or limits.most_layers, settings.least_area or limits.least_area
        found = {"limits": dataclasses.asdict(limits)}
        return dataclasses.replace(settings, most_layers=most, least_area=least), found

    def stages(self, _model: Any) -> list[tuple[Any, str]]:
        return [(SegmenterStage, "amodal")]

    def finds(self, model: Any) -> str:
        settings = model.config
        return f"layer by layer: at most {settings.most_layers} layers, objects from {settings.least_area} cells up"


class Instances:
    """Of AISDiff."""

    def settle(self, settings: Any, bank: Bank, _seed: int, _sample: ClipConfig) -> tuple[Any, dict[str, Any]]:
        """The categories."""
        return dataclasses.replace(settings, labels=settings.labels or vocabulary(bank)), {}

    def stages(self, model: Any) -> list[tuple[Any, str]]:
        painting = [(PaintingStage, "tokenizer")] if model.trains_prior else []
        return [*painting, (DetectionStage, "amodal")]

    def finds(self, model: Any) -> str:
        return f"each with its category, of {len(model.config.labels)}"


_RECIPES: dict[str, Recipe] = {"cumulative": Layers(), "aisdiff": Instances()}


def recipe(head: str) -> Recipe:
    """How the segmenter of a head learns; InputError if nobody knows."""
    if head not in _RECIPES:
        raise InputError(f"the segmenter of the head {head!r} cannot be trained: choose one of {', '.join(_RECIPES)}")
    return _RECIPES[head]
