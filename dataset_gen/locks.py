"""Who makes what, where several processes work on one folder: locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRATCH = "vidamodal-scratch-"


class Locks:
    """Many locks in one file, one a byte. A process that ends in whatever way gives its locks back.

    These are POSIX record locks: they hold between processes, not threads, and on NFS also between machines. A process
    must open a file of locks once only, because closing it gives all of them back.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it in an existing folder."""
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def close(self) -> None:
        """Give all locks back."""
        os.close(self._file)

    @property
    def lost(self) -> bool:
        """Whether the file was removed, so that others no longer see these locks."""
        return os.fstat(self._file).st_nlink == 0

    def take(self, number: int) -> bool:
        """Take a lock unless another process has it; says whether it is ours now."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give(self, number: int) -> None:
        """Give one lock back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    @contextmanager
    def held(self, number: int) -> Iterator[None]:
        """Wait for a lock and hold it inside the block."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)
        try:
            yield
        finally:
            self.give(number)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder on this machine. First removes what processes that were killed have left there."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        if (lock := _lock_folder(left)) is not None:
            _remove(left, lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH))
        lock = _lock_folder(folder)
        if lock is not None and folder.exists():  # else somebody has just taken it for left behind
            break
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _lock_folder(folder: Path) -> int | None:
    """The descriptor that holds the lock; None if the folder is another's or gone."""
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
