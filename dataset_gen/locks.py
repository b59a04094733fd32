"""File locks and temporary folders for several processes that work on one folder."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from vidamodal.media.files import temporary_folder

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


def scratch_folder() -> AbstractContextManager[Path]:
    """Return a context with a folder for large temporary files; see `vidamodal.media.files.temporary_folder`."""
    return temporary_folder(tempfile.gettempdir(), _SCRATCH_PREFIX)
