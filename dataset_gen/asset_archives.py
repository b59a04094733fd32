"""Archives of assets: downloading, safe unpacking and packing."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from dataset_gen.asset_manifests import ManifestEntry, check_relative_path, read_bytes
from vidamodal.media.files import atomic_file
from vidamodal.types import InputError

_MAX_UNPACKED = 2**30  # bytes; no asset is that large


def download_folder() -> Path:
    """Return the folder for downloaded archives, which may be emptied at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vidamodal", "assets")


def unpack(entry: ManifestEntry, cache: Path) -> Path:
    """Unpack an asset's archive unless that was done before, and return the folder of its files.

    The folder appears complete, by a rename, even if several processes unpack the same asset.

    Raises:
        InputError: The archive cannot be read or unpacked.
    """
    folder = cache / quote(entry.id, safe="")
    if folder.is_dir():
        return folder
    content = _read_archive(entry)
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


def require_member(entry: ManifestEntry, folder: Path, name: str) -> Path:
    """Return the path of an unpacked file.

    Raises:
        InputError: The archive does not contain it.
    """
    if not (folder / name).is_file():
        raise InputError(f"{entry.archive}: asset {entry.id!r} needs {name}, which is missing. Replace the archive.")
    return folder / name


def write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a gzipped tar with constant headers."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def _read_archive(entry: ManifestEntry) -> bytes:
    """Read an archive; download it only once."""
    if "://" not in entry.archive:
        return read_bytes(entry.archive)
    path = download_folder() / entry.manifest_digest / f"{quote(entry.id, safe='')}.tar.gz"
    if not path.exists():
        with atomic_file(path) as temporary:
            temporary.write_bytes(read_bytes(entry.archive))
    return path.read_bytes()


def _extract(tar: tarfile.TarFile, folder: Path, asset_id: str) -> None:
    """Extract the files of an asset, which some archives hold in a folder with the asset's name."""
    members = tar.getmembers()
    if sum(member.size for member in members) > _MAX_UNPACKED:
        raise InputError(f"larger than {_MAX_UNPACKED} bytes")
    folder.mkdir()
    for member in members:
        if member.isdir():
            continue
        file = tar.extractfile(member) if member.isfile() else None
        if file is None:
            raise InputError(f"{member.name!r} is not a regular file. The archive is damaged or malicious.")
        path = folder / check_relative_path(member.name).removeprefix(f"{asset_id}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read())
