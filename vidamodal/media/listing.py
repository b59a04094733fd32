"""Names and content of folders: the natural order of names, and other programs' files, which readers pass over."""

from __future__ import annotations

import re
from pathlib import Path

_FOREIGN = {
    "$recycle.bin",
    "#recycle",
    "@eadir",
    "__macosx",
    "__pycache__",
    "checkpoints",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
"""Files and folders that file managers, network drives, archivers and notebooks leave behind, in lower case."""


def is_foreign(name: str) -> bool:
    """Return True for the name of a hidden entry, or of one that another program left in a folder."""
    return name.startswith((".", "~$")) or name.lower() in _FOREIGN


def plain_name(path: Path) -> str:
    """Return the name of a file or folder as text that every system accepts.

    Backslashes, which Windows takes for separators, become underscores, and bytes that are no UTF-8 become U+FFFD.
    """
    return re.sub("[\ud800-\udfff]", "\ufffd", path.name.replace("\\", "_"))


def list_folder(folder: Path) -> list[Path]:
    """Return the entries of a folder that are not foreign, in the natural order of their names."""
    entries = (entry for entry in folder.iterdir() if not is_foreign(entry.name))
    return sorted(entries, key=lambda entry: natural_key(entry.stem) + natural_key(entry.suffix))


def list_folders(folder: Path) -> list[Path]:
    """Return the folders among ``list_folder``."""
    return [entry for entry in list_folder(folder) if entry.is_dir()]


def find_in_folder(folder: Path, pattern: str) -> list[Path]:
    """Return the entries below a folder that match a glob pattern and have no foreign name in their path, sorted."""
    found = (entry for entry in folder.glob(pattern))
    return sorted(entry for entry in found if not any(map(is_foreign, entry.relative_to(folder).parts)))


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key by which frame 10 follows frame 9; 7 and 07 are ordered by the name itself."""
    parts = (part for part in re.split("([0-9]+)", name) if part)
    return (*((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts), (-1, name))
