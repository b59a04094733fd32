"""Shared test data: a small untrained model, random head inputs and the record of a toy clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.heads.base import HeadInputs
from vidamodal.heads.conv import ConvConfig, ConvHead
from vidamodal.media.video_writer import write_video
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import PERIODS, TransformerConfig
from vidamodal.noise import Noise
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo
from vidamodal.windows import WindowConfig
from vidamodal.worlds.sample import ClipMasks, random_camera
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks

SIZE, FRAMES = 96, 14
CONFIG = ModelConfig(
    tokenizer=TokenizerConfig(crop=32, width=24, dim=16, codes=64),
    transformer=TransformerConfig(width=32, depth=1, heads=2, features=16, window=12),
    chunk=12,
    overlap=4,
)
"""Chunks are shorter than the clip."""


@dataclass(frozen=True)
class ToyClip:
    """A video file, the path of its truth and what stands there."""

    video: Path
    truth: Path
    tracks: ClipTracks


def write_toy_clip(folder: Path) -> ToyClip:
    """Write four objects that hide each other, each at least once visible, seen by a camera that goes round them."""
    bank = toy_bank(3)
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


def small_model() -> AmodalModel:
    """Not trained, yet not blind: its random weights are large enough for the masks to depend on all inputs.

    It feels only slow waves of time: neighbouring frames look alike to it, the beginning and end of a chunk do not.
    """
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    model = AmodalModel(CONFIG, ConvConfig(8, 8))
    with torch.no_grad():
        model.tokenizer.codebook.normal_(generator=generator)
        assert isinstance(model.head, ConvHead)
        for parameter in model.head.leave.parameters():
            parameter.normal_(0, 0.5, generator=generator)
        for parameter in model.transformer.predict[-1].parameters():
            parameter.mul_(5)
        clock = rearrange(model.transformer.clock.weight, "d (wave period) -> d wave period", wave=2)
        clock[..., [period < 16 for period in PERIODS]] = 0
    return model.eval()


def head_inputs(crop: int, channels: int = 0) -> HeadInputs:
    """Random windows of so many cells a side, with pixels and an order, and features on 4 x 4 tokens."""
    generator, tracks, frames = torch.Generator().manual_seed(0), 2, 3

    def maps(*shape: int) -> torch.Tensor:
        return torch.rand(tracks, frames, *shape, generator=generator)

    visible = (maps(crop, crop) > 0.7).float()
    others, edges, inside, background = (maps(crop, crop) for _ in range(4))
    crops = TrackCrops(
        visible, others, edges, inside, background, 2 * maps(crop, crop) - 1,
        maps(3, crop, crop), maps(4, crop, crop), torch.ones(tracks, frames), torch.zeros(tracks, frames, BOX_NUMBERS),
        torch.zeros(tracks, frames), torch.ones(tracks, frames).bool(),
    )  # fmt: skip
    return HeadInputs(crops, 4 * maps(crop, crop) - 2, maps(channels, 4, 4), Noise.of(*range(tracks)))


DISC_SCENE_SIZE = 48


def disc_scene(seed: int, frames: int = 5, objects: int = 3) -> ClipMasks:
    """Return moving discs at different depths, in front of random colours; the first one is nearest."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:DISC_SCENE_SIZE, :DISC_SCENE_SIZE] + 0.5
    start, step, radius = rng.uniform(10, 38, (objects, 2)), rng.normal(0, 2, (objects, 2)), rng.uniform(5, 14, objects)
    amodal = np.stack([
        [np.hypot(columns - x - t * u, rows - y - t * v) < r for t in range(frames)]
        for (x, y), (u, v), r in zip(start, step, radius, strict=True)
    ])  # fmt: skip
    visible = amodal.copy()
    for k in range(objects):
        visible[k] &= ~amodal[:k].any(axis=0)
    image = (
        rng.integers(0, 255, (frames, DISC_SCENE_SIZE // 8, DISC_SCENE_SIZE // 8, 3), dtype=np.uint8)
        .repeat(8, axis=1)
        .repeat(8, axis=2)
    )
    return ClipMasks(visible, amodal, image=image)


def clip_tracks(clip: ClipMasks, exhaustive: bool = True) -> ClipTracks:
    tracks = tuple(
        Track(k + 1, tuple(map(Rle.encode, clip.visible[k])), tuple(map(Rle.encode, clip.amodal[k])), label="disc")
        for k in range(len(clip.visible))
    )
    return ClipTracks(
        VideoInfo("clip.mp4", DISC_SCENE_SIZE, DISC_SCENE_SIZE, clip.visible.shape[1], 12.0), tracks, exhaustive
    )


def write_disc_clip(folder: Path, clip: ClipMasks, key: str = "clip", exhaustive: bool = True) -> Path:
    assert clip.image is not None
    folder.mkdir(exist_ok=True)
    write_video(folder / f"{key}.mp4", clip.image, 12.0, crf=0)
    write_tracks(folder / f"{key}.tracks.json", clip_tracks(clip, exhaustive))
    return folder


TINY_TRANSFORMER = TransformerConfig(width=16, depth=2, heads=2, features=8, window=4)


def small_reader(**changes: Any) -> AmodalModel:
    """Return an untrained model with other settings of its transformer, such as ``image=True``."""
    torch.manual_seed(0)
    made = AmodalModel(
        ModelConfig(TokenizerConfig(crop=16, codes=8), replace(TINY_TRANSFORMER, **changes), WindowConfig())
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.dtype == torch.float32:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return made.eval()
