"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside ``path`` to write to; on leaving it is synced to disk and renamed to ``path``.

    If the block raises, the file beside is removed and whatever stood at ``path`` stays. Missing parents are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(8)}{path.suffix[:16]}")
    try:
        yield beside
        _sync(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside ``path`` to write files into; on leaving it is synced to disk and renamed to ``path``.

    If the block raises, nothing stays. A folder that another process has put at ``path`` meanwhile is kept instead.
    """
    path = Path(path)
    beside = path.with_name(f".{secrets.token_hex(8)}")
    beside.mkdir()
    try:
        yield beside
        for file in beside.iterdir():
            _sync(file)
        _sync(beside)
        try:
            beside.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    _sync(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text, newlines as they are, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_bytes(text.encode("utf-8"))


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder, and needs no sync of it
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
