"""The files of one scene: video, ground-truth tracks, spec and depth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float16, UInt8

from dataset_gen.versions import ground_truth_versions
from vidamodal.media.files import atomic_file, write_text
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks
from vidamodal.worlds.spec import Mesh, SceneSpec
from vidamodal.worlds.truth import true_tracks

MEMBERS = ("mp4", "tracks.json", "scene.json", "depth.npz")
"""A scene's files are named ``<key>.<member>``. They have this order in a shard; depth is optional.

``depth.npz`` holds one array, ``depth``, as ``vidamodal.worlds.truth.scene_depth`` returns it.
"""

_CRF = 12  # video quality: nearly lossless


def scene_key(split: str, seed: int) -> str:
    """Return the stem of a scene's file names."""
    return f"{split}-{seed:08d}"


def scene_line(spec: SceneSpec) -> str:
    """Return a spec as one line of JSON."""
    return json.dumps(spec.to_json(), separators=(",", ":"), allow_nan=False)


def scene_tracks(spec: SceneSpec, meshes: Mapping[str, Mesh], video: str, canvas: int = 0) -> ClipTracks:
    """Return the ground-truth tracks of a settled scene with their provenance.

    Args:
        spec: The settled scene.
        meshes: Meshes by asset id.
        video: Name of the scene's video file.
        canvas: Pixels beyond the image borders that the padded amodal masks cover.
    """
    versions = ground_truth_versions(spec.preset)
    provenance = {"seed": spec.seed, "split": spec.split, "preset": spec.preset, "versions": versions}
    return true_tracks(spec, meshes, video, provenance, canvas)


def write_scene(
    folder: Path,
    spec: SceneSpec,
    clip: ClipTracks,
    rgb: UInt8[np.ndarray, "t h w 3"],
    depth: Float16[np.ndarray, "t h w"] | None = None,
) -> None:
    """Write the files of a scene into a folder."""
    key = scene_key(spec.split, spec.seed)
    write_video(folder / f"{key}.mp4", rgb, spec.fps, crf=_CRF)
    write_tracks(folder / f"{key}.tracks.json", clip)
    write_text(folder / f"{key}.scene.json", scene_line(spec) + "\n")
    if depth is not None:
        with atomic_file(folder / f"{key}.depth.npz") as temporary:
            np.savez_compressed(temporary, depth=depth)  # its zip headers hold no time
