"""Detection of truncated mp4, Matroska, AVI and PNG files, and the number of frames that a PNG lists.

The counts and durations in a header may be wrong in a complete file: of an AVI with dropped frames, or of a Matroska
file whose last frame is long. The sizes of the outermost parts of a file tell whether bytes are missing.
"""

from __future__ import annotations

from typing import BinaryIO

from vidamodal.media.mp4_tables import FIRST_BOXES

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_cut_off(file: BinaryIO) -> bool | None:
    """Return whether bytes are missing at the end of a file.

    Args:
        file: A video file in any container.

    Returns:
        True if the file is cut off. False if it is complete, or if its container has no size. None if the container
        has a size that its writer left open.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(8)
    if head[:4] == b"RIFF":
        end = _end_of_riff(file, size)
    elif head[:4] == _EBML:
        end = _end_of_segment(file)
    elif head[4:8] in FIRST_BOXES:
        end = _end_of_boxes(file, size)
    elif head == b"\x89PNG\r\n\x1a\n":
        end = _end_of_png(file, size)
    else:
        return False
    return None if end is None else end > size


def listed_png_frames(file: BinaryIO) -> int:
    """Return the number of frames in the header of an animated PNG (its ``acTL`` chunk); 0 if there is none."""
    size, place = file.seek(0, 2), 8
    while place + 12 <= size:
        file.seek(place)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if kind == b"acTL":
            return int.from_bytes(file.read(4), "big")
        if kind == b"IDAT":
            break
        place += length + 12
    return 0


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last RIFF chunk; files of more than 1 GB have several."""
    start = end = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF":
            break
        if length in (0, 2**32 - 1):
            return None
        end = start + 8 + length
        start = end + length % 2
    return end


def _end_of_boxes(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last box of an ISO file (ISO/IEC 14496-12, section 4.2); None if it is open."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length = int.from_bytes(file.read(4), "big")
        if length == 1:
            length = int.from_bytes(file.read(12)[4:], "big")
        if length < 8:  # 0: the box extends to the end of the file
            return None
        end += length
    return end


def _end_of_segment(file: BinaryIO) -> int | None:
    """Return the end of the segment of a Matroska file (RFC 8794, section 5)."""
    file.seek(4)
    header = _element_size(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return None
    length = _element_size(file)
    return None if length is None else file.tell() + length


def _element_size(file: BinaryIO) -> int | None:
    """Read a size of 1 to 8 bytes, whose leading zeros tell how many; None if all its bits are set: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(count - 1), "big") & (1 << 7 * count) - 1
    return None if value == (1 << 7 * count) - 1 else value


def _end_of_png(file: BinaryIO, size: int) -> int:
    """Return the end of the last chunk, beyond the end of the file if that chunk is missing."""
    end = 8
    while end + 12 <= size:
        file.seek(end)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        end += length + 12
        if kind == b"IEND":
            return end
    return max(end, size + 1)
