"""Libraries of shapes and environment maps: the offline assets, or those of Kubric's manifests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataset_gen.actors.animal_kinds import ANIMALS
from dataset_gen.actors.riders import CARRIERS
from dataset_gen.actors.vehicle_kinds import VEHICLES
from dataset_gen.asset_archives import require_member, unpack
from dataset_gen.asset_manifests import ManifestEntry, read_manifest
from dataset_gen.assets import SPLITS, Asset, Split, asset_ids, load_asset, origin
from dataset_gen.creature_kinds import KINDS
from dataset_gen.creatures import creature_ids, is_creature, load_creature
from dataset_gen.families import family_ids
from dataset_gen.locks import scratch_folder
from dataset_gen.places.backdrops import FAMILY as BACKDROP
from dataset_gen.places.backdrops import backdrop_ids, load_backdrop
from dataset_gen.places.casting import CASTS
from dataset_gen.props.catalogue import PROPS, load_prop
from dataset_gen.shape_files import VisualFile, load_shape
from vidamodal.types import InputError
from vidamodal.worlds.spec import Mesh, SceneSpec

HDRIS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
"""Environment maps that come with Blender."""

TEXTURES = ("plain", "noise", "voronoi", "checker", "wave", "brick")
"""Procedural textures, made of Blender's nodes, for shapes without a texture."""


@dataclass(frozen=True)
class Collective:
    """Families of real size that one function loads by id."""

    kind: str
    """What the catalogue calls them."""
    families: Collection[str]
    load: Callable[[str], Asset]
    ids: Callable[[Split], Sequence[str]]
    """Returns the ids of a split of all families."""


def _prop_ids(split: Split) -> Sequence[str]:
    return [asset_id for ids in family_ids(PROPS, split).values() for asset_id in ids]


REAL_THINGS: tuple[Collective, ...] = (
    Collective("animal", ANIMALS, CASTS["animal"].load, CASTS["animal"].ids),
    Collective("prop", PROPS, load_prop, _prop_ids),
    Collective("backdrop", (BACKDROP,), load_backdrop, backdrop_ids),
    Collective("person", ("person",), CASTS["person"].load, CASTS["person"].ids),
    Collective("rider", CARRIERS, CASTS["rider"].load, CASTS["rider"].ids),
    Collective("vehicle", VEHICLES, CASTS["vehicle"].load, CASTS["vehicle"].ids),
)
"""Families of real size in metres, beside the shapes and creatures that scenes scale."""


@dataclass(frozen=True)
class CatalogueRow:
    """The assets of one name and origin, with their number in each split."""

    name: str
    kind: str
    licence: str
    source: str
    counts: tuple[int, ...]


