"""Verification of a finished data set: its rasterised masks against those that Blender renders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from dataset_gen.executors import open_executor
from dataset_gen.library import open_temporary_library, scene_meshes
from dataset_gen.locks import scratch_folder
from dataset_gen.scene_shards import read_shard, shard_keys
from vidamodal.types import Track

MIN_IOU = 0.99
MIN_PIXELS = 250
"""Objects with fewer pixels in all compared frames together are not compared: two pixels decide their IoU."""


@dataclass(frozen=True)
class Agreement:
    """IoU of each object's masks with Blender's over all compared frames, without objects that are hardly in view."""

    key: str
    visible: tuple[float, ...]
    amodal: tuple[float, ...]

    @property
    def is_sufficient(self) -> bool:
        """True if every IoU is at least ``MIN_IOU``."""
        return min(self.visible + self.amodal, default=0.0) >= MIN_IOU

    def __str__(self) -> str:
        verdict = "agrees" if self.is_sufficient else "DISAGREES"
        return f"{self.key}: {verdict}; visible IoU {_describe(self.visible)}; amodal IoU {_describe(self.amodal)}"


def verify(out: Path, scenes: int, workers: int | None = None, manifests: Sequence[str] = ()) -> Iterator[Agreement]:
    """Render scenes of a finished data set again and compare their masks.

    Visible masks are compared in every frame. Amodal masks are compared in the middle frame, where each object is
    rendered alone.

    Args:
        out: Folder of the data set.
        scenes: Number of scenes, which are spread evenly over the data set.
        workers: Scenes at a time; None for 1.
        manifests: Manifests that the scenes were made with.
    """
    keys = [(path, key) for path in sorted(out.glob("*.tar")) for key in shard_keys(path)]
    chosen = np.unique(np.linspace(0, len(keys) - 1, min(scenes, len(keys))).round().astype(int))
    with open_executor("local", workers) as pool:
        jobs = [pool.submit(compare_with_blender, *keys[k], manifests) for k in chosen]
        yield from (job.result() for job in jobs)


def summarize(agreements: Sequence[Agreement]) -> str:
    """Return one line about all compared objects."""
    visible = tuple(iou for agreement in agreements for iou in agreement.visible)
    amodal = tuple(iou for agreement in agreements for iou in agreement.amodal)
    return f"{len(agreements)} scenes: visible IoU {_describe(visible)}; amodal IoU {_describe(amodal)}"


def compare_with_blender(shard: Path, key: str, manifests: Sequence[str] = ()) -> Agreement:
    """Compare a scene of a shard with Blender. It must run in a separate process."""
    from dataset_gen.render import isolated_masks, render_scene

    (scene,) = read_shard(shard, {key})
    spec, tracks = scene.spec, scene.clip.tracks
    middle = spec.frames // 2
    with open_temporary_library(manifests) as library, scratch_folder() as scratch:
        meshes = scene_meshes(spec, library)
        segmentation = render_scene(spec, meshes, scratch, 1, library).segmentation
        isolated = isolated_masks(spec, meshes, scratch, [middle], library)
    visible = [_iou(_decode(track, "visible", range(spec.frames)), segmentation == track.id) for track in tracks]
    amodal = [_iou(_decode(track, "amodal", [middle]), mask) for track, mask in zip(tracks, isolated, strict=True)]
    return Agreement(scene.key, _known(visible), _known(amodal))


def _decode(track: Track, kind: Literal["visible", "amodal"], frames: Iterable[int]) -> Bool[np.ndarray, "t h w"]:
    return np.stack([getattr(track, kind)[frame].decode() for frame in frames])


def _iou(a: Bool[np.ndarray, "t h w"], b: Bool[np.ndarray, "t h w"]) -> float | None:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union >= MIN_PIXELS else None


def _known(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _describe(values: tuple[float, ...]) -> str:
    return f"mean {np.mean(values):.4f}, least {min(values):.4f} of {len(values)} objects" if values else "unknown"
