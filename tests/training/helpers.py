"""Small training runs, and what they leave in their folders."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.numpy import save_file
from torch import Tensor

from vidamodal.data.clips import ClipConfig, TrainingBatch
from vidamodal.data.crops import TrackCrops
from vidamodal.models.amodal import ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.losses import divisors
from vidamodal.training.run import train
from vidamodal.training.stage import MicroStep, Stage
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.types import InputError
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank

ROOT = Path(__file__).parents[2]
CELLS = 16
MODEL = ModelConfig(
    TokenizerConfig(crop=CELLS, width=16, dim=8, codes=128),  # so many that some are unused and reset
    TransformerConfig(width=16, depth=2, heads=2, mlp=2, features=16, window=4),
)
CLIPS = ClipConfig(tracks=3, frames=5, world=WorldConfig(size=48, frames=7))
STAGE = StageConfig(steps=4, clips=2, warmup=2, average=0.9, sample=CLIPS)


def tiny_config(
    output: Path,
    tokenizer: StageConfig = STAGE,
    amodal: StageConfig = STAGE,
    **changes: Any,
) -> TrainConfig:
    """Return the config of a run of seconds: two stages of four steps each."""
    settings: dict[str, Any] = {
        "output": str(output), "device": "cpu", "precision": "fp32", "worlds": "toy", "workers": 0, "log_every": 1,
        "save_every": 2, "model": AmodalFamily(network=MODEL, head={"width": 8, "deep": 16}),
        "stages": (replace(tokenizer, kind="tokenizer"), replace(amodal, kind="amodal")),
    }  # fmt: skip
    return TrainConfig(**{**settings, **changes})


def write_config(folder: Path, output: Path, steps: int) -> Path:
    """Write the config of a run of seconds on the command line, with two stages, and return its path."""
    world = {"size": 48, "frames": 7}
    stage = {"steps": steps, "clips": 2, "warmup": 2, "sample": {"tracks": 3, "frames": 5, "world": world}}
    network = {
        "tokenizer": {"crop": 16, "width": 16, "dim": 8, "codes": 128},
        "transformer": {"width": 16, "depth": 2, "heads": 2, "mlp": 2, "features": 16, "window": 4},
    }
    config = {
        "output": str(output), "device": "cpu", "precision": "fp32", "worlds": "toy", "workers": 1, "save_every": 5,
        "model": {"family": "amodal", "network": network, "head": {"width": 8, "deep": 16}},
        "stages": [{"kind": "tokenizer", **stage}, {"kind": "amodal", **stage}],
    }  # fmt: skip
    path = folder / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def logged(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def losses(output: Path) -> list[tuple[Any, ...]]:
    """Return the logged values without timings."""
    timings = ("object_frames_per_second", "waiting_for_data")
    return [tuple((k, v) for k, v in line.items() if k not in timings) for line in logged(output)]


def weights(output: Path) -> dict[str, bytes]:
    """Return the bytes of the files of the finished model's weights."""
    files = {p.name: p.read_bytes() for p in (output / "model").rglob("*.safetensors")}
    assert sorted(files) == ["conv.safetensors", "model.safetensors"]
    return files


def write_worlds(folder: Path) -> Path:
    """Write a data set of two small worlds, each a clip of four frames."""
    bank = toy_bank(7, worlds=2)
    folder.mkdir()
    camera = bank.worlds[0].camera
    camera = replace(camera, positions=((6.0, 0.0, 3.0), (5.5, 1.5, 3.0)) * 2, targets=camera.targets * 4)
    worlds = [replace(world, size=48, frames=4, camera=camera) for world in bank.worlds]
    (folder / "worlds.jsonl").write_text("".join(json.dumps(world.to_json()) + "\n" for world in worlds))
    arrays = {f"{k}/{part}": getattr(m, part) for k, m in bank.meshes.items() for part in ("vertices", "faces")}
    save_file(arrays, folder / "meshes.safetensors")
    return folder


def refused(config: TrainConfig, words: str) -> None:
    """Check that a run is refused in one line with these words, before it writes its folder."""
    existed = Path(config.output).exists()
    with pytest.raises(InputError, match=words) as error:
        train(config, quiet=True)
    assert "\n" not in str(error.value)
    assert Path(config.output).exists() == existed


def single_step(stage: Stage[Any], batch: Any, seeds: tuple[int, ...] = (0,)) -> dict[str, Tensor]:
    """Return the losses of a step of one batch."""
    losses: dict[str, Tensor] = stage(batch, MicroStep(seeds, divisors([stage.counts(batch, seeds)]), True))
    return losses


def simple_batch(tracks: int = 2, frames: int = 3, hidden: float = 0.5) -> TrainingBatch:
    """Return squares with this share of them occluded on the right; the top rows lie outside the image."""
    amodal = torch.zeros(tracks, frames, CELLS, CELLS)
    amodal[..., 6:14, 4:12] = 1
    visible = amodal.clone()
    visible[..., 12 - round(8 * hidden) :] = 0
    zeros, inside = torch.zeros_like(amodal), torch.ones_like(amodal)
    inside[..., :4, :] = 0
    times = torch.arange(float(frames)).expand(tracks, -1)
    known, box = torch.ones(tracks, frames), torch.zeros(tracks, frames, 8)
    nothing = zeros[:, :, None][:, :, :0]
    crops = TrackCrops(visible, zeros, zeros, inside, zeros, zeros, nothing, nothing, known, box, times, known.bool())
    return TrainingBatch(crops, amodal, *torch.ones(3, tracks, frames))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
