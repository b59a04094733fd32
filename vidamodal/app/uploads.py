"""Uploaded files: copied into the folder of a session under safe names, and unpacked if they are zip archives."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vidamodal.media.listing import is_foreign
from vidamodal.types import InputError

MAX_MEMBERS = 100_000
"""Most files that an archive may hold."""
_LONGEST = 100
_CHUNK = 2**20
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, UnicodeDecodeError, EOFError, RuntimeError, OSError)
"""Exceptions of zipfile for damaged archives, passwords, and names that the disk refuses."""


def safe_name(name: str) -> str:
    """Return a file name that is safe in any folder and on any system, as close to ``name`` as possible.

    Folders before the name are dropped, accents too, and characters other than letters, digits, dots, hyphens and
    underscores become underscores.
    """
    last = re.split(r"[/\\]", name)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    path = PurePosixPath(re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-") or "file")
    suffix = path.suffix[:16]
    return path.name.removesuffix(path.suffix)[: _LONGEST - len(suffix)] + suffix


def store_upload(files: Sequence[Path], folder: Path, limit: int) -> Path:
    """Copy uploaded files into a new folder and return the path of what they are together.

    A single zip archive is unpacked, and a single other file stays a file; several files are a folder. Hidden files and
    those that other programs left beside the others are passed over.

    Args:
        files: The files, at least one.
        folder: The folder to create; an earlier one is replaced.
        limit: Most bytes that the files, unpacked, may have together.

    Returns:
        The file, or the folder that holds the files.

    Raises:
        InputError: If the files are too large, if two have the same name, or if an archive is damaged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    total = sum(file.stat().st_size for file in files)
    if total > limit:
        raise InputError(f"the files have {_size(total)} together, and the limit is {_size(limit)}. Choose fewer.")
    files = [file for file in files if not is_foreign(file.name)] or list(files)
    if len(files) == 1 and files[0].suffix.lower() == ".zip":
        _unpack(files[0], folder, limit)
        return _only_folder(folder)
    for file in files:
        target = folder / safe_name(file.name)
        if target.exists():
            raise InputError(f"{target.name}: two files have this name. Put folders into a zip archive.")
        _copy(file, target)
    return folder if len(files) > 1 else target


def _copy(file: Path, target: Path) -> None:
    """Copy a file, as a second name of the same content where the disk can do that."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpack a zip archive, with safe names at every depth. Sizes are counted while reading: headers may lie."""
    name = safe_name(archive.name)
    left, folders = limit, _Folders()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [(member, _parts(member)) for member in opened.infolist() if not member.is_dir()]
            members = [(member, parts) for member, parts in members if not any(map(is_foreign, parts))] or members
            if not members or len(members) > MAX_MEMBERS:
                raise InputError(f"{name}: an archive of {len(members)} files. Pack 1 to {MAX_MEMBERS} files.")
            for member, parts in members:
                parent = folder
                for part in parts[:-1]:
                    parent = folders.inside(parent, part)
                target = parent / safe_name(parts[-1])
                if target.exists():
                    shown = target.relative_to(folder).as_posix()
                    raise InputError(f"{name}: two files have the name {shown}. Rename one of them.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as file:
                    while data := source.read(_CHUNK):
                        left -= len(data)
                        if left < 0:
                            raise InputError(f"{name}: more than {_size(limit)} when unpacked. Choose a smaller one.")
                        file.write(data)
    except _DAMAGE as error:
        raise InputError(f"{name}: cannot be unpacked ({error}). Pack the files again, without a password.") from None


def _parts(member: zipfile.ZipInfo) -> list[str]:
    """The folders and the name of a member of an archive."""
    return [part for part in re.split(r"[/\\]", member.filename) if part not in ("", ".", "..")] or ["file"]


class _Folders:
    """The folders of an archive under safe names. Different folders stay different where their safe names are equal."""

    def __init__(self) -> None:
        self._paths: dict[tuple[Path, str], Path] = {}
        self._uses: Counter[Path] = Counter()

    def inside(self, parent: Path, name: str) -> Path:
        """Return the path of the folder with an original name in a folder that this method returned."""
        if (parent, name) not in self._paths:
            safe = path = parent / safe_name(name)
            while self._uses[path]:
                self._uses[safe] += 1
                path = parent / f"{safe.name}_{self._uses[safe]}"
            self._uses[path] += 1
            self._paths[parent, name] = path
        return self._paths[parent, name]


def _only_folder(folder: Path) -> Path:
    """Return the innermost folder that alone holds everything."""
    entries = list(folder.iterdir())
    return _only_folder(entries[0]) if len(entries) == 1 and entries[0].is_dir() else folder


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
