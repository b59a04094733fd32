"""Tests of the choice among the video streams of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from tests.media.helpers import number_of, picture
from vidamodal.media.video import open_video
from vidamodal.media.video_source import VideoSource, choose_stream

Stream = tuple[tuple[int, int], list[int], Disposition]
NONE, DEFAULT = Disposition(0), Disposition.default


def write(path: Path, streams: list[Stream]) -> Path:
    """Write streams of (size, numbers of the frames, disposition)."""
    with av.open(str(path), "w") as container:
        made: list[Any] = []
        for (height, width), _, disposition in streams:
            stream: Any = container.add_stream("mjpeg", rate=10)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuvj420p"
            stream.disposition = disposition
            made.append(stream)
        for stream, (size, numbers, _) in zip(made, streams, strict=True):
            for number in numbers:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")))
            container.mux(stream.encode())
    return path


SMALL, LARGE = (48, 80), (96, 160)


@pytest.mark.parametrize(
    ("streams", "chosen"),
    [
        ([(SMALL, [9], NONE), (LARGE, [1, 2, 3], DEFAULT)], 1),
        ([(LARGE, [9], DEFAULT), (SMALL, [1, 2, 3], NONE)], 1),
        ([(SMALL, [1, 2, 3], DEFAULT), (LARGE, [4, 5, 6], NONE)], 0),
        ([(SMALL, [1, 2, 3], NONE), (LARGE, [4, 5, 6], NONE)], 1),
        ([(SMALL, [1, 2, 3], DEFAULT), (LARGE, [4, 5, 6], DEFAULT)], 1),
        ([(SMALL, [1, 2, 3], NONE), (SMALL, [4, 5, 6], NONE)], 0),
        ([(SMALL, [9], NONE), (SMALL, [8], NONE), (SMALL, [1, 2], NONE)], 2),
        ([(SMALL, [9], NONE), (LARGE, [8], NONE)], 1),
    ],
)
def test_the_default_or_largest_moving_stream_is_read(streams: list[Stream], chosen: int, tmp_path: Path) -> None:
    reader = open_video(write(tmp_path / "v.mkv", streams))
    (height, width), numbers, _ = streams[chosen]
    assert [number_of(image) for image in reader.frames()] == numbers
    assert (reader.info.height, reader.info.width) == (height, width)
    assert reader.notes == (
        f"v.mkv: of {len(streams)} video streams, number {chosen + 1} is read ({height} x {width} pixels)",
    )
    assert [number_of(image) for image in reader.pick([len(numbers) - 1])] == numbers[-1:]


def test_a_single_stream_needs_no_note(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mkv", [(SMALL, [1, 2], DEFAULT)])
    with VideoSource(path, str(path)).open() as (container, stream):
        assert choose_stream("v.mkv", container, {0: 2}) == (stream, None)
    assert open_video(path).notes == ()


def test_a_cover_is_never_the_video(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [(SMALL, [1, 2, 3], DEFAULT), (LARGE, [9], Disposition.attached_pic)])
    reader = open_video(path)
    assert [number_of(image) for image in reader.frames()] == [1, 2, 3] and reader.notes == ()
