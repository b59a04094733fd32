"""Small files that claim, or unpack to, far more than a computer's memory."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from tests.media.helpers import make

HUGE = 100_000
"""Pixels of a side that files claim."""

Reader = Literal["video", "masks", "masks of a video"]


def png_header(folder: Path) -> Path:
    """A PNG of 100,000 x 100,000 pixels with valid checksums and little data."""
    header = struct.pack(">IIBBBBB", HUGE, HUGE, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1000)))
    return _write(folder / "00000.png", content + _chunk(b"IEND", b""))


def png_text(folder: Path) -> Path:
    """A PNG with a compressed comment of 1 GB."""
    image = io.BytesIO()
    Image.new("L", (7, 9)).save(image, format="PNG")
    content = image.getvalue()
    text = b"Comment\0\0" + _zeros(2**30)
    return _write(folder / "00000.png", content[:33] + _chunk(b"zTXt", text) + content[33:])


def png_data(folder: Path) -> Path:
    """A small PNG whose image data unpack to 1 GB."""
    header = struct.pack(">IIBBBBB", 7, 9, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", _zeros(2**30))
    return _write(folder / "00000.png", content + _chunk(b"IEND", b""))


def bmp_header(folder: Path) -> Path:
    """A BMP of 100,000 x 100,000 pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    return _write(folder / "00000.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info)


def tiff_header(folder: Path) -> Path:
    """A TIFF of 100,000 x 100,000 pixels."""
    tags = [(256, 4, HUGE), (257, 4, HUGE), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, HUGE), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return _write(folder / "00000.tif", b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))


def gif_header(folder: Path) -> Path:
    """A GIF with a canvas of 65,535 x 65,535 pixels and a thousand frames."""
    frame = b"\x21\xf9\x04\x04\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    content = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + frame * 1000 + b"\x3b"
    return _write(folder / "00000.gif", content)


def webp_header(folder: Path) -> Path:
    """An animated WebP with a canvas of 16,384 x 16,384 pixels and a thousand empty frames."""
    size = (16383).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + size
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(6) + size + size + bytes(4)
    body = b"WEBP" + extended + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame * 1000
    return _write(folder / "00000.webp", b"RIFF" + struct.pack("<I", len(body)) + body)


def mp4_size(folder: Path) -> Path:
    """An mp4 whose tables claim frames of 65,535 x 65,535 pixels."""
    content = make(folder / "a.mp4", numbers=range(3)).read_bytes()
    place = content.index(b"avc1", content.index(b"stsd")) + 28
    return _write(folder / "a.mp4", content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :])


def mp4_count(folder: Path) -> Path:
    """An mp4 whose tables claim four billion frames."""
    content = bytearray(make(folder / "a.mp4", numbers=range(3)).read_bytes())
    for name, offset in ((b"stsz", 12), (b"stts", 12)):
        place = content.index(name) + offset
        content[place : place + 4] = b"\xff\xff\xff\xfe"
    return _write(folder / "a.mp4", bytes(content))


def y4m_header(folder: Path) -> Path:
    """A raw video of 100,000 x 100,000 pixels."""
    return _write(folder / "a.y4m", f"YUV4MPEG2 W{HUGE} H{HUGE} F25:1 Ip A1:1 C420\nFRAME\n".encode() + bytes(1000))


def y4m_large(folder: Path) -> Path:
    """A raw video of 8,192 x 8,192 pixels that holds a part of its first frame."""
    return _write(folder / "a.y4m", b"YUV4MPEG2 W8192 H8192 F25:1 Ip A1:1 C444\nFRAME\n" + bytes(1000))


def many_frames(folder: Path) -> Path:
    """A folder with a frame of 100,000 x 100,000 pixels after a small one."""
    frames = folder / "frames"
    frames.mkdir()
    png_header(frames).rename(frames / "00001.png")
    Image.new("RGB", (8, 8)).save(frames / "00000.png")
    return frames


def npz_bomb(folder: Path) -> Path:
    """An npz of half a MB that claims 8 GB of masks and unpacks to 100 MB."""
    return _npz(folder / "masks.npz", (2000, 2000, 2000), np.dtype(bool), 10**8)


def npz_short(folder: Path) -> Path:
    """An npz that claims 10^15 masks."""
    return _npz(folder / "masks.npz", (10**15, 9, 7), np.dtype(bool), 10**6)


def npz_member(folder: Path) -> Path:
    """An npz whose header of an array is 1 GB long."""
    with zipfile.ZipFile(folder / "masks.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open(
        "masks.npy", "w", force_zip64=True
    ) as file:  # fmt: skip
        file.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**30))
        file.write(b" " * 2**26)
    return folder / "masks.npz"


