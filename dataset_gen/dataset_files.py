"""The files of a finished data set: the manifest of rendered shards, and the folder of mask-only worlds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from dataset_gen.library import OFFLINE, Library, scene_meshes
from dataset_gen.object_frames import counted_occluded_fractions
from dataset_gen.scene_shards import ShardScene, read_shard
from dataset_gen.versions import all_versions, ground_truth_versions
from vidamodal.media.files import atomic_file, write_text
from vidamodal.worlds.mesh_arrays import mesh_to_arrays
from vidamodal.worlds.spec import Mesh, SceneSpec

OCCLUSION_EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bin edges of histograms of the occluded fraction."""

_CHUNK = 1 << 20  # bytes


@dataclass
class _ShardStatistics:
    """Counts and hashes over the scenes of all shards."""

    shards: list[dict[str, Any]] = field(default_factory=list)
    occluded: list[float] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    truth_hash: Any = field(default_factory=hashlib.sha256)
    bytes_hash: Any = field(default_factory=hashlib.sha256)

    def add_shard(self, path: Path) -> None:
        """Add a shard and its scenes."""
        shard_hash = hashlib.sha256()
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                self.bytes_hash.update(chunk)
                shard_hash.update(chunk)
        scenes = 0
        for scene in read_shard(path):
            self._add_scene(scene)
            scenes += 1
        self.shards.append({"name": path.name, "scenes": scenes, "sha256": shard_hash.hexdigest()})

    def _add_scene(self, scene: ShardScene) -> None:
        self.truth_hash.update(scene.members["scene.json"] + scene.members["tracks.json"])
        self.occluded += counted_occluded_fractions(scene.clip)
        self.labels.update(item.label for item in scene.spec.objects)
        self.licences.update(item.licence for item in scene.spec.objects)


def write_manifest(folder: Path, run: Mapping[str, Any], shards: Iterable[Path]) -> None:
    """Write ``folder/manifest.json`` of a complete set of shards.

    It holds the run's settings, counts, a histogram of occlusion, versions and hashes. ``truth_hash`` covers the specs
    and tracks, ``bytes_hash`` every byte of the shards.
    """
    statistics = _ShardStatistics()
    for path in shards:
        statistics.add_shard(path)
    occluded = statistics.occluded
    document = {
        "format": "vidamodal-dataset",
        "version": 1,
        "run": run,
        "shards": statistics.shards,
        "counts": {
            "scenes": sum(shard["scenes"] for shard in statistics.shards),
            "objects": statistics.labels.total(),
            "object_frames": len(occluded),
            "fully_hidden": sum(fraction == 1 for fraction in occluded),
        },
        "occlusion": {
            "edges": OCCLUSION_EDGES,
            "object_frames": np.histogram(occluded, OCCLUSION_EDGES)[0].tolist(),
            "mean": round(float(np.mean(occluded)), 4) if occluded else None,
        },
        "labels": dict(sorted(statistics.labels.items())),
        "licences": dict(sorted(statistics.licences.items())),
        "versions": all_versions(run["preset"]),
        "truth_hash": statistics.truth_hash.hexdigest(),
        "bytes_hash": statistics.bytes_hash.hexdigest(),
    }
    write_text(folder / "manifest.json", json.dumps(document, indent=1) + "\n")


def write_worlds(folder: Path, run: Mapping[str, Any], lines: Iterable[str], library: Library = OFFLINE) -> None:
    """Write a folder of mask-only worlds.

    It holds ``worlds.jsonl`` (a settled spec per line), ``meshes.safetensors`` and, written last, ``manifest.json``.

    Args:
        folder: Existing folder.
        run: Settings of the run.
        lines: Specs as lines of JSON, without line ends.
        library: Source of the meshes.
    """
    truth = hashlib.sha256()
    meshes: dict[str, Mesh] = {}
    scenes = objects = 0
    with atomic_file(folder / "worlds.jsonl") as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            spec = SceneSpec.from_json(json.loads(line))
            meshes.update({name: mesh for name, mesh in scene_meshes(spec, library).items() if name not in meshes})
            file.write(line + "\n")
            truth.update(line.encode() + b"\n")
            scenes, objects = scenes + 1, objects + len(spec.objects)
    with atomic_file(folder / "meshes.safetensors") as temporary:
        arrays = {key: array for name, mesh in meshes.items() for key, array in mesh_to_arrays(name, mesh).items()}
        temporary.write_bytes(save(arrays))
    document = {
        "format": "vidamodal-worlds",
        "version": 1,
        "run": run,
        "counts": {"scenes": scenes, "objects": objects, "assets": len(meshes)},
        "licences": dict(sorted(Counter(library.asset(name).licence for name in meshes).items())),
        "versions": ground_truth_versions(run["preset"]),
        "truth_hash": truth.hexdigest(),
    }
    write_text(folder / "manifest.json", json.dumps(document, indent=1) + "\n")
