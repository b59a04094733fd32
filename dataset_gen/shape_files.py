"""Shapes of a manifest's archives, read from OBJ and glTF files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from dataset_gen.asset_archives import require_member
from dataset_gen.asset_manifests import ManifestEntry, check_relative_path
from dataset_gen.assets import Asset
from dataset_gen.meshes import centroid, drop_unused_points, is_closed, join, read_obj, to_metres
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh, Vector

ALMOST_UNIT = 1e-4
"""A shape whose centre and longest side differ by less than this many metres from 0 and 1 is left unchanged."""


@dataclass(frozen=True)
class VisualFile:
    """A file with an asset's visible mesh, in its own units and Blender's axes.

    (points - centre) / longest are the coordinates in metres.
    """

    path: Path
    centre: Vector = (0.0, 0.0, 0.0)
    longest: float = 1.0
    is_textured: bool = False
    """True if the file brings its own image textures."""


@cache
def load_shape(entry: ManifestEntry, folder: Path) -> tuple[Asset, VisualFile]:
    """Load an unpacked shape, centred on the centroid of its collision parts and with a longest visible side of 1 m.

    A visible mesh that is not closed is made two-sided.

    Raises:
        InputError: A file is missing or damaged, or the shape has no size.
    """
    visual = require_member(entry, folder, entry.file)
    collision = require_member(entry, folder, str(PurePosixPath(entry.file).with_name("collision_geometry.obj")))
    is_textured = _is_textured(visual, entry)
    parts, surface = _read_meshes(collision, entry), join(_read_meshes(visual, entry))
    longest = float(np.ptp(surface.vertices, axis=0).max())
    centre = centroid(parts)
    if not (longest > 0 and np.isfinite(centre).all()):
        raise InputError(f"{entry.archive}: asset {entry.id!r} is flat or has no size. Leave it out.")
    if abs(longest - 1) < ALMOST_UNIT and np.abs(centre).max() < ALMOST_UNIT:
        centre, longest = np.zeros(3), 1.0
    visible = Mesh(to_metres(surface.vertices, centre, longest), surface.faces)
    shape = Asset(
        id=entry.id,
        label=entry.label,
        parts=tuple(Mesh(to_metres(part.vertices, centre, longest), part.faces) for part in parts),
        licence=entry.licence,
        source=entry.source,
        surface=visible if is_closed(visible) else _two_sided(visible),
    )
    x, y, z = centre.tolist()
    return shape, VisualFile(visual, (x, y, z), longest, is_textured)


def _two_sided(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))


@contextmanager
def _name_archive_in_errors(path: Path, entry: ManifestEntry) -> Iterator[None]:
    """Turn any error of a file reader into an InputError that names the archive."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{entry.archive}: {path.name} cannot be read ({' '.join(str(error).split())})") from None


def _read_meshes(path: Path, entry: ManifestEntry) -> list[Mesh]:
    with _name_archive_in_errors(path, entry):
        if path.suffix == ".obj":
            meshes = read_obj(path.read_text("utf-8", errors="replace"))
        elif path.suffix in (".glb", ".gltf"):
            import trimesh

            mesh = trimesh.load_scene(path).to_mesh()
            meshes = [drop_unused_points(np.asarray(mesh.vertices), np.asarray(mesh.faces))]
        else:
            raise ValueError("neither .obj nor .glb nor .gltf")
        if not meshes:
            raise ValueError("no faces")
    return meshes


def _is_textured(path: Path, entry: ManifestEntry) -> bool:
    """Return True if a file uses image textures; raise InputError if one of them, or a buffer, is missing."""
    with _name_archive_in_errors(path, entry):
        images, buffers = _obj_references(path) if path.suffix == ".obj" else _gltf_references(path)
        for name in images + buffers:
            if name and not any(
                (path.parent / name).is_file() for name in (check_relative_path(name), Path(name).name)
            ):
                raise ValueError(f"needs {name}, which is missing")
    return bool(images)


def _obj_references(path: Path) -> tuple[list[str], list[str]]:
    """Return the images that an OBJ file's material libraries use; it has no buffers."""
    libraries = [path.parent / check_relative_path(name) for name in _statements(path, "mtllib")]
    textures = [_statements(file, "map_", "bump", "norm", "refl", "disp") for file in libraries if file.is_file()]
    return [words.split()[-1] for lines in textures for words in lines], []  # options come before the name


def _gltf_references(path: Path) -> tuple[list[str], list[str]]:
    """Return the images and buffers of a glTF file; the name of an embedded one is empty."""
    content = path.read_bytes()
    if path.suffix == ".glb":  # its first chunk is what a .gltf file holds
        content = content[20 : 20 + int.from_bytes(content[12:16], "little")]
    document = json.loads(content)
    uris = ([item.get("uri", "") for item in document.get(key, ())] for key in ("images", "buffers"))
    images, buffers = (["" if uri.startswith("data:") else unquote(uri) for uri in names] for names in uris)
    return images, buffers


def _statements(path: Path, *keywords: str) -> list[str]:
    """Return the arguments of the lines that begin with one of the keywords."""
    lines = (line.split(maxsplit=1) for line in path.read_text("utf-8", errors="replace").splitlines())
    return [line[1].strip() for line in lines if len(line) == 2 and line[0].lower().startswith(keywords)]
