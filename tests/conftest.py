"""What several tests share: a small untrained model folder and a short clip of a toy world with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange

from vidamodal.heads.base import BOX_NUMBERS, HeadInputs, Noise, TrackCrops
from vidamodal.heads.conv import Config as HeadConfig
from vidamodal.media.tracks import write_tracks
from vidamodal.media.video import write_video
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.folder import save_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import PERIODS, TransformerConfig
from vidamodal.types import ClipTracks
from vidamodal.worlds.sample import random_camera
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks

torch.set_num_threads(1)  # small tensors
SIZE, FRAMES = 96, 14
CONFIG = ModelConfig(
    tokenizer=TokenizerConfig(crop=32, width=24, dim=16, codes=64),
    transformer=TransformerConfig(width=32, depth=1, heads=2, features=16, window=12),
    chunk=12,
    overlap=4,
)
"""Chunks are shorter than the clip."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out where a module that it needs is not installed."""
    for mark in item.iter_markers("needs"):
        if missing := [name for name in mark.args if find_spec(name) is None]:
            pytest.skip(f"needs {', '.join(missing)}, which `make test-slow` installs")


@dataclass(frozen=True)
class ToyClip:
    """A video file, the path of its truth and what stands there."""

    video: Path
    truth: Path
    tracks: ClipTracks


def small_model() -> AmodalModel:
    """Not trained, yet not blind: its random weights are large enough for the masks to depend on all inputs.

    It feels only slow waves of time: neighbouring frames look alike to it, the beginning and end of a chunk do not.
    """
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    model = AmodalModel(CONFIG, HeadConfig(8, 8))
    with torch.no_grad():
        model.tokenizer.codebook.normal_(generator=generator)
        for parameter in model.head.leave.parameters():
            parameter.normal_(0, 0.5, generator=generator)
        for parameter in model.transformer.predict[-1].parameters():
            parameter.mul_(5)
        clock = rearrange(model.transformer.clock.weight, "d (wave period) -> d wave period", wave=2)
        clock[..., [period < 16 for period in PERIODS]] = 0
    return model.eval()


@pytest.fixture(scope="session")
def model() -> AmodalModel:
    return small_model()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, small_model(), {}, "# small\n")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ToyClip:
    """Four objects that hide each other, each at least once visible, seen by a camera that goes round them."""
    folder, bank = tmp_path_factory.mktemp("clip"), toy_bank(3)
    world = next(w for w in bank.worlds if len(w.objects) == 4)
    camera = random_camera(np.random.default_rng(4), FRAMES, "orbit")
    tracks = true_tracks(replace(world, size=SIZE, frames=FRAMES, camera=camera), bank.meshes, "clip.mp4")
    assert all(track.ever_visible for track in tracks.tracks)
    colours = np.random.default_rng(0).integers(40, 255, (len(tracks.tracks), 3))
    frames = np.full((FRAMES, SIZE, SIZE, 3), 20, dtype=np.uint8)
    for track, colour in zip(tracks.tracks, colours, strict=True):
        for frame, mask in zip(frames, track.visible, strict=True):
            assert mask is not None
            frame[mask.decode()] = colour
    write_video(folder / "clip.mp4", frames, 12.0)
    write_tracks(folder / "tracks.json", tracks)
    return ToyClip(folder / "clip.mp4", folder / "tracks.json", tracks)


def head_inputs(crop: int, channels: int = 0) -> HeadInputs:
    """Random windows of so many cells a side, with pixels and an order, and features on 4 x 4 tokens."""
    generator, tracks, frames = torch.Generator().manual_seed(0), 2, 3

    def maps(*shape: int) -> torch.Tensor:
        return torch.rand(tracks, frames, *shape, generator=generator)

    crops = TrackCrops(
        (maps(crop, crop) > 0.7).float(), *(maps(crop, crop) for _ in range(4)), 2 * maps(crop, crop) - 1,
        maps(3, crop, crop), torch.ones(tracks, frames), torch.zeros(tracks, frames, BOX_NUMBERS),
        torch.zeros(tracks, frames), torch.ones(tracks, frames).bool(),
    )  # fmt: skip
    return HeadInputs(crops, 4 * maps(crop, crop) - 2, maps(channels, 4, 4), Noise.of(*range(tracks)))
