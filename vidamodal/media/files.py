"""Atomic writes, by which a file or folder appears complete or not at all, and temporary folders."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidamodal.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where folders of killed processes stay
    fcntl = None  # type: ignore[assignment]


def check_target(path: str | os.PathLike[str], folder: bool = False) -> None:
    """Check that a file or a folder can be written to ``path``, before the work whose result goes there.

    Args:
        path: The file, or the folder.
        folder: Whether it is a folder.

    Raises:
        InputError: If ``path`` exists and is of the other kind, or if one of its parents is a file.
    """
    path = Path(path)
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} holds a null character, which no path has. Pass another path to write to.")
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
    with made_folder(path.parent):
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
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents where they are missing; if the block raises, those that are empty are removed."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # it was not created, or holds other files
                each.rmdir()
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Create the folder ``path`` atomically from a temporary folder that the block fills with files.

    On exit, the files are synced to disk and the temporary folder is renamed to ``path``. If another process has
    created ``path`` in the meantime, its folder is kept. If the block raises, nothing is left behind. Missing parent
    folders are created.

    Yields:
        The temporary folder, beside ``path``.
    """
    path = Path(path)
    with made_folder(path.parent):
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


@contextmanager
def temporary_folder(parent: str | os.PathLike[str], prefix: str) -> Iterator[Path]:
    """Create a temporary folder that is deleted at the end of the block.

    Folders that killed processes left behind are deleted first: those with this prefix and a name as this function
    gives, which no process holds locked.

    Args:
        parent: The folder to create it in.
        prefix: Start of its name.

    Yields:
        The temporary folder.
    """
    parent = Path(parent)
    for stale in parent.glob(f"{prefix}*"):
        is_ours = re.fullmatch("[a-z0-9_]{8}", stale.name.removeprefix(prefix)) and not stale.is_symlink()
        if is_ours and (lock := _lock_folder(stale)) is not None:
            _remove_locked(stale, lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = _lock_folder(folder)
        if fcntl is None or (lock is not None and folder.exists()):  # else another process took it for a stale one
            break
    try:
        yield folder
    finally:
        _remove_locked(folder, lock)


def _lock_folder(folder: Path) -> int | None:
    """Return the descriptor that holds the folder's lock; None if another process holds it or the folder is gone."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_locked(folder: Path, lock: int | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        os.close(lock)


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
