"""Where a scene's shapes and environment maps come from: the offline assets, or Kubric's manifests.

A manifest is the JSON file of one of Kubric's asset sources (KuBasic, GSO, HDRI Haven, or what
``python -m dataset_gen assets`` writes): each id has an archive ``<id>.tar.gz`` beside it or in its ``data_dir``.
The splits of a manifest are disjoint: its entries may name theirs (``metadata.splits``), else the id decides.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import importlib.util
import io
import json
import os
import re
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dataset_gen.assets import SPLITS, THING, Asset, asset, asset_ids, compact, origin, read_obj, reserved_ids
from dataset_gen.creatures import KINDS, creature, creature_ids, is_creature
from dataset_gen.locks import scratch_folder
from vidamodal.media.files import atomic_file
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh, Vector

HDRIS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
"""Environment maps that come with Blender."""

TEXTURES = ("plain", "noise", "voronoi", "checker", "wave", "brick")
"""Surfaces of what has none of its own: Blender's procedural nodes."""

NEARLY_UNIT = 1e-4
"""A shape whose centre and longest side are right to this many metres is left where it is."""

_MOST_UNPACKED = 2**30  # bytes: an archive of more is no asset
_SECONDS = 60  # a server that is silent for longer is not there


@dataclass(frozen=True)
class VisualFile:
    """A file that shows an asset, in its own units and Blender's axes: (points - centre) / longest are its metres.

    If it is ``textured``, it has a surface of its own.
    """

    path: Path
    centre: Vector = (0.0, 0.0, 0.0)
    longest: float = 1.0
    textured: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a library's contents: how many assets of one name and origin each split has."""

    name: str
    kind: str
    licence: str
    source: str
    counts: tuple[int, ...]


