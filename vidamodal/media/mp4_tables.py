"""The sample tables of mp4 and mov files (ISO/IEC 14496-12), read before FFmpeg opens a file.

FFmpeg reserves memory for every sample that a table announces, so that a damaged count of a few bytes costs gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof"}
"""Boxes with which a file may begin."""
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
"""Boxes that hold boxes."""
_COUNT_PLACES = {b"trun": 4, b"stsz": 8}
"""Place of the number of samples behind the head of a box."""
_RUN_TABLES = {b"stts", b"ctts"}
"""Boxes that list how many samples in a row have the same duration or offset."""


def lists_impossible_counts(file: BinaryIO) -> bool:
    """Return True if a table of an mp4 file lists more samples than the file has bytes. Other files have no tables."""
    size = file.seek(0, 2)
    file.seek(4)
    if file.read(4) not in FIRST_BOXES:
        return False
    return any(_count_samples(file, *box) > size for box in _boxes(file, size))


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, content start, end) of every box, including nested ones."""
    open_ends = [size]
    place = 0
    while open_ends:
        if place + 8 > open_ends[-1]:
            place = open_ends.pop()
            continue
        file.seek(place)
        length, kind, head = int.from_bytes(file.read(4), "big"), file.read(4), 8
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 16
        past = min(place + length, open_ends[-1]) if length else open_ends[-1]
        if past < place + head:  # no box
            place = open_ends.pop()
            continue
        yield kind, place + head, past
        if kind in _FOLDERS:
            open_ends.append(past)
        place = place + head if kind in _FOLDERS else past


def _count_samples(file: BinaryIO, kind: bytes, start: int, end: int) -> int:
    """Return how many samples a table lists, 0 for other boxes."""
    if kind in _COUNT_PLACES:
        file.seek(start + _COUNT_PLACES[kind])
        return int.from_bytes(file.read(4), "big")
    if kind in _RUN_TABLES:
        file.seek(start + 4)
        rows = min(int.from_bytes(file.read(4), "big"), max(end - start - 8, 0) // 8)
        table = np.frombuffer(file.read(8 * rows), dtype=">u4").reshape(-1, 2)
        return int(table[:, 0].sum(dtype=np.int64))
    return 0
