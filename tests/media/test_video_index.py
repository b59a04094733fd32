"""Tests of the index of video files: damage, truncation and files that are not videos."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.helpers import H, N, W, cut, make, number_of, picture, refused, remux
from vidamodal.media.video import open_video


def test_files_that_are_not_videos_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    assert "cannot be read as a video" in refused(tmp_path / "text.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "cannot be read as a video" in refused(tmp_path / "noise.mp4")
    (tmp_path / "folder").mkdir()
    assert "no PNG or JPEG" in refused(tmp_path / "folder")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    make(tmp_path / "v.ts")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nv.ts\n#EXT-X-ENDLIST\n")
    assert "cannot be read as a video" in refused(tmp_path / "list.m3u8")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile v.ts\n")
    assert "cannot be read as a video" in refused(tmp_path / "list.mp4")


def test_audio_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for start in range(0, 8000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "audio only" in refused(tmp_path / "sound.mp4")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_cut_off_files_are_refused_with_the_number_of_frames(share: float, tmp_path: Path) -> None:
    """``share`` is the fraction of the picture data that remains."""
    whole = make(tmp_path / "whole.mp4")
    assert "cannot be read as a video" in refused(
        cut(whole, "cut.mp4", share, b"mdat", b"moov")
    )  # its index stood at the end
    fast = make(tmp_path / "fast.mp4", movflags="faststart")
    assert re.search(rf"only \d+ of {N} frames are in the file", refused(cut(fast, "half.mp4", share, b"mdat")))
    avi = make(tmp_path / "v.avi", "mpeg4")
    assert re.search(rf"only \d+ of {N} frames are in the file", refused(cut(avi, "half.avi", share, b"movi", b"idx1")))
    edited = remux(whole, tmp_path / "edited.mp4", skip=14 / 30)
    assert re.search(r"only \d+ of 16 frames are in the file", refused(cut(edited, "edited2.mp4", share, b"mdat")))


def test_a_cut_off_matroska_is_recognised_by_its_duration(tmp_path: Path) -> None:
    whole = make(tmp_path / "v.mkv", numbers=range(60))
    assert "frames are in the file; it is cut off" in refused(cut(whole, "cut.mkv", 0.6, b"\x1f\x43\xb6\x75"))


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264"])
@pytest.mark.parametrize("times", [[0, 1, 6, 7, 15], [0, 4, 8], [0, 1, 30]])
def test_dropped_frames_of_an_avi_are_no_frames(codec: str, times: list[int], tmp_path: Path) -> None:
    options = {"bf": "0"} if codec == "libx264" else {}
    reader = open_video(make(tmp_path / "v.avi", codec, numbers=range(len(times)), times=times, options=options))
    assert [number_of(image) for image in reader.frames()] == list(range(len(times)))
    assert [number_of(image) for image in reader.frames(1, 2)] == [1] == [number_of(i) for i in reader.pick([1])]
    assert reader.info.fps < 20  # the rate of the container is 30, but pictures are missing
    (note,) = reader.notes
    assert note.startswith(f"v.avi: {len(times)} frames can be decoded, although the file lists ")


def test_a_cut_off_avi_with_dropped_frames_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "v.avi", "mjpeg", numbers=range(12), times=[i + i // 3 * 4 for i in range(12)])
    assert "it is cut off" in refused(cut(path, "half.avi", 0.5, b"movi", b"idx1"))


@pytest.mark.parametrize("container", ["mkv", "webm"])
def test_the_last_frame_of_a_matroska_file_may_be_long(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"v.{container}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=30)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        for number in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        output.mux(stream.encode())
    content = path.read_bytes()
    place = content.index(b"\x44\x89\x88") + 3  # the duration: 8 bytes, milliseconds
    path.write_bytes(content[:place] + np.array(9000, ">f8").tobytes() + content[place + 8 :])
    reader = open_video(path)
    assert [number_of(image) for image in reader.frames()] == list(range(5)) and reader.notes == ()
    assert "it is cut off" in refused(cut(path, f"cut.{container}", 0.4, b"\x1f\x43\xb6\x75"))


def test_a_transport_stream_starts_and_ends_anywhere(tmp_path: Path) -> None:
    content = make(tmp_path / "v.ts").read_bytes()
    for name, start in (("packet.ts", 8 * 188), ("byte.ts", 8 * 188 + 71)):
        (tmp_path / name).write_bytes(content[start:])
        reader = open_video(tmp_path / name)
        assert [number_of(image) for image in reader.frames()] == list(range(10, N))  # from the next key frame on
        assert "20 frames can be decoded" in reader.notes[0]
    (tmp_path / "end.ts").write_bytes(content[: 2 * len(content) // 3])
    seen = [number_of(image) for image in open_video(tmp_path / "end.ts").frames()]
    assert seen == sorted(seen) and 10 < len(seen) < N


@pytest.mark.parametrize(("name", "share"), [("v.mkv", 0.7), ("v.mov", 0.7), ("v.avi", 0.7), ("v.mkv", 0.3)])
def test_damaged_ends_are_refused_where_the_file_has_an_end(name: str, share: float, tmp_path: Path) -> None:
    path = make(tmp_path / name, "mjpeg", numbers=range(12))
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    assert refused(path)


def test_a_consistent_mp4_is_not_decoded_when_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidamodal.media.video_index._count_by_decoding", None)
    for name, codec in (("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.webm", "libvpx")):
        assert open_video(make(tmp_path / name, codec)).info.frames == N


def test_a_motion_jpeg_stream_is_a_video(tmp_path: Path) -> None:
    for name in ("v.mjpeg", "v.mjpg", "v.jpg"):
        with av.open(str(tmp_path / name), "w", format="mjpeg") as output:
            stream = output.add_stream("mjpeg", rate=25)
            stream.height, stream.width, stream.pix_fmt = H, W, "yuvj420p"
            for number in range(6):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
            output.mux(stream.encode())
        reader = open_video(tmp_path / name)
        assert [number_of(image) for image in reader.frames()] == list(range(6))
        assert [number_of(image) for image in reader.frames(2, 4)] == [2, 3]


def test_a_missing_frame_of_an_animated_png_is_reported(tmp_path: Path) -> None:
    """One whose control chunk has another name is no frame for FFmpeg."""
    images = [Image.fromarray(picture(number)) for number in range(4)]
    path = tmp_path / "a.png"
    images[0].save(path, save_all=True, append_images=images[1:])
    assert open_video(path).info.frames == 4 and not open_video(path).notes
    content = bytearray(path.read_bytes())
    place = content.rindex(b"fcTL", 0, content.rindex(b"fcTL"))
    content[place : place + 4] = b"fCTL"
    path.write_bytes(content)
    reader = open_video(path)
    (note,) = reader.notes
    assert len(list(reader.frames())) == 3 and "3 frames can be decoded, although the file lists 4" in note
