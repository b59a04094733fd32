"""Label Studio's run lengths of brush masks: a bit stream of the RGBA values of an image, row by row.

The stream (rle-pack of thi.ng/umbrella) begins with the number of values in 32 bits, the bits of a value less one in 5,
and the bits less one of four kinds of lengths in 4 each. Then follow blocks: one bit, two bits for the kind of the
length, the length less one, and after a 1 the value that is repeated, after a 0 all values. Label Studio reads the
alpha channel as the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from vidamodal.media.json_records import FieldError

_CHANNELS = 4
_WORD = 8
"""Bits of a written value."""
_LENGTHS = (3, 4, 8, 16)
"""Bits of written lengths."""


def decode_brush(data: Sequence[Any], height: int, width: int, where: str) -> Bool[np.ndarray, "h w"]:
    """Return the mask in a bit stream.

    Args:
        data: The bytes, integers from 0 to 255.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: The place in the file, for messages.

    Raises:
        FieldError: The stream is damaged, or for an image of another size.
    """
    if any(type(byte) is not int or not 0 <= byte <= 255 for byte in data):
        raise FieldError(f"{where} must be a list of bytes from 0 to 255; export it again")
    bits = np.unpackbits(np.array(data, dtype=np.uint8))
    text = (bits + ord("0")).tobytes().decode("ascii")
    reader = _Bits(text, where)
    count = reader.read(32)
    if count != height * width * _CHANNELS:
        raise FieldError(f"{where} has {count} values, expected {height * width * _CHANNELS}; export it again")
    word = reader.read(5) + 1
    lengths = [reader.read(4) + 1 for _ in _LENGTHS]
    values, start = np.zeros(count, dtype=bool), 0
    while start < count:
        is_run, end = reader.read(1), start + 1 + reader.read(lengths[reader.read(2)])
        if end > count:
            raise FieldError(f"{where} is damaged: a length goes beyond the image; export it again")
        if is_run:
            values[start:end] = reader.read(word) > 0
        else:
            first = reader.skip(word * (end - start))
            values[start:end] = bits[first : reader.place].reshape(-1, word).any(axis=1)
        start = end
    return np.ascontiguousarray(values[_CHANNELS - 1 :: _CHANNELS].reshape(height, width))


class _Bits:
    """Reads numbers from a text of 0 and 1."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.place = text, where, 0

    def read(self, size: int) -> int:
        """Return the number in the next bits."""
        first = self.skip(size)
        return int(self.text[first : self.place], 2)

    def skip(self, size: int) -> int:
        """Pass over the next bits and return the place of the first."""
        first, self.place = self.place, self.place + size
        if self.place > len(self.text):
            raise FieldError(f"{self.where} is cut off; export it again")
        return first


def encode_brush(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """Return the bytes of a mask, with 255 inside in all four channels."""
    flat = mask.ravel()
    edges = np.r_[0, np.flatnonzero(np.diff(flat)) + 1, flat.size]
    parts = [f"{flat.size * _CHANNELS:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTHS)]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        value, left = "1" * _WORD if flat[start] else "0" * _WORD, (end - start) * _CHANNELS
        while left:
            length = min(left, 2 ** _LENGTHS[-1])
            kind = next(k for k, size in enumerate(_LENGTHS) if length <= 2**size)
            parts.append(f"1{kind:02b}{length - 1:0{_LENGTHS[kind]}b}{value}")
            left -= length
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return np.packbits(np.frombuffer(text.encode("ascii"), dtype=np.uint8) - ord("0")).tolist()
