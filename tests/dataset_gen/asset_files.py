"""Archives and manifests of assets for tests."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_gen.assets import SPLITS
from dataset_gen.library import Library, open_library
from dataset_gen.meshes import convex_hull, dump_obj
from vidamodal.worlds.spec import Mesh

CUBE = convex_hull(
    np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (0.3, 0.2, 0.1) + (5.0, 6.0, 7.0)
)
"""A box far from the origin, 0.3 m long."""


def archive_files(shape: Mesh = CUBE, **more: bytes | str) -> dict[str, bytes]:
    """Return the files that Kubric's archives of objects contain."""
    text = dump_obj({"part": shape})
    files = {"data.json": "{}", "object.urdf": "", "visual_geometry.obj": text, "collision_geometry.obj": text}
    return {name: text.encode() if isinstance(text, str) else text for name, text in (files | more).items()}


def pack(path: Path, files: Mapping[str, bytes], folder: str = "") -> None:
    """Write an archive, with its files in a folder if one is named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        if folder:
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def shape_entry(category: str | None = None, **metadata: Any) -> dict[str, Any]:
    """Return the entry of a shape as in the manifests of Kubric's buckets."""
    return {
        "asset_type": "FileBasedObject",
        "license": "CC BY-SA 4.0",
        "kwargs": {
            "bounds": [[-1, -1, -1], [1, 1, 1]],
            "mass": 1.0,
            "render_filename": "{asset_dir}/visual_geometry.obj",
            "simulation_filename": "{asset_dir}/object.urdf",
        },
        "metadata": {"nr_faces": 12, **({"category": category} if category else {}), **metadata},
    }


def map_entry() -> dict[str, Any]:
    """Return the entry of an environment map as in the manifests of Kubric's buckets."""
    kwargs = {"filename": "{asset_dir}/environment_4k.hdr"}
    return {"asset_type": "Texture", "license": "CC0 1.0", "kwargs": kwargs, "metadata": {"resolution": "4k"}}


def write_asset_manifest(folder: Path, assets: Mapping[str, Any], name: str = "KuBasic", **more: Any) -> str:
    """Write a manifest and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "version": "1.0", "assets": assets, **more}))
    return str(path)


def open_single_shape(folder: Path, files: Mapping[str, bytes], **more: Any) -> Library:
    """Write and open a manifest with one shape, "it"."""
    pack(folder / "it.tar.gz", files)
    manifest = write_asset_manifest(folder, {"it": shape_entry(splits=SPLITS), **more})
    return open_library([manifest], folder / "cache")


def is_same_mesh(a: Mesh, b: Mesh) -> bool:
    """Return True if two meshes have equal arrays of equal types."""
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in ((a.vertices, b.vertices), (a.faces, b.faces)))
