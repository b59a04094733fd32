"""Mask-only worlds, as ``dataset_gen --masks-only`` writes them: each world is a clip seen by its camera. Read only.

Masks are rendered on demand; there are no RGB frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.truth import true_tracks

ID = "mask-worlds"
NAME = "mask-only worlds"
SIGN = "worlds.jsonl and meshes.safetensors"


def recognise(path: Path) -> Fit:
    """Match a folder of worlds."""
    return certain_if((path / "worlds.jsonl").is_file())


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each world; its key is the world's seed."""
    bank = WorldBank.load(path)
    keys = [str(world.seed) for world in bank.worlds]
    return {
        key: Clip(key, partial(true_tracks, world, bank.meshes, f"{key}.mp4"), lambda: None)
        for key, world in zip(keys, bank.worlds, strict=True)
    }
