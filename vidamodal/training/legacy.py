"""Training configs of version 0.1.0 and before, which had one section for each of two stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OLD_KEYS = ("amodal", "tokenizer", "c2f", "framewise", "segmenter", "only_head", "head", "model")


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training config in the present form, with a ``model`` section and a list of stages."""
    if "stages" in config or "amodal" not in config:
        return dict(config)
    model, kinds = _model_section(config)
    sections = zip(kinds, ("tokenizer", "amodal")[-len(kinds) :], strict=True)
    stages = [{"kind": kind, **config[section]} for kind, section in sections if config[section].get("steps") != 0]
    kept = {key: value for key, value in config.items() if key not in _OLD_KEYS}
    return {**kept, "model": model, "stages": stages}


def _model_section(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the model section and the kinds of the stages."""
    head = config.get("head") or {}
    if segmenter := config.get("segmenter"):
        kinds = ["painting", "detection"] if segmenter["head"] == "aisdiff" else ["layers"]
        return {"family": segmenter["head"], "network": segmenter["settings"]}, kinds
    if c2f := config.get("c2f"):
        codec = "tokenizer" if c2f["codec"] == "light" else "vqgan"
        return {"family": "c2f", "network": c2f}, [codec, "c2f"]
    if framewise := config.get("framewise"):
        return {"family": "framewise", "network": framewise, "head": head}, ["head"]
    if config.get("only_head"):
        return {"family": "head", "name": config["model"]["head"], "head": head}, ["head"]
    return {"family": "amodal", "network": config["model"], "head": head}, ["tokenizer", "amodal"]
