"""File locks and temporary folders for several processes that work on one folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRATCH_PREFIX = "vidamodal-scratch-"


class Locks:
    """Numbered locks in one file, one byte each. The system releases them when the process ends.

    These are POSIX record locks: they hold between processes, not threads, and on NFS also between machines. A process
    must open a lock file only once, because closing it releases all of its locks.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it in an existing folder."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def close(self) -> None:
        """Release all locks."""
        os.close(self._file)

    @property
    def is_deleted(self) -> bool:
        """True if the file was deleted, so that other processes no longer see these locks."""
        return os.fstat(self._file).st_nlink == 0

    def acquire(self, number: int) -> bool:
        """Acquire a lock without waiting; return False if another process holds it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self, number: int) -> None:
        """Release one lock."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    @contextmanager
    def hold(self, number: int) -> Iterator[None]:
        """Wait for a lock and hold it inside the block."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)
        try:
            yield
        finally:
            self.release(number)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a temporary folder that is deleted at the end of the block.

    Folders that killed processes left behind are deleted first.
    """
    for stale in Path(tempfile.gettempdir()).glob(f"{_SCRATCH_PREFIX}*"):
        if (lock := _lock_folder(stale)) is not None:
            _remove(stale, lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX))
        lock = _lock_folder(folder)
        if lock is not None and folder.exists():  # otherwise another process took it for a stale one
            break
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _lock_folder(folder: Path) -> int | None:
    """Return the descriptor that holds the folder's lock; None if another process holds it or the folder is gone."""
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


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
