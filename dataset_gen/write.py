"""The files of a data set: scenes, tar shards and manifest, the same bytes for the same scenes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, UInt8
from safetensors.numpy import save

from dataset_gen.library import OFFLINE, Library
from dataset_gen.truth import meshes_of, object_frames, truth_versions
from vidamodal.formats.tracks import loads_tracks, write_tracks
from vidamodal.media.files import atomic_file, write_text
from vidamodal.media.video_writer import write_video
from vidamodal.types import ClipTracks, InputError
from vidamodal.worlds.spec import SceneSpec

MEMBERS = ("mp4", "tracks.json", "scene.json", "depth.npz")
"""What a scene consists of: files named ``<key>.<member>``, in a shard's order; depth is optional.

``depth.npz`` has one array, ``depth``, as ``vidamodal.worlds.truth.scene_depth`` gives it.
"""

OCCLUSION_EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Sample:
    """One scene as it stands in a shard."""

    key: str
    spec: SceneSpec
    clip: ClipTracks
    members: Mapping[str, bytes]


def scene_key(split: str, seed: int) -> str:
    """The name of a scene's files."""
    return f"{split}-{seed:08d}"


def scene_line(spec: SceneSpec) -> str:
    """A spec as one line of JSON."""
    return json.dumps(spec.to_json(), separators=(",", ":"), allow_nan=False)


def write_scene(
    folder: Path,
    spec: SceneSpec,
    clip: ClipTracks,
    rgb: UInt8[np.ndarray, "t h w 3"],
    depth: Float16[np.ndarray, "t h w"] | None = None,
) -> None:
    """A finished scene's files in a folder."""
    key = scene_key(spec.split, spec.seed)
    write_video(folder / f"{key}.mp4", rgb, spec.fps, crf=12)
    write_tracks(folder / f"{key}.tracks.json", clip)
    write_text(folder / f"{key}.scene.json", scene_line(spec) + "\n")
    if depth is not None:
        with atomic_file(folder / f"{key}.depth.npz") as beside:
            np.savez_compressed(beside, depth=depth)  # its zip headers tell no time


def write_shard(path: Path, folders: Iterable[Path]) -> None:
    """A tar of scene folders (each named by its key), in their order, with constant headers."""
    with atomic_file(path) as beside, tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in folders:
            for file in (folder / f"{folder.name}.{member}" for member in MEMBERS):
                if file.exists() or not file.name.endswith(MEMBERS[-1]):
                    content = file.read_bytes()
                    info = tarfile.TarInfo(file.name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def shard_keys(path: Path) -> list[str]:
    """The keys of a shard's scenes in their order; only the headers are read."""
    with _open_shard(path) as tar:
        return [key for key, _ in groupby(tar, _key)]


def read_shard(path: Path, keys: Container[str] | None = None) -> Iterator[Sample]:
    """The scenes of a shard, or those of the given keys. InputError if it was not written by ``write_shard``."""
    with _open_shard(path) as tar:
        for key, infos in groupby(tar, _key):
            if keys is None or key in keys:
                contents = {info.name.removeprefix(f"{key}."): _content(tar, info) for info in infos}
                if missing := set(MEMBERS[:-1]) - contents.keys():
                    raise InputError(f"{path}: {key} has no {min(missing)}; make the data set again")
                yield Sample(
                    key=key,
                    spec=SceneSpec.from_json(json.loads(contents["scene.json"])),
                    clip=loads_tracks(contents["tracks.json"].decode(), f"{path.name}: {key}.tracks.json"),
                    members=contents,
                )


@contextmanager
def _open_shard(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a whole, uncompressed tar ({error}); copy or make it again") from None


def _key(info: tarfile.TarInfo) -> str:
    return info.name.partition(".")[0]


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    assert file is not None  # only regular files are written
    return file.read()


def write_manifest(folder: Path, run: Mapping[str, Any], shards: Iterable[Path]) -> None:
    """``folder/manifest.json`` of a finished set of shards: the run, counts, occlusion histogram, versions and hashes.

    ``truth_hash`` covers the specs and tracks, ``bytes_hash`` every byte of the shards.
    """
    truth, every = hashlib.sha256(), hashlib.sha256()
    shares: list[float] = []
    labels: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    listing: list[dict[str, Any]] = []
    for path in shards:
        own = hashlib.sha256()
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                every.update(chunk)
                own.update(chunk)
        scenes = 0
        for sample in read_shard(path):
            truth.update(sample.members["scene.json"] + sample.members["tracks.json"])
            shares += hidden_shares(sample.clip)
            labels.update(thing.label for thing in sample.spec.objects)
            licences.update(thing.licence for thing in sample.spec.objects)
            scenes += 1
        listing.append({"name": path.name, "scenes": scenes, "sha256": own.hexdigest()})
    document = {
        "format": "vidamodal-dataset",
        "version": 1,
        "run": run,
        "shards": listing,
        "counts": {
            "scenes": sum(shard["scenes"] for shard in listing),
            "objects": labels.total(),
            "object_frames": len(shares),
            "fully_hidden": sum(share == 1 for share in shares),
        },
        "occlusion": {
            "edges": OCCLUSION_EDGES,
            "object_frames": np.histogram(shares, OCCLUSION_EDGES)[0].tolist(),
            "mean": round(float(np.mean(shares)), 4) if shares else None,
        },
        "labels": dict(sorted(labels.items())),
        "licences": dict(sorted(licences.items())),
        "versions": all_versions(),
        "truth_hash": truth.hexdigest(),
        "bytes_hash": every.hexdigest(),
    }
    write_text(folder / "manifest.json", json.dumps(document, indent=1) + "\n")


def all_versions() -> dict[str, str]:
    """Versions of all that shapes a rendered data set."""
    return {**truth_versions(), **{name: version(name) for name in ("bpy", "av")}}


def hidden_shares(clip: ClipTracks) -> list[float]:
    """Hidden share of every counted object-frame of a clip whose truth is known."""
    numbers = object_frames(clip)
    return numbers.hidden[numbers.counted].tolist()


def write_worlds(folder: Path, run: Mapping[str, Any], lines: Iterable[str], library: Library = OFFLINE) -> None:
    """A folder of mask-only worlds: ``worlds.jsonl`` (a settled spec a line), ``meshes.safetensors``, manifest last."""
    truth = hashlib.sha256()
    meshes = {}
    scenes = objects = 0
    with atomic_file(folder / "worlds.jsonl") as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            spec = SceneSpec.from_json(json.loads(line))
            meshes.update({name: mesh for name, mesh in meshes_of(spec, library).items() if name not in meshes})
            file.write(line + "\n")
            truth.update(line.encode() + b"\n")
            scenes, objects = scenes + 1, objects + len(spec.objects)
    with atomic_file(folder / "meshes.safetensors") as beside:
        arrays = {f"{name}/vertices": mesh.vertices for name, mesh in sorted(meshes.items())}
        arrays |= {f"{name}/faces": mesh.faces for name, mesh in sorted(meshes.items())}
        beside.write_bytes(save(arrays))
    document = {
        "format": "vidamodal-worlds",
        "version": 1,
        "run": run,
        "counts": {"scenes": scenes, "objects": objects, "assets": len(meshes)},
        "licences": dict(sorted(Counter(library.asset(name).licence for name in meshes).items())),
        "versions": truth_versions(),
        "truth_hash": truth.hexdigest(),
    }
    write_text(folder / "manifest.json", json.dumps(document, indent=1) + "\n")