def npy_header(folder: Path) -> Path:
    """An npy that claims masks of 100,000 x 100,000 pixels."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (6, HUGE, HUGE)})
    return _write(folder / "masks.npy", header.getvalue() + bytes(1000))


def npy_object(folder: Path) -> Path:
    """An npy with a pickle in place of numbers."""
    np.save(folder / "masks.npy", np.array([{"a": 1}, None], dtype=object))
    return folder / "masks.npy"


def tracks_size(folder: Path) -> Path:
    """A tracks.json of 100,000 x 100,000 pixels with one run for all of them."""
    counts = _counts([0, HUGE * HUGE])
    return _tracks(folder, HUGE, counts, frames=1)


def tracks_frames(folder: Path) -> Path:
    """A tracks.json of a billion frames."""
    return _tracks(folder, 7, _counts([0, 49]), frames=10**9)


def tracks_counts(folder: Path) -> Path:
    """A tracks.json whose run lengths exceed 64 bits."""
    return _tracks(folder, 7, "o" * 10**6 + "0", frames=1)


def json_nested(folder: Path) -> Path:
    """A JSON of lists, 200,000 deep."""
    return _write(folder / "a.json", b'{"tracks": ' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def json_number(folder: Path) -> Path:
    """A JSON with a number of a million digits."""
    return _write(folder / "a.tracks.json", b'{"format": "vidamodal-tracks", "version": ' + b"9" * 10**6 + b"}")


def coco_size(folder: Path) -> Path:
    """A COCO file with an image of 100,000 x 100,000 pixels and a polygon over all of it."""
    image = {"id": 1, "file_name": "0.jpg", "height": HUGE, "width": HUGE, "video_id": 1, "frame_id": 0}
    polygon = [[0, 0, HUGE, 0, HUGE, HUGE, 0, HUGE]]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "instance_id": 1, "segmentation": polygon, "iscrowd": 0}
    document = {"videos": [{"id": 1, "name": "v", "height": HUGE, "width": HUGE}], "images": [image]}
    document |= {"annotations": [annotation], "categories": [{"id": 1, "name": "a"}]}
    return _write(folder / "a.json", json.dumps(document).encode())


def xml_entities(folder: Path) -> Path:
    """A CVAT file with entities that expand to a billion characters ("billion laughs")."""
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    body = "<annotations><version>1.1</version><meta><task><name>&a9;</name></task></meta></annotations>"
    return _write(folder / "a.xml", f'<?xml version="1.0"?><!DOCTYPE x [{entities}]>{body}'.encode())


def xml_external(folder: Path) -> Path:
    """A CVAT file with an entity that names another file."""
    head = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    body = "<annotations><version>1.1</version><meta><task><name>&e;</name></task></meta></annotations>"
    return _write(folder / "a.xml", (head + body).encode())


def text_frames(folder: Path) -> Path:
    """A file of MOT boxes with an object in frame 10^12."""
    return _write(folder / "gt.txt", b"1,1,1,1,5,5,1,1,1\n1000000000000,1,1,1,5,5,1,1,1\n")


def tar_member(folder: Path) -> Path:
    """A shard with a member that claims a terabyte."""
    member = tarfile.TarInfo("a.tracks.json")
    member.size = 2**40
    return _write(folder / "a.tar", member.tobuf(tarfile.GNU_FORMAT) + bytes(20_000))


def tar_many(folder: Path) -> Path:
    """A shard with a hundred thousand empty members."""
    with tarfile.open(folder / "a.tar", "w") as tar:
        for number in range(100_000):
            tar.addfile(tarfile.TarInfo(f"{number}.mp4"))
    return folder / "a.tar"


def mask_png(folder: Path) -> Path:
    """A folder of masks with a PNG of 100,000 x 100,000 pixels."""
    return png_header(folder).parent


def deep_folders(folder: Path) -> Path:
    """Folders, 500 deep, around nothing."""
    inner = folder / "deep"
    inner.mkdir()
    (inner / "/".join(["a"] * 500)).mkdir(parents=True)
    return inner


def folder_loop(folder: Path) -> Path:
    """A folder that holds links to itself."""
    inner = folder / "loop"
    inner.mkdir()
    for name in ("a", "b"):
        (inner / name).symlink_to(inner)
    return inner


VIDEO_BOMBS = (
    png_header, png_text, png_data, bmp_header, tiff_header, gif_header, webp_header, mp4_size, mp4_count, y4m_header,
    y4m_large, many_frames, deep_folders, folder_loop,
)  # fmt: skip
MASK_BOMBS = (
    mask_png, png_text, png_data, mp4_size, npz_bomb, npz_short, npz_member, npy_header, npy_object, tracks_size,
    tracks_frames, tracks_counts, json_nested, json_number, coco_size, xml_entities, xml_external, text_frames,
    tar_member, tar_many, deep_folders, folder_loop,
)  # fmt: skip
BOMBS: tuple[tuple[Callable[[Path], Path], Reader], ...] = (
    *((write, "video") for write in VIDEO_BOMBS),
    *((write, "masks") for write in MASK_BOMBS),
    *((write, "masks of a video") for write in MASK_BOMBS),
)
"""Each bomb, and the reader that it is meant for."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _zeros(count: int) -> bytes:
    """Return zeros as a zlib stream: one compressed block, repeated."""
    size = 2**24
    packer, end = zlib.compressobj(9, wbits=-15), zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", count % 65521, 1)  # Adler-32 of zeros
    return b"\x78\x9c" + block * (count // size) + end.flush() + checksum


def _npz(path: Path, shape: tuple[int, ...], kind: np.dtype, written: int) -> Path:
    """Write an npz with an array ``masks`` that claims a shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind.str, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(
        "masks.npy", "w", force_zip64=True
    ) as file:  # fmt: skip
        file.write(header.getvalue())
        for _ in range(written // 10**6):
            file.write(bytes(10**6))
    return path


def _counts(runs: list[int]) -> str:
    """Return run lengths in COCO's compressed form; only for up to two runs."""
    text = ""
    for run in runs:
        more = True
        while more:
            part, run = run & 31, run >> 5
            more = run != (-1 if part & 16 else 0)
            text += chr((part | 32 if more else part) + 48)
    return text


def _tracks(folder: Path, side: int, counts: str, frames: int) -> Path:
    mask = {"size": [side, side], "counts": counts}
    video = {"path": "v.mp4", "height": side, "width": side, "frames": frames, "fps": 12.0}
    track = {"id": 1, "visible": [mask], "amodal": [mask]}
    document = {"format": "vidamodal-tracks", "version": 1, "video": video, "tracks": [track]}
    return _write(folder / "a.tracks.json", json.dumps(document).encode())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
