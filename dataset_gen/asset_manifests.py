"""Kubric's asset manifests: JSON files that list the shapes or environment maps of an asset source.

KuBasic, GSO and HDRI Haven have such manifests, and ``python -m dataset_gen assets`` writes one. The archive of an
asset is ``<id>.tar.gz``, beside the manifest or in its ``data_dir``. An entry may name its splits
(``metadata.splits``); otherwise a hash of its id decides, so that splits are disjoint.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from dataset_gen.assets import SPLITS, THING, Split, reserved_ids
from vidamodal.types import InputError

_TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class ManifestEntry:
    """An asset of a manifest."""

    id: str
    label: str
    licence: str
    source: str
    splits: tuple[Split, ...]
    is_map: bool
    """True for an environment map, False for a shape."""
    archive: str
    """Path or address of the archive."""
    file: str
    """Path inside the archive of the shape's visible mesh or of the map's image."""
    manifest_digest: str

    @property
    def family(self) -> str:
        """The family from which scenes sample the asset."""
        return THING if self.label == "thing" else self.label

    @property
    def origin(self) -> tuple[str, str, str]:
        """Name, licence and source, as the asset catalogue lists them."""
        return self.id if self.is_map else self.label, self.licence, self.source


@dataclass(frozen=True)
class AssetManifest:
    """The entries of a manifest, without reserved ids."""

    identity: str
    """Name, version and digest."""
    entries: tuple[ManifestEntry, ...]


def read_manifest(location: str) -> AssetManifest:
    """Read a manifest.

    Args:
        location: A path, an https:// address, or a gs:// address in a public bucket.

    Raises:
        InputError: The manifest cannot be read or is not one of Kubric's.
    """
    content = read_bytes(location)
    digest = hashlib.sha256(content).hexdigest()[:16]
    try:
        document = json.loads(content)
        folder = location.rpartition("/")[0] if "://" in location else str(Path(location).parent)
        data_dir = str(document.get("data_dir") or folder)
        if "://" not in data_dir and "://" not in folder:
            data_dir = str(Path(folder, data_dir))
        name = " ".join(str(document[key]) for key in ("name", "version") if document.get(key)) or Path(location).stem
        source = _Source(name, folder, data_dir, digest)
        entries = tuple(
            _parse_entry(str(key), fields, source)
            for key, fields in document["assets"].items()
            if key not in reserved_ids()
        )
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        reason = error if isinstance(error, InputError) else "not a Kubric manifest (an object with assets by id)"
        raise InputError(f"{location}: {reason}") from None
    return AssetManifest(f"{name} sha256:{digest}", entries)


def read_bytes(location: str) -> bytes:
    """Read a file, an https:// address, or a gs:// address in a public bucket.

    Raises:
        InputError: It cannot be read.
    """
    address = re.sub("^gs://", "https://storage.googleapis.com/", location)
    try:
        if re.match("https?://", address):
            with urllib.request.urlopen(quote(address, safe=":/%?=&+,"), timeout=_TIMEOUT) as response:
                content: bytes = response.read()
                return content
        return Path(location).read_bytes()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error).split())
        raise InputError(f"{location}: cannot be read ({reason}). Check the address, or use a local copy.") from None


def split_of(asset_id: str) -> Split:
    """Return the split of an id whose manifest names none: 70 % train, 10 % validation, 20 % test."""
    digit = zlib.crc32(asset_id.encode()) % 10
    return "train" if digit < 7 else "validation" if digit < 8 else "test"


def check_relative_path(name: str) -> str:
    """Return a relative path in normal form.

    Raises:
        InputError: The path is absolute, leaves its folder or has unusual characters.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00-\x1f]|^\w:", name):
        raise InputError(f"{name!r} is not a path inside its folder. The manifest or archive is damaged or malicious.")
    return str(path)


@dataclass(frozen=True)
class _Source:
    """Properties that all entries of a manifest share."""

    name: str
    folder: str
    data_dir: str
    digest: str


def _parse_entry(asset_id: str, fields: Mapping[str, Any], source: _Source) -> ManifestEntry:
    kind = fields["asset_type"]
    if kind not in ("FileBasedObject", "Texture"):
        raise InputError(f"asset {asset_id!r} has the type {kind!r}. Only FileBasedObject and Texture are supported.")
    kwargs, metadata = fields["kwargs"], fields.get("metadata", {})
    splits = tuple(metadata.get("splits", [split_of(asset_id)]))
    if not set(splits) <= set(SPLITS):
        raise InputError(f"asset {asset_id!r} has the splits {splits}. Only {', '.join(SPLITS)} are known.")
    archive = check_relative_path(fields.get("path") or f"{check_relative_path(asset_id)}.tar.gz")
    # A local copy of a bucket still names the bucket as its data_dir.
    is_beside = "://" not in source.folder and Path(source.folder, archive).exists()
    file = kwargs["filename" if kind == "Texture" else "render_filename"].removeprefix("{asset_dir}/")
    return ManifestEntry(
        id=asset_id,
        label=str(metadata.get("category") or "thing"),
        licence=str(fields.get("license") or "unknown"),
        source=str(metadata.get("source") or source.name),
        splits=splits,
        is_map=kind == "Texture",
        archive=f"{source.folder if is_beside else source.data_dir}/{archive}",
        file=check_relative_path(file),
        manifest_digest=source.digest,
    )
