"""Atomic writes: a file or folder appears complete, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidamodal.errors import InputError


def check_target(path: str | os.PathLike[str], folder: bool = False) -> None:
    """Check that a file or a folder can be written to ``path``, before the work whose result goes there.

    Args:
        path: The file, or the folder.
        folder: Whether it is a folder.

    Raises:
        InputError: If ``path`` exists and is of the other kind, or if one of its parents is a file.
    """
    path = Path(path)
    if folder and path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file. Pass a folder to write to.")
    if not folder and path.is_dir():
        raise InputError(f"{path} is a folder. Pass a file to write to.")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise InputError(f"{path}: {parent} is a file, not a folder. Pass another path to write to.")


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace ``path`` atomically with a temporary file that the block writes.

    On exit, the temporary file is synced to disk and renamed to ``path``. If the block raises, it is deleted and
    ``path`` stays as it was. Missing parent folders are created.

    Yields:
        The temporary path, in the same folder and with the same suffix as ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix[:16]}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Create the folder ``path`` atomically from a temporary folder that the block fills with files.

    On exit, the files are synced to disk and the temporary folder is renamed to ``path``. If another process has
    created ``path`` in the meantime, its folder is kept. If the block raises, nothing is left behind.

    Yields:
        The temporary folder, beside ``path``.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically, without translating newlines."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder and does not need to sync it
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
