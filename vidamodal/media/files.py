"""Atomic writes, by which a file or folder appears complete or not at all, and temporary folders."""

from __future__ import annotations

import errno
import functools
import glob
import os
import re
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

TEMPORARY_PREFIX = ".vidamodal-"
"""Start of the names of temporary folders."""
_LOCK, _CONTENT = "lock", "new"
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems without locks, where folders of killed processes stay."""


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
        The temporary path: a file of the same name in a temporary folder beside ``path``.
    """
    path = Path(path)
    with made_folder(path.parent):
        with _beside(path) as folder:
            yield folder / path.name
            _sync(folder / path.name)
            os.replace(folder / path.name, path)
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
        The temporary folder, inside another one beside ``path``.
    """
    path = Path(path)
    with made_folder(path.parent):
        with _beside(path) as outer:
            temporary = outer / path.name
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                _sync(file)
            _sync(temporary)
            try:
                temporary.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
        _sync(path.parent)


@contextmanager
def temporary_folder(parent: str | os.PathLike[str], prefix: str = TEMPORARY_PREFIX) -> Iterator[Path]:
    """Create a temporary folder that is deleted at the end of the block.

    Folders that killed processes left behind are deleted first: those with this prefix and a name as this function
    gives, which no process holds locked.

    Args:
        parent: The folder to create it in.
        prefix: Start of its name.

    Yields:
        The folder; its parent, with the prefix, also holds the lock.
    """
    parent = Path(parent)
    _sweep(parent, prefix)
    with _locked_folder(parent, prefix) as folder:
        yield folder


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside a path. Those of killed processes are only looked for once in each parent folder."""
    _sweep_once(path.parent.absolute())
    with _locked_folder(path.parent, TEMPORARY_PREFIX) as folder:
        yield folder


@functools.lru_cache(maxsize=1000)
def _sweep_once(parent: Path) -> None:
    """Sweep a folder that may get thousands of files, each of which would list all earlier ones."""
    _sweep(parent, TEMPORARY_PREFIX)


def _sweep(parent: Path, prefix: str) -> None:
    """Delete what killed processes left behind."""
    for stale in parent.glob(f"{glob.escape(prefix)}*"):
        is_ours = re.fullmatch("[a-z0-9_]{8}", stale.name.removeprefix(prefix)) and not stale.is_symlink()
        with suppress(OSError):  # another process holds its lock or removes it, or the file system has no locks
            if is_ours and (lock := _lock(stale)) is not None:
                _remove(stale, lock)


@contextmanager
def _locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    outer, lock = _make_locked(parent, prefix)
    try:
        inner = outer / _CONTENT
        inner.mkdir()
        yield inner
    finally:
        _remove(outer, lock)


def _make_locked(parent: Path, prefix: str) -> tuple[Path, int | None]:
    """Create a folder and lock it; return both."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another process took it for one that was left behind
            continue
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                _remove(folder, None)
                raise
            return folder, None
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder by a file in it, which on NFS also holds between machines; return the file's descriptor.

    Raises:
        OSError: Another process holds the lock (BlockingIOError), the folder is gone, or it cannot be locked.
    """
    if fcntl is None:
        return None
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove(folder: Path, lock: int | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)  # NFS keeps a removed file in its folder while it is open


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write UTF-8 text atomically, without translating newlines.

    Surrogates, which stand for bytes of file names that are not UTF-8, are written as JSON escapes: ``\udce4``.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder and does not need to sync it
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