class Library:
    """The offline assets. Every method that takes an id or a name raises InputError for one that it does not have."""

    identity: str = "offline"
    """Name, version and digest of each manifest: what a data set says of its assets."""

    def ids(self, split: str) -> Mapping[str, tuple[str, ...]]:
        """Ids of a split's assets by family; those without a name of their own are in the family THING."""
        return asset_ids(split)

    def asset(self, asset_id: str) -> Asset:
        """The shape of an id."""
        return creature(asset_id).asset if is_creature(asset_id) else asset(asset_id)

    def visual_file(self, asset_id: str) -> VisualFile | None:
        """The file that shows an asset better than its mesh alone does; None where there is none."""
        return None

    def maps(self, split: str) -> tuple[str, ...]:
        """Names of a split's environment maps."""
        return HDRIS

    def map_file(self, name: str) -> Path:
        """The image of an environment map."""
        if name not in HDRIS:
            raise InputError(f"unknown environment map {name!r}: use one of {', '.join(HDRIS)}")
        blender = importlib.util.find_spec("bpy")
        folders = (blender and blender.submodule_search_locations) or ()
        paths = [path for place in folders for path in Path(place).glob(f"*/datafiles/studiolights/world/{name}.exr")]
        if not paths:
            raise InputError(f"environment map {name!r} comes with Blender: run `make datagen`, or install bpy")
        return paths[0]

    def rows(self) -> Iterator[Row]:
        """What it holds, shapes first."""
        families = {family: tuple(len(asset_ids(split)[family]) for split in SPLITS) for family in asset_ids("train")}
        families |= {kind: tuple(len(creature_ids(split)) // len(KINDS) for split in SPLITS) for kind in sorted(KINDS)}
        for family, counts in families.items():
            yield Row(family, "creature" if family in KINDS else "shape", *origin(family), counts)
        for name in HDRIS:
            yield Row(name, "environment map", "CC0-1.0", "Poly Haven (Greg Zaal), comes with Blender", (1, 1, 1))
        for name in TEXTURES:
            yield Row(name, "texture", "Apache-2.0", "dataset_gen, of Blender's procedural nodes", (1, 1, 1))


OFFLINE = Library()


def open_library(manifests: Sequence[str], cache: Path) -> Library:
    """The assets of some manifests: paths, or addresses that begin with gs:// (a public bucket) or https://.

    Without a manifest of shapes, the offline shapes are taken, and so are the maps; creatures are always the offline
    ones. An archive is unpacked in the folder ``cache`` (made when needed, for this library alone) when its asset is
    asked for; one that had to be fetched is kept in ``downloads()``.
    Raises InputError for a manifest that cannot be read or is none, and for ids that two of them share.
    """
    if not manifests:
        return OFFLINE
    shapes: dict[str, _Entry] = {}
    maps: dict[str, _Entry] = {}
    identity = []
    for place in manifests:
        content = _read(place)
        name, entries = _entries(place, content)
        identity.append(f"{name} sha256:{_digest(content)}")
        for entry in entries:
            if entry.id in shapes or entry.id in maps:
                raise InputError(f"{place}: asset {entry.id!r} stands in another manifest as well; leave one out")
            (maps if entry.is_map else shapes)[entry.id] = entry
    return ManifestLibrary(shapes, maps, ", ".join(identity), cache)


@contextmanager
def borrow_library(manifests: Sequence[str]) -> Iterator[Library]:
    """``open_library`` with a temporary cache."""
    with scratch_folder() as scratch:
        yield open_library(manifests, scratch / "assets")


def downloads() -> Path:
    """Where fetched archives are kept, by the digest of their manifest; it may be emptied at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vidamodal", "assets")


def split_of(asset_id: str) -> str:
    """The split of an id that does not say its own: 70 % train, 10 % validation, 20 % test."""
    place = zlib.crc32(asset_id.encode()) % 10
    return SPLITS[0] if place < 7 else SPLITS[1] if place < 8 else SPLITS[2]


@dataclass(frozen=True)
class _Entry:
    """What a manifest says of an asset: ``file`` is what shows it, in the archive at ``archive``."""

    id: str
    label: str
    licence: str
    source: str
    splits: tuple[str, ...]
    is_map: bool
    archive: str
    file: str
    manifest: str  # its digest

    @property
    def family(self) -> str:
        return THING if self.label == "thing" else self.label

    @property
    def origin(self) -> tuple[str, str, str]:
        return self.id if self.is_map else self.label, self.licence, self.source


class ManifestLibrary(Library):
    """The assets of manifests; see ``open_library``."""

    def __init__(self, shapes: Mapping[str, _Entry], maps: Mapping[str, _Entry], identity: str, cache: Path) -> None:
        self._shapes, self._maps, self._cache = shapes, maps, cache
        self.identity = identity

    def ids(self, split: str) -> Mapping[str, tuple[str, ...]]:
        if not self._shapes:
            return super().ids(split)
        families: dict[str, list[str]] = {}
        for entry in sorted(self._shapes.values(), key=lambda entry: (entry.family, entry.id)):
            if split in entry.splits:
                families.setdefault(entry.family, []).append(entry.id)
        if not families:
            raise InputError(f"{self.identity}: no shape is in the split {split!r}; add another manifest")
        return {family: tuple(ids) for family, ids in families.items()}

    def asset(self, asset_id: str) -> Asset:
        entry = self._shapes.get(asset_id)
        return super().asset(asset_id) if entry is None else _load(entry, _unpack(entry, self._cache))[0]

    def visual_file(self, asset_id: str) -> VisualFile | None:
        entry = self._shapes.get(asset_id)
        return super().visual_file(asset_id) if entry is None else _load(entry, _unpack(entry, self._cache))[1]

    def maps(self, split: str) -> tuple[str, ...]:
        if not self._maps:
            return super().maps(split)
        names = tuple(sorted(entry.id for entry in self._maps.values() if split in entry.splits))
        if not names:
            raise InputError(f"{self.identity}: no map is in the split {split!r}; add another manifest")
        return names

    def map_file(self, name: str) -> Path:
        if not self._maps:
            return super().map_file(name)
        if name not in self._maps:
            raise InputError(f"unknown environment map {name!r}: not in {self.identity}")
        entry = self._maps[name]
        return _member(entry, _unpack(entry, self._cache), entry.file)

    def rows(self) -> Iterator[Row]:
        """What the manifests hold, shapes first; what comes from elsewhere is not listed."""
        for kind, entries in (("shape", self._shapes), ("environment map", self._maps)):
            for name, licence, source in sorted({entry.origin for entry in entries.values()}):
                same = [entry for entry in entries.values() if entry.origin == (name, licence, source)]
                yield Row(name, kind, licence, source, tuple(sum(split in e.splits for e in same) for split in SPLITS))


# Manifests


def _read(place: str) -> bytes:
    """A file's bytes; gs://BUCKET/... is read as anyone may read a public bucket."""
    address = re.sub("^gs://", "https://storage.googleapis.com/", place)
    try:
        if re.match("https?://", address):
            with urllib.request.urlopen(quote(address, safe=":/%?=&+,"), timeout=_SECONDS) as answer:
                return answer.read()
        return Path(place).read_bytes()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error).split())
        raise InputError(f"{place}: cannot be read ({reason}); check the address, or give a local copy") from None


def _entries(place: str, content: bytes) -> tuple[str, list[_Entry]]:
    """Name and version of a manifest, and its entries but for reserved ids."""
    try:
        document = json.loads(content)
        folder = place.rpartition("/")[0] if "://" in place else str(Path(place).parent)
        stated = str(document.get("data_dir") or folder)
        if "://" not in stated and "://" not in folder:
            stated = str(Path(folder, stated))
        name = " ".join(str(document[key]) for key in ("name", "version") if document.get(key)) or Path(place).stem
        entries = [
            _entry(str(key), fields, name, folder, stated, _digest(content))
            for key, fields in document["assets"].items()
            if key not in reserved_ids()
        ]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        reason = error if isinstance(error, InputError) else "not a Kubric manifest, which has assets by id"
        raise InputError(f"{place}: {reason}") from None
    return name, entries


