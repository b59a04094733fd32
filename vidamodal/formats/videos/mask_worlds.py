"""Mask-only worlds, as ``dataset_gen --masks-only`` writes them: each is a clip, as its own camera sees it."""

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
    """Whether it is a folder of worlds."""
    return certain_if((path / "worlds.jsonl").is_file())


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each world, its key the world's seed; masks are made when asked for, and there are no pictures."""
    bank = WorldBank.load(path)
    return {
        str(world.seed): Clip(
            str(world.seed), partial(true_tracks, world, bank.meshes, f"{world.seed}.mp4"), lambda: None
        )
        for world in bank.worlds
    }
