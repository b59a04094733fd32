"""Short training runs of the AISDiff segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

from tests.segmenters.aisdiff.helpers import SIZE
from vidamodal.data.clips import ClipConfig
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.run import train
from vidamodal.training.stages.aisdiff import AISDiffFamily
from vidamodal.worlds.sample import WorldConfig

SAMPLE = ClipConfig(frames=2, world=WorldConfig(frames=6))
SETTINGS: dict[str, object] = {
    "size": SIZE, "bins": 4, "learning_regions": 3, "least_score": 0.0,
    "detector": {"stem": 8, "widths": [8, 8, 8, 8], "width": 8, "tower": 1, "least": 0.0, "most": 6},
    "prior": {"cells": 8, "widths": [8, 8], "text": 8, "steps": 2, "grid": 4, "together": 3},
}  # fmt: skip


def aisdiff_run(output: Path, clip_folder: Path, **changes: Any) -> TrainConfig:
    stage = StageConfig("painting", steps=2, clips=2, warmup=1, rate=1e-2, sample=SAMPLE)
    return TrainConfig(
        name="t", output=str(output), precision="fp32", device="cpu", worlds=str(clip_folder), workers=0, save_every=1,
        log_every=1, stages=(stage, replace(stage, kind="detection", steps=3)),
        model=AISDiffFamily(network={**SETTINGS, **changes}),
    )  # fmt: skip


def train_run(config: TrainConfig) -> Path:
    try:
        return train(config, quiet=True)
    finally:
        AcceleratorState._reset_state(True)