class Library:
    """The offline assets. Methods that take an id or a name raise InputError if it is unknown."""

    identity: str = "offline"
    """Name, version and digest of each manifest, as the manifest of a data set records them."""

    def ids(self, split: Split) -> Mapping[str, tuple[str, ...]]:
        """Return the asset ids of a split by family; shapes without a label are in the family THING."""
        return asset_ids(split)

    def asset(self, asset_id: str) -> Asset:
        """Return the shape with an id."""
        family = asset_id.partition("/")[0]
        for collective in REAL_THINGS:
            if family in collective.families:
                return collective.load(asset_id)
        return load_creature(asset_id).asset if is_creature(asset_id) else load_asset(asset_id)

    def visual_file(self, asset_id: str) -> VisualFile | None:  # noqa: ARG002
        """Return the file to render an asset from; None if it has only its mesh."""
        return None

    def maps(self, split: Split) -> tuple[str, ...]:  # noqa: ARG002
        """Return the names of a split's environment maps."""
        return HDRIS

    def map_file(self, name: str) -> Path:
        """Return the image file of an environment map."""
        if name not in HDRIS:
            raise InputError(f"unknown environment map {name!r}. Use one of {', '.join(HDRIS)}.")
        blender = importlib.util.find_spec("bpy")
        folders = (blender and blender.submodule_search_locations) or ()
        for folder in folders:
            for path in Path(folder).glob(f"*/datafiles/studiolights/world/{name}.exr"):
                return path
        raise InputError(f"environment map {name!r} comes with Blender. Run `make datagen`, or install bpy.")

    def rows(self) -> Iterator[CatalogueRow]:
        """Yield the contents of the library, shapes first."""
        for family in asset_ids("train"):
            counts = tuple(len(asset_ids(split)[family]) for split in SPLITS)
            yield CatalogueRow(family, "shape", *origin(family), counts)
        for kind in sorted(KINDS):
            counts = tuple(len(creature_ids(split)) // len(KINDS) for split in SPLITS)
            yield CatalogueRow(kind, "creature", *origin(kind), counts)
        for collective in REAL_THINGS:
            for name in sorted(collective.families):
                ids = [[i for i in collective.ids(split) if i.partition("/")[0] == name] for split in SPLITS]
                sample = collective.load(ids[0][0])
                yield CatalogueRow(name, collective.kind, sample.licence, sample.source, tuple(map(len, ids)))
        for name in HDRIS:
            yield CatalogueRow(
                name, "environment map", "CC0-1.0", "Poly Haven (Greg Zaal), comes with Blender", (1, 1, 1)
            )
        for name in TEXTURES:
            yield CatalogueRow(
                name, "texture", "Apache-2.0", "dataset_gen, made of Blender's procedural nodes", (1, 1, 1)
            )


OFFLINE = Library()


class ManifestLibrary(Library):
    """The assets of manifests, with the offline assets where the manifests have no shapes or no maps."""

    def __init__(
        self, shapes: Mapping[str, ManifestEntry], maps: Mapping[str, ManifestEntry], identity: str, cache: Path
    ) -> None:
        """Store the entries by id, and the folder in which archives are unpacked."""
        self._shapes, self._maps, self._cache = shapes, maps, cache
        self.identity = identity

    def ids(self, split: Split) -> Mapping[str, tuple[str, ...]]:
        """Return the asset ids of a split by family."""
        if not self._shapes:
            return super().ids(split)
        families: dict[str, list[str]] = {}
        for entry in sorted(self._shapes.values(), key=lambda entry: (entry.family, entry.id)):
            if split in entry.splits:
                families.setdefault(entry.family, []).append(entry.id)
        if not families:
            raise InputError(f"{self.identity}: no shape is in the split {split!r}. Add another manifest.")
        return {family: tuple(ids) for family, ids in families.items()}

    def asset(self, asset_id: str) -> Asset:
        """Return the shape with an id; creatures are always the offline ones."""
        entry = self._shapes.get(asset_id)
        return super().asset(asset_id) if entry is None else load_shape(entry, unpack(entry, self._cache))[0]

    def visual_file(self, asset_id: str) -> VisualFile | None:
        """Return the file to render an asset from."""
        entry = self._shapes.get(asset_id)
        return super().visual_file(asset_id) if entry is None else load_shape(entry, unpack(entry, self._cache))[1]

    def maps(self, split: Split) -> tuple[str, ...]:
        """Return the names of a split's environment maps."""
        if not self._maps:
            return super().maps(split)
        names = tuple(sorted(entry.id for entry in self._maps.values() if split in entry.splits))
        if not names:
            raise InputError(f"{self.identity}: no map is in the split {split!r}. Add another manifest.")
        return names

    def map_file(self, name: str) -> Path:
        """Return the image file of an environment map."""
        if not self._maps:
            return super().map_file(name)
        if name not in self._maps:
            raise InputError(f"{self.identity}: no environment map {name!r}. Add a manifest with it.")
        entry = self._maps[name]
        return require_member(entry, unpack(entry, self._cache), entry.file)

    def rows(self) -> Iterator[CatalogueRow]:
        """Yield the contents of the manifests, shapes first, without offline assets."""
        for kind, entries in (("shape", self._shapes), ("environment map", self._maps)):
            for name, licence, source in sorted({entry.origin for entry in entries.values()}):
                group = [entry for entry in entries.values() if entry.origin == (name, licence, source)]
                counts = tuple(sum(split in entry.splits for entry in group) for split in SPLITS)
                yield CatalogueRow(name, kind, licence, source, counts)


def open_library(manifests: Sequence[str], cache: Path) -> Library:
    """Open the assets of manifests.

    If no manifest lists shapes, the offline shapes are used; likewise for environment maps. Creatures are always the
    offline ones.

    Args:
        manifests: Paths, https:// addresses, or gs:// addresses in public buckets.
        cache: Folder for this library alone in which archives are unpacked on first use. It is created when needed.

    Raises:
        InputError: A manifest cannot be read or is not one of Kubric's, or two of them share an id.
    """
    if not manifests:
        return OFFLINE
    shapes: dict[str, ManifestEntry] = {}
    maps: dict[str, ManifestEntry] = {}
    identities = []
    for location in manifests:
        manifest = read_manifest(location)
        identities.append(manifest.identity)
        for entry in manifest.entries:
            if entry.id in shapes or entry.id in maps:
                raise InputError(
                    f"{location}: asset {entry.id!r} is in another manifest as well. Leave one of them out."
                )
            (maps if entry.is_map else shapes)[entry.id] = entry
    return ManifestLibrary(shapes, maps, ", ".join(identities), cache)


@contextmanager
def open_temporary_library(manifests: Sequence[str]) -> Iterator[Library]:
    """Open the assets of manifests with a temporary cache; see ``open_library``."""
    with scratch_folder() as scratch:
        yield open_library(manifests, scratch / "assets")


def scene_meshes(spec: SceneSpec, library: Library = OFFLINE) -> dict[str, Mesh]:
    """Return the meshes of a scene's assets by asset id, sorted."""
    return {asset_id: library.asset(asset_id).mesh for asset_id in sorted({item.asset for item in spec.objects})}
