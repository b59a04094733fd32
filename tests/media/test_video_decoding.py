"""Tests of decoding: every frame in its place, with edit lists, rotation and damage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media.helpers import H, N, W, cut_without_encoding, make, number_of, picture, refused, remux
from vidamodal.media.video import open_video
from vidamodal.types import VideoInfo


def has_encoder(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


CODECS = [
    ("v.mp4", "libx264"),
    ("v.mkv", "libx264"),
    ("v.ts", "libx264"),
    ("v.h264", "libx264"),
    ("v.mp4", "libx265"),
    ("v.webm", "libvpx"),
    ("v.webm", "vp9"),
    ("v.avi", "mpeg4"),
    ("v.avi", "mjpeg"),
    ("v.mkv", "ffv1"),
    ("v.mp4", "libsvtav1"),
]


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_every_frame_is_in_its_place(name: str, codec: str, tmp_path: Path) -> None:
    if not has_encoder(codec):
        pytest.skip(f"this build of FFmpeg has no {codec}")
    reader = open_video(make(tmp_path / name, codec))
    fps = 25.0 if name.endswith("h264") else 30.0  # a bare stream has no times; 25 is what FFmpeg takes it for
    assert reader.info == VideoInfo(name, H, W, N, fps)
    assert [number_of(image) for image in reader.frames()] == list(range(N))
    for start, stop in ((0, 1), (5, 9), (10, 13), (19, 30), (29, 30), (7, 7)):
        assert [number_of(image) for image in reader.frames(start, stop)] == list(range(start, stop))
    picked = reader.pick([21, 4, 4, 12])
    assert picked.shape == (4, H, W, 3) and [number_of(image) for image in picked] == [21, 4, 4, 12]
    image = next(reader.frames())
    assert image.dtype == np.uint8 and image[30, 10, 0] > 150 > 80 > image[30, 10, 2] and image[30, 60, 2] > 150


def test_decord_and_pyav_give_the_same_pictures(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    reader = open_video(make(tmp_path / "v.mp4"))
    assert reader._pick is not None
    for number, image in zip((17, 3), reader.pick([17, 3]), strict=True):
        assert np.abs(image.astype(int) - next(reader.frames(number, number + 1))).max() <= 2


def test_without_decord_pyav_picks(tmp_path: Path) -> None:
    make(tmp_path / "v.mp4")
    code = (
        "import sys; sys.modules['decord'] = None\n"
        "from vidamodal.media.video import open_video\n"
        f"reader = open_video({str(tmp_path / 'v.mp4')!r})\n"
        "assert reader._pick is None and reader.pick([7, 3]).shape == (2, 48, 80, 3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    path = remux(make(tmp_path / "v.mp4"), tmp_path / "edited.mp4", skip=14 / 30)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 20  # from key frame 10 on; 16 are shown
    reader = open_video(path)
    assert reader.info.frames == 16
    assert [number_of(image) for image in reader.frames()] == list(range(14, 30))
    assert [number_of(image) for image in reader.frames(3, 5)] == [17, 18]
    assert [number_of(image) for image in reader.pick([15, 0])] == [29, 14]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied(rotation: int, tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", rotation=rotation))
    upright = np.rot90(picture(5), rotation // 90)
    assert (reader.info.height, reader.info.width) == upright.shape[:2]
    image = next(reader.frames(5, 6))
    assert np.abs(image.astype(int) - upright).mean() < 12
    assert np.abs(reader.pick([5])[0].astype(int) - upright).mean() < 12


def test_variable_rate_keeps_every_frame_once(tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", times=[i + i // 7 * 5 for i in range(N)]))
    assert reader.info.frames == N and 15 < reader.info.fps < 30
    assert [number_of(image) for image in reader.frames()] == list(range(N))
    assert [number_of(image) for image in reader.pick([28, 6])] == [28, 6]


def test_a_single_frame(tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / "v.mp4", numbers=[9]))
    assert [number_of(image) for image in reader.frames()] == [9] and reader.info.frames == 1


def test_damaged_frames_raise(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets: Any = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = packets[10]
    content[place + size // 2 : place + size // 2 + 8] = bytes(8)
    path.write_bytes(content)
    message = refused(path)
    assert "damaged" in message or "cannot be decoded" in message or "could be decoded" in message


def test_a_change_of_size_within_a_video_is_refused(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a.h264"), make(tmp_path / "b.h264", size=(64, 96))
    (tmp_path / "ab.h264").write_bytes(first.read_bytes() + second.read_bytes())
    assert f"frame {N} has 64 x 96 pixels, but the first has {H} x {W}" in refused(tmp_path / "ab.h264")


OPEN_GROUPS = {
    "libx264": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0", "threads": "1"},
    "libx265": {
        "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0:log-level=none:pools=none"
    },
    "mpeg2video": {"g": "12", "bf": "2"},
}


@pytest.mark.parametrize(
    ("codec", "whole", "part"),
    [
        ("libx264", "mp4", "mkv"),
        ("libx264", "mkv", "mp4"),
        ("libx265", "mp4", "mkv"),
        ("libx265", "mkv", "ts"),
        ("mpeg2video", "ts", "mkv"),
        ("mpeg2video", "mpg", "ts"),
    ],
)
def test_frames_of_open_groups_keep_their_places(codec: str, whole: str, part: str, tmp_path: Path) -> None:
    """Pictures before a key frame may refer to the group before it, which is missing in the part."""
    if not has_encoder(codec):
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = make(tmp_path / f"v.{whole}", codec, options=OPEN_GROUPS[codec])
    part_of_it = cut_without_encoding(path, tmp_path / f"part.{part}")
    for place, numbers in ((path, range(N)), (part_of_it, range(12, N))):
        reader = open_video(place)
        frames = list(reader.frames())
        assert [number_of(image) for image in frames] == list(numbers)
        for start in range(0, len(frames), 2):
            assert (next(reader.frames(start, start + 1)) == frames[start]).all()
