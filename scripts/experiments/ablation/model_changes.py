"""Trained models with changed settings, for rows that differ only in inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vidamodal.models.amodal import AmodalModel
from vidamodal.models.c2f.model import C2F
from vidamodal.models.folder import Model
from vidamodal.models.framewise import FramewiseModel
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.segmenters.base import FrameSegmenter

_OF_TRANSFORMER = ("roll", "window")
_OF_HEAD = "head."


def change_model(model: Model, settings: Mapping[str, Any]) -> Model:
    """Return a model with the same weights and other settings; weights of parts that are switched off are dropped.

    Args:
        model: A trained model.
        settings: Settings by name. ``head.NAME`` belongs to the head, ``roll`` and ``window`` to the transformer, and
            ``partial`` holds the settings of the decision in partial scenes.
    """
    transformer = {key: settings[key] for key in _OF_TRANSFORMER if key in settings}
    head = {key.removeprefix(_OF_HEAD): value for key, value in settings.items() if key.startswith(_OF_HEAD)}
    rest = {
        key: value for key, value in settings.items() if key not in _OF_TRANSFORMER and not key.startswith(_OF_HEAD)
    }
    if "partial" in rest:
        rest["partial"] = PartialDecision(**rest["partial"])
    changed: Model
    if isinstance(model, C2F):
        changed = C2F(replace(model.config, **rest))
    elif isinstance(model, FramewiseModel):
        changed = FramewiseModel(replace(model.config, **rest), replace(model.head_config, **head))
    else:
        config = replace(model.config, transformer=replace(model.config.transformer, **transformer), **rest)
        changed = AmodalModel(config, replace(model.head_config, **head))
    expected = changed.state_dict()
    changed.load_state_dict({name: value for name, value in model.state_dict().items() if name in expected})
    return changed


def change_segmenter(model: FrameSegmenter, settings: Mapping[str, Any]) -> FrameSegmenter:
    """Return a segmenter with the same weights and other settings; ``PART.NAME`` is a setting of one of its parts."""
    config = model.config
    for key, value in settings.items():
        *parts, name = key.split(".")
        holders = [config]
        for part in parts:
            holders.append(getattr(holders[-1], part))
        for holder, field_name in zip(reversed(holders), [name, *reversed(parts)], strict=True):
            value = replace(holder, **{field_name: value})
        config = value
    changed = type(model)(config)
    expected = changed.state_dict()
    changed.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if name in expected})
    return changed
