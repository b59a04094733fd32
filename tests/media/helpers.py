"""Small videos whose frames show their number."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vidamodal.media.video import open_video
from vidamodal.types import InputError

N, H, W = 30, 48, 80


def picture(number: int, height: int = H, width: int = W) -> np.ndarray:
    """Return a frame with its number in binary as white and black blocks at the top; left half red, right half blue."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 2, 0], image[:, width // 2 :, 2] = 200, 200
    for bit in range(8):
        image[:8, 8 * bit : 8 * bit + 8] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: np.ndarray) -> int:
    return sum(1 << bit for bit in range(8) if image[2:6, 8 * bit + 2 : 8 * bit + 6].mean() > 128)


def make(
    path: Path,
    codec: str = "libx264",
    numbers: Iterable[int] = range(N),
    times: Iterable[int] | None = None,
    rotation: int | None = None,
    size: tuple[int, int] = (H, W),
    options: dict[str, str] | None = None,
    **muxing: str,
) -> Path:
    """Write a small video, by default with B-frames and a key frame every 10 frames."""
    if options is None:
        options = {"g": "10", "threads": "1"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream: Any = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, time in zip(numbers, times or range(1000), strict=False):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, path: Path, skip: float) -> Path:
    """Copy the stream from a time on, starting at the key frame before it; an edit list hides the frames between."""
    with av.open(str(source)) as old, av.open(str(path), "w", options={"movflags": "faststart"}) as new:
        source_stream: Any = old.streams.video[0]
        stream = new.add_stream_from_template(source_stream)
        start = round(skip / float(source_stream.time_base))
        old.seek(start, stream=source_stream)
        packet: Any
        for packet in old.demux(source_stream):
            if packet.size:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = stream
                new.mux(packet)
    return path


def cut_without_encoding(source: Path, path: Path, key: int = 1) -> Path:
    """Copy the packets from a key frame on, as editors do that do not encode anew."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets: list[Any] = [packet for packet in old.demux(video=0) if packet.size]
        first = [place for place, packet in enumerate(packets) if packet.is_keyframe][key]
        start = packets[first].dts
        for packet in packets[first:]:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
            new.mux(packet)
    return path


def refused(path: Path) -> str:
    """Return the error message of a video that cannot be read to its end."""
    with pytest.raises(InputError) as error:
        for _ in open_video(path).frames():
            pass
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def cut(path: Path, name: str, share: float, after: bytes, before: bytes = b"") -> Path:
    """Write a copy that is cut off at a fraction of the bytes between two markers."""
    content = path.read_bytes()
    start, end = content.index(after) + 8, content.rindex(before) if before else len(content)
    (path.parent / name).write_bytes(content[: start + round((end - start) * share)])
    return path.parent / name


def sample_videos(folder: Path) -> list[Path]:
    """Write small files of several containers."""
    few = range(6)
    images = [Image.fromarray(picture(number)) for number in few]
    paths = [folder / name for name in ("a.png", "a.gif", "a.webp", "a.tif")]
    for path in paths:
        images[0].save(path, save_all=True, append_images=images[1:], duration=80)
    deep = folder / "deep.png"
    Image.fromarray(np.arange(H * W, dtype=np.uint16).reshape(H, W)).save(deep)
    images[0].save(folder / "a.jpg")
    return [
        *paths,
        deep,
        folder / "a.jpg",
        make(folder / "a.mp4", numbers=few),
        make(folder / "fragments.mp4", numbers=few, movflags="frag_keyframe+empty_moov"),
        make(folder / "a.mkv", numbers=few),
        make(folder / "a.webm", "libvpx", numbers=few),
        make(folder / "a.avi", "mjpeg", numbers=few, times=[0, 1, 5, 6, 9, 10]),
        make(folder / "a.ts", numbers=few),
        make(folder / "a.h264", numbers=few),
        make(folder / "a.mpg", "mpeg2video", numbers=few),
    ]


def mutate(content: bytes, random: Random) -> bytes:
    """Flip bits, overwrite numbers, cut the end off, remove or repeat a part; often near the start."""
    data = bytearray(content)
    near = min(len(data), random.choice((64, 512, 4096, len(data))))
    place, other, length = random.randrange(near), random.randrange(len(data)), random.randrange(1, 200)
    match random.randrange(5):
        case 0:
            data[place] ^= 1 << random.randrange(8)
        case 1:
            data[place : place + 4] = random.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"))
        case 2:
            del data[other:]
        case 3:
            del data[place : place + length]
        case _:
            data[place:place] = data[other : other + length]
    return bytes(data)
