"""Clips of a finished data set, read one by one for its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dataset_gen.scene_shards import ShardScene, read_shard, shard_keys
from vidamodal.media.video import open_bytes
from vidamodal.types import ClipTracks, Frame
from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.truth import scene_depth, true_tracks

MAX_WORLDS = 64
"""Mask-only worlds contain no masks; at most this many, evenly spread, are rasterised for their own cameras."""


@dataclass(frozen=True)
class CardClip:
    """A clip with its ground truth."""

    key: str
    tracks: ClipTracks
    read_frame: Callable[[int], Frame]
    """Returns the image of a frame."""


def open_clips(folder: Path, manifest: Mapping[str, Any]) -> tuple[int, Iterator[CardClip]]:
    """Return the number of clips and an iterator that reads them."""
    if manifest["format"] == "vidamodal-worlds":
        bank = WorldBank.load(folder)
        chosen = spread(len(bank.worlds), MAX_WORLDS)
        return len(chosen), (_world_clip(bank, index) for index in chosen)
    shards = sorted(folder.glob("*.tar"))
    total = sum(len(shard_keys(path)) for path in shards)
    return total, (_rendered_clip(scene) for path in shards for scene in read_shard(path))


def spread(total: int, most: int) -> list[int]:
    """Return up to ``most`` numbers below ``total``, evenly spread."""
    indices: list[int] = np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist()
    return indices


def _rendered_clip(scene: ShardScene) -> CardClip:
    def read_frame(frame: int) -> Frame:
        return next(islice(open_bytes(scene.members["mp4"], scene.key).frames(), frame, None))

    return CardClip(scene.key, scene.clip, read_frame)


def _world_clip(bank: WorldBank, index: int) -> CardClip:
    """Return a world as a clip with grey images, brighter where the surface is nearer."""
    spec = bank.worlds[index]

    def read_frame(frame: int) -> Frame:
        nearness = 1 / scene_depth(spec, bank.meshes)[frame].astype(np.float32)
        return np.repeat((40 + 190 * nearness / nearness.max()).astype(np.uint8)[..., None], 3, axis=2)

    return CardClip(f"{spec.split}-{spec.seed}", true_tracks(spec, bank.meshes, ""), read_frame)