def _entry(asset_id: str, fields: Mapping[str, Any], name: str, folder: str, stated: str, manifest: str) -> _Entry:
    kind = fields["asset_type"]
    if kind not in ("FileBasedObject", "Texture"):
        raise InputError(f"asset {asset_id!r} is a {kind!r}: only FileBasedObject and Texture are known")
    kwargs, metadata = fields["kwargs"], fields.get("metadata", {})
    splits = tuple(metadata.get("splits", [split_of(asset_id)]))
    if not set(splits) <= set(SPLITS):
        raise InputError(f"asset {asset_id!r} has the splits {splits}: known are {', '.join(SPLITS)}")
    archive = _inside(fields.get("path") or f"{_inside(asset_id)}.tar.gz")
    beside = "://" not in folder and Path(folder, archive).exists()  # a copy of a bucket still names the bucket
    return _Entry(
        id=asset_id,
        label=str(metadata.get("category") or "thing"),
        licence=str(fields.get("license") or "unknown"),
        source=str(metadata.get("source") or name),
        splits=splits,
        is_map=kind == "Texture",
        archive=f"{folder if beside else stated}/{archive}",
        file=_inside(kwargs["filename" if kind == "Texture" else "render_filename"].removeprefix("{asset_dir}/")),
        manifest=manifest,
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _inside(name: str) -> str:
    """A relative path that stays in its folder; InputError for any other."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00-\x1f]|^\w:", name):
        raise InputError(f"{name!r} is no path inside its folder; the manifest or archive is damaged or hostile")
    return str(path)


# Archives


def _unpack(entry: _Entry, cache: Path) -> Path:
    """The folder of an asset's files. It appears whole, by a rename, whoever else is at it."""
    folder = cache / quote(entry.id, safe="")
    if folder.is_dir():
        return folder
    content = _fetch(entry)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".") as scratch:
        fresh = Path(scratch, folder.name)
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
                _extract(tar, fresh, entry.id)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, InputError, FileExistsError) as error:
            raise InputError(f"{entry.archive}: cannot be unpacked ({' '.join(str(error).split())})") from None
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _fetch(entry: _Entry) -> bytes:
    """An archive's bytes, from the server only once."""
    if "://" not in entry.archive:
        return _read(entry.archive)
    kept = downloads() / entry.manifest / f"{quote(entry.id, safe='')}.tar.gz"
    if not kept.exists():
        with atomic_file(kept) as beside:
            beside.write_bytes(_read(entry.archive))
    return kept.read_bytes()


