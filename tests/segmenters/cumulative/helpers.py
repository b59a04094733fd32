"""Small untrained segmenters by cumulative occlusion learning, and short training runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidamodal.data.clips import ClipConfig
from vidamodal.models.folder import save_segmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter, CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.stages.cumulative import CumulativeFamily
from vidamodal.worlds.sample import WorldConfig

SIZE = 16
TINY = DenoiserConfig(widths=(8, 8), attention=1, steps=3)
SMALL = CumulativeSegmenterConfig(TINY, size=SIZE, samples=2, most_layers=4, least_area=2)


def segmenter(**changes: Any) -> CumulativeSegmenter:
    """Return an untrained segmenter; ``steps`` and ``sampler`` are settings of its denoiser."""
    inner = {name: changes.pop(name) for name in ("steps", "sampler") if name in changes}
    torch.manual_seed(0)
    denoiser = replace(TINY, **inner)
    return CumulativeSegmenter(replace(SMALL, denoiser=denoiser, **changes)).eval()


def square(top: int, left: int, side: int = 6, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


STACK = [square(1, 1), square(4, 4), square(7, 7), square(9, 9)]
"""Four squares, of which each occludes the next."""


def saved_segmenter(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    network = segmenter(**changes)
    torch.nn.init.normal_(network.denoise.unet.conv_out.weight, 0, 0.3)
    save_segmenter(folder, network, {}, "# tiny\n")
    return folder


def cumulative_run(output: Path, clip_folder: Path, **changes: Any) -> TrainConfig:
    sample = ClipConfig(frames=3, world=WorldConfig(frames=6))
    stage = StageConfig("layers", steps=2, clips=2, warmup=1, rate=1e-2, sample=sample)
    settings = {"denoiser": {"widths": [8, 8], "attention": 1, "steps": 2}, "size": 32}
    return replace(
        TrainConfig(
            name="t", output=str(output), precision="fp32", device="cpu", worlds=str(clip_folder), workers=0,
            stages=(stage,), model=CumulativeFamily(network=settings),
        ),
        **changes,
    )  # fmt: skip
