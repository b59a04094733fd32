"""Checking a finished data set: its rasterised masks against Blender's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from dataset_gen.executors import open_executor
from dataset_gen.library import borrow_library
from dataset_gen.locks import scratch_folder
from dataset_gen.truth import meshes_of
from dataset_gen.write import read_shard, shard_keys
from vidamodal.types import Track

LEAST_IOU = 0.99
LEAST_PIXELS = 250
"""Objects with fewer pixels in all compared frames together say nothing: two pixels are too much of them."""


@dataclass(frozen=True)
class Agreement:
    """IoU of each object's masks, over all compared frames, with Blender's; an object hardly in view is left out."""

    key: str
    visible: tuple[float, ...]
    amodal: tuple[float, ...]

    @property
    def holds(self) -> bool:
        return min(self.visible + self.amodal, default=0.0) >= LEAST_IOU

    def __str__(self) -> str:
        parts = [f"{name} IoU {_summary(values)}" for name, values in vars(self).items() if name != "key"]
        return f"{self.key}: {'agrees' if self.holds else 'DISAGREES'}; {'; '.join(parts)}"


def verify(out: Path, scenes: int, workers: int | None = None, manifests: Sequence[str] = ()) -> Iterator[Agreement]:
    """Render up to ``scenes`` scenes, evenly spread over a finished folder, again and compare.

    The visible masks are compared in every frame; the amodal ones in the middle frame, each object rendered alone.
    ``manifests`` are those that the scenes were made with.
    """
    listed = [(path, key) for path in sorted(out.glob("*.tar")) for key in shard_keys(path)]
    chosen = np.unique(np.linspace(0, len(listed) - 1, min(scenes, len(listed))).round().astype(int))
    with open_executor("local", workers) as pool:
        jobs = [pool.submit(compare, *listed[k], manifests) for k in chosen]
        yield from (job.result() for job in jobs)


def overall(agreements: Sequence[Agreement]) -> str:
    """One line about all compared objects of some scenes."""
    kinds = [(kind, [iou for one in agreements for iou in getattr(one, kind)]) for kind in ("visible", "amodal")]
    return f"{len(agreements)} scenes: " + "; ".join(f"{kind} IoU {_summary(tuple(ious))}" for kind, ious in kinds)


def compare(shard: Path, key: str, manifests: Sequence[str] = ()) -> Agreement:
    """One scene of a shard against Blender; to be called in a process of its own."""
    from dataset_gen.render import isolated_masks, render_scene

    (sample,) = read_shard(shard, {key})
    spec, tracks = sample.spec, sample.clip.tracks
    middle = spec.frames // 2
    with borrow_library(manifests) as library, scratch_folder() as scratch:
        meshes = meshes_of(spec, library)
        seen = render_scene(spec, meshes, scratch, 1, library).segmentation
        alone = isolated_masks(spec, meshes, scratch, [middle], library)
    visible = [_iou(_decode(track, "visible", range(spec.frames)), seen == track.id) for track in tracks]
    amodal = [_iou(_decode(track, "amodal", [middle]), mask) for track, mask in zip(tracks, alone, strict=True)]
    return Agreement(sample.key, _known(visible), _known(amodal))


def _decode(track: Track, kind: str, frames: Iterable[int]) -> Bool[np.ndarray, "t h w"]:
    return np.stack([getattr(track, kind)[frame].decode() for frame in frames])


def _iou(a: Bool[np.ndarray, "t h w"], b: Bool[np.ndarray, "t h w"]) -> float | None:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union >= LEAST_PIXELS else None


def _known(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _summary(values: tuple[float, ...]) -> str:
    return f"mean {np.mean(values):.4f}, least {min(values):.4f} of {len(values)} objects" if values else "unknown"
