"""Tests of writing videos and mask videos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.media.helpers import picture
from vidamodal.media.video import open_video
from vidamodal.media.video_writer import open_cutout_video, write_mask_video, write_video
from vidamodal.types import VideoInfo


@pytest.mark.parametrize("size", [(48, 80), (49, 81), (1, 1), (270, 480)])
def test_written_videos_hold_every_frame_and_the_same_bytes(size: tuple[int, int], tmp_path: Path) -> None:
    frames = [picture(number, *size) for number in range(12)]
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, iter(frames), 29.97)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    reader = open_video(tmp_path / "a.mp4")
    height, width = (side + side % 2 for side in size)
    assert reader.info == VideoInfo("a.mp4", height, width, 12, 29.97)
    for image, frame in zip(reader.frames(), frames, strict=True):
        assert np.abs(image[: size[0], : size[1]].astype(int) - frame).mean() < 30 if min(size) > 1 else True
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_colours_survive_writing(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [240, 240, 240]], dtype=np.uint8)
    image = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)
    write_video(tmp_path / "c.mp4", [image] * 3, 10)
    seen = next(open_video(tmp_path / "c.mp4").frames())[16::32, 16::32]
    assert np.abs(seen.reshape(4, 3).astype(int) - colours).max() <= 4


@given(
    npst.arrays(bool, st.tuples(st.integers(1, 4), st.integers(3, 33), st.integers(3, 33))),
    st.sampled_from([1.0, 12.5, 23.976, 29.97, 60.0]),
)
@settings(max_examples=25)
def test_mask_videos_are_lossless(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray, fps: float) -> None:
    path = tmp_path_factory.mktemp("masks") / "1.mkv"
    write_mask_video(path, iter(masks), fps)
    first = path.read_bytes()
    write_mask_video(path, iter(masks), fps)
    assert path.read_bytes() == first
    reader = open_video(path)
    assert (reader.info.frames, reader.info.height, reader.info.width) == masks.shape
    np.testing.assert_array_equal(np.stack(list(reader.frames())), np.repeat(masks[..., None], 3, -1) * np.uint8(255))


def test_a_failed_write_keeps_the_existing_file(tmp_path: Path) -> None:
    def failing() -> Iterable[np.ndarray]:
        yield picture(0)
        raise OSError("no space left")

    path = tmp_path / "v.mp4"
    write_video(path, [picture(1)], 10)
    before = path.read_bytes()
    with pytest.raises(OSError, match="no space"):
        write_video(path, failing(), 10)
    with pytest.raises(ValueError, match="no frames"):
        write_video(path, [], 10)
    with pytest.raises(ValueError, match="another size"):
        write_video(path, [picture(0), picture(0, 50, 80)], 10)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("size", [(48, 80), (33, 51), (2, 2)])
def test_cutout_videos_keep_alpha_and_the_same_bytes(size: tuple[int, int], tmp_path: Path) -> None:
    images = []
    for number in range(4):
        alpha = np.zeros(size, dtype=np.uint8)
        alpha[: size[0] // 2, number:] = 255
        images.append(np.dstack([picture(number, *size), alpha]))
    for name in ("a.mov", "b.mov"):
        with open_cutout_video(tmp_path / name, 25) as add:
            for image in images:
                add(image)
    assert (tmp_path / "a.mov").read_bytes() == (tmp_path / "b.mov").read_bytes()
    with av.open(str(tmp_path / "a.mov")) as container:
        read = [frame.reformat(format="rgba", threads=1).to_ndarray() for frame in container.decode(video=0)]
    np.testing.assert_array_equal(np.stack(read)[..., 3], np.stack(images)[..., 3])
    reader = open_video(tmp_path / "a.mov")
    assert reader.info == VideoInfo("a.mov", *size, 4, 25.0)
    for image, cutout in zip(reader.frames(), images, strict=True):
        assert np.abs(image.astype(int) - cutout[..., :3]).mean() < 6


def test_a_cutout_video_of_several_sizes_is_refused(tmp_path: Path) -> None:
    def write() -> None:
        with open_cutout_video(tmp_path / "a.mov", 25) as add:
            add(np.zeros((8, 8, 4), dtype=np.uint8))
            add(np.zeros((8, 9, 4), dtype=np.uint8))

    with pytest.raises(ValueError, match="another size"):
        write()
    assert not list(tmp_path.iterdir())
