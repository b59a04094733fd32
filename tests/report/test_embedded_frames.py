from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import vidamodal.report.embedded_frames as embedded
from tests.report.helpers import photo
from vidamodal.media.video import VideoReader
from vidamodal.report.embedded_frames import choose_size, jpeg_frames
from vidamodal.types import VideoInfo


def video_of(height: int, width: int, frames: int = 3) -> VideoReader:
    pictures = [photo(height, width, seed) for seed in range(frames)]
    return VideoReader(
        VideoInfo("v", height, width, frames, 12.0), None, lambda start, stop: iter(pictures[start:stop])
    )


def test_small_frames_keep_their_size() -> None:
    reader = video_of(40, 60)
    size = choose_size(reader)
    assert (size.height, size.width, size.note) == (40, 60, None)
    images = [Image.open(io.BytesIO(data)) for data in jpeg_frames(reader, size)]
    assert [image.size for image in images] == [(60, 40)] * 3 and images[0].format == "JPEG"
    smooth = np.full((40, 60, 3), 90, np.uint8)
    flat = VideoReader(VideoInfo("v", 40, 60, 1, 12.0), None, lambda *_: iter([smooth]))
    assert abs(np.asarray(Image.open(io.BytesIO(next(jpeg_frames(flat, size))))).astype(int) - 90).max() <= 2


def test_large_frames_are_scaled_down_and_the_note_says_so() -> None:
    reader = video_of(100, 2560, frames=1)
    size = choose_size(reader)
    assert (size.height, size.width) == (50, 1280)
    assert size.note is not None and "from 2560 x 100 to 1280 x 50" in size.note


def test_frames_shrink_until_all_of_them_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = video_of(300, 400, frames=4)
    full = sum(map(len, jpeg_frames(reader, choose_size(reader))))
    monkeypatch.setattr(embedded, "MAX_BYTES", full // 3)
    size = choose_size(reader)
    assert size.note is not None and size.width * 300 == size.height * 400
    assert full // 6 < sum(map(len, jpeg_frames(reader, size))) <= full // 3
    monkeypatch.setattr(embedded, "MAX_BYTES", 1)
    assert choose_size(reader).width == embedded.MIN_SIDE
