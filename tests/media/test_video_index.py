"""Tests of the index of video files: damage, truncation and files that are not videos."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.helpers import N, cut, make, refused, remux


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