def _extract(tar: tarfile.TarFile, folder: Path, asset_id: str) -> None:
    """Kubric's archives hold the files themselves, or a folder of the asset's name with them."""
    members = tar.getmembers()
    if sum(member.size for member in members) > _MOST_UNPACKED:
        raise InputError(f"more than {_MOST_UNPACKED} bytes")
    folder.mkdir()
    for member in members:
        if member.isdir():
            continue
        file = tar.extractfile(member) if member.isfile() else None
        if file is None:
            raise InputError(f"{member.name!r} is no plain file; the archive is damaged or hostile")
        path = folder / _inside(member.name).removeprefix(f"{asset_id}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read())


def _member(entry: _Entry, folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise InputError(f"{entry.archive}: holds no {name}, which asset {entry.id!r} needs")
    return folder / name


# Shapes


@cache
def _load(entry: _Entry, folder: Path) -> tuple[Asset, VisualFile]:
    """An unpacked shape, centred on the centroid of the physics' parts, its longest visible side 1 m."""
    shown = _member(entry, folder, entry.file)
    solid = _member(entry, folder, str(PurePosixPath(entry.file).with_name("collision_geometry.obj")))
    textured = _textured(shown, entry)
    parts, surface = _meshes(solid, entry), _joined(_meshes(shown, entry))
    longest = float(np.ptp(surface.vertices, axis=0).max())
    centre = _centroid(parts)
    if not (longest > 0 and np.isfinite(centre).all()):
        raise InputError(f"{entry.archive}: asset {entry.id!r} is flat or has no size")
    if abs(longest - 1) < NEARLY_UNIT and np.abs(centre).max() < NEARLY_UNIT:
        centre, longest = np.zeros(3), 1.0
    seen = Mesh(_metres(surface.vertices, centre, longest), surface.faces)
    shape = Asset(
        id=entry.id,
        label=entry.label,
        parts=tuple(Mesh(_metres(part.vertices, centre, longest), part.faces) for part in parts),
        licence=entry.licence,
        source=entry.source,
        surface=seen if is_closed(seen) else Mesh(seen.vertices, np.concatenate([seen.faces, seen.faces[:, ::-1]])),
    )
    x, y, z = centre.tolist()
    return shape, VisualFile(shown, (x, y, z), longest, textured)


@contextmanager
def _reading(path: Path, entry: _Entry) -> Iterator[None]:
    """Say of which archive a damaged file is, whatever its reader says."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{entry.archive}: {path.name} cannot be read ({' '.join(str(error).split())})") from None


def _meshes(path: Path, entry: _Entry) -> list[Mesh]:
    with _reading(path, entry):
        if path.suffix == ".obj":
            meshes = read_obj(path.read_text("utf-8", errors="replace"))
        elif path.suffix in (".glb", ".gltf"):
            import trimesh

            mesh = trimesh.load_scene(path).to_mesh()
            meshes = [compact(np.asarray(mesh.vertices), np.asarray(mesh.faces))]
        else:
            raise ValueError("neither .obj nor .glb")
        if not meshes:
            raise ValueError("no faces")
    return meshes


def _textured(path: Path, entry: _Entry) -> bool:
    """Whether a file's surface shows pictures. InputError where one of them, or another part of it, is missing."""
    with _reading(path, entry):
        if path.suffix == ".obj":
            libraries = [path.parent / _inside(name) for name in _words(path, "mtllib")]
            named = [_words(file, "map_", "bump", "norm", "refl", "disp") for file in libraries if file.is_file()]
            pictures = parts = [words.split()[-1] for lines in named for words in lines]  # options come first
        else:
            content = path.read_bytes()
            binary = path.suffix == ".glb"  # its first piece is what a .gltf holds
            document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")] if binary else content)
            pictures, buffers = ([piece.get("uri", "") for piece in document.get(k, ())] for k in ("images", "buffers"))
            parts = [unquote(uri) for uri in pictures + buffers if uri and not uri.startswith("data:")]
        for part in parts:
            if not any((path.parent / name).is_file() for name in (_inside(part), Path(part).name)):
                raise ValueError(f"needs {part}, which is missing")
    return bool(pictures)


def _words(path: Path, *starts: str) -> list[str]:
    """What follows the words that begin so, at the beginning of a text file's lines."""
    lines = (line.split(maxsplit=1) for line in path.read_text("utf-8", errors="replace").splitlines())
    return [line[1].strip() for line in lines if len(line) == 2 and line[0].lower().startswith(starts)]


def _joined(meshes: Sequence[Mesh]) -> Mesh:
    return Asset("", "", tuple(meshes), "", "").mesh


def _metres(points: Float[np.ndarray, "p 3"], centre: Float[np.ndarray, " 3"], longest: float) -> np.ndarray:
    return np.round((points - centre) / longest, 6).astype(np.float32)


def _centroid(parts: Sequence[Mesh]) -> Float[np.ndarray, " 3"]:
    """Centroid of closed parts, whichever way their faces are wound; not finite if they have no volume."""
    weights, centres = [], []
    for part in parts:
        corners = part.vertices[part.faces] - part.vertices[0]
        volumes = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        weights.append(abs(volumes.sum()))
        with np.errstate(all="ignore"):
            centres.append(part.vertices[0] + volumes @ corners.sum(axis=1) / 4 / volumes.sum())
    solid = np.array(weights) > 0
    with np.errstate(all="ignore"):
        return np.array(weights)[solid] @ np.array(centres)[solid] / sum(weights)


def is_closed(mesh: Mesh) -> bool:
    """Whether every ray from outside meets a front face first: each edge is walked as often both ways, outwards.

    Unlike a watertight mesh's, an edge may belong to four faces, as where two closed parts touch.
    """
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces].astype(np.int64)
    start, stop = faces.T.reshape(-1), np.roll(faces, -1, axis=1).T.reshape(-1)
    count = int(faces.max()) + 1
    if not np.array_equal(np.sort(start * count + stop), np.sort(stop * count + start)):
        return False
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    volumes = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return bool(np.all(np.bincount(_components(faces, count), volumes) > 0))


def _components(faces: Int[np.ndarray, "f 3"], count: int) -> Int[np.ndarray, " f"]:
    """The connected piece of each face."""
    start, stop = faces[:, [0, 1]].T.reshape(-1), faces[:, [1, 2]].T.reshape(-1)
    links = coo_array((np.ones(len(start)), (start, stop)), shape=(count, count))
    _, names = connected_components(links, directed=False)
    return np.unique(names[faces[:, 0]], return_inverse=True)[1]
