"""Images of annotation files find their frames."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidamodal.formats.base import VideoContext
from vidamodal.formats.videos.frame_places import has_gaps, numbers_in_names, place_frames, plain_stem, time_order
from vidamodal.media.json_records import FieldError
from vidamodal.types import VideoInfo


def video(frames: int, *names: str) -> VideoContext:
    return VideoContext(VideoInfo("v.mp4", 6, 5, frames, 10.0), names or None)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("clip/00012.jpg", "00012"),
        ("a\\b\\frame_3.PNG", "frame_3"),
        ("frame_0001_png.rf.0a1b2c3d4e5f.jpg", "frame_0001"),
        ("shot-7_jpg.rf.Zk2xP0q.jpg", "shot-7"),
        ("../../label-studio/data/upload/1/8a7c1b2d-frame_0004.jpg", "frame_0004"),
        ("C:\\data\\x9.bmp", "x9"),
    ],
)
def test_plain_stems(name: str, stem: str) -> None:
    assert plain_stem(name) == stem


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["v/00000.jpg", "v/00005.jpg"], [0, 5]),
        (["take2_3_left.png", "take2_10_left.png"], [3, 10]),
        (["cam1-5.png"], [5]),
        (["2024-01-02_1.png", "2024-01-02_2.png"], [1, 2]),
        (["cat1.png", "dog2.png"], None),
        (["a.png", "b.png"], None),
        (["1.png", "01.png"], None),
        ([], None),
    ],
)
def test_the_number_that_varies_counts(names: list[str], numbers: list[int] | None) -> None:
    assert numbers_in_names(names) == numbers


@pytest.mark.parametrize(
    ("names", "indices", "context", "frames", "word"),
    [
        (["00000", "00002", "00004"], None, video(5), (0, 2, 4), "file names"),
        (["a", "b"], [3, 1], video(5), (3, 1), "frame numbers"),
        (["x", "y"], None, video(2), (0, 1), ""),
        (["f1", "f3", "f5"], None, video(5), (0, 2, 4), "from 1"),
        (["f1", "f2"], None, video(5), (1, 2), "file names"),
        (["00000", "00005", "00010"], [0, 1, 2], video(15), (0, 5, 10), "file names"),
        (["00001", "00002", "00003"], [0, 1, 2], video(9), (0, 1, 2), "frame numbers"),
        (["0", "1"], [0, 1], video(9), (0, 1), "frame numbers"),
        (["00000", "00001", "00002"], [1, 2, 3], video(5), (0, 1, 2), "one higher"),
        (["f10", "f12"], [11, 13], video(20), (10, 12), "one higher"),
        (["p/b.jpg", "p/c.jpg"], [0, 1], video(3, "a", "b", "c"), (1, 2), ""),
        (["b_png.rf.123abc.jpg"], None, video(3, "a", "b", "c"), (1,), ""),
        (["7"], None, video(3, "5", "6", "7"), (2,), ""),
        (["x"], [2], video(3, "2", "3", "4"), (2,), "frame numbers"),
        (["m_3.png", "m_4.png"], None, video(3, "f2", "f3", "f4"), (1, 2), "file names"),
    ],
)
def test_images_are_placed(
    names: list[str], indices: Sequence[int] | None, context: VideoContext, frames: tuple[int, ...], word: str
) -> None:
    places = place_frames([f"{name}.jpg" if "." not in name else name for name in names], indices, context)
    assert places.frames == frames
    assert (word in places.note) if places.note and word else places.note is None


@pytest.mark.parametrize(
    ("names", "indices", "frames", "words"),
    [
        (["a", "b"], None, 5, "nothing says which frames"),
        (["0", "90"], None, 5, "go from 0 to 90"),
        (["100", "105"], [0, 1], 5, "go from 100 to 105"),
        (["a", "b"], [-1, 2], 5, "go from -1 to 2"),
        (["a", "b"], [2, 2], 5, "go from 2 to 2"),
        (["0", "1", "2"], None, 2, "lists 3 images"),
        (["1", "2", "5"], None, 5, "go from 1 to 5"),
        (["9" * 5000], None, 5, "nothing says which frames"),
        (["a" * 9**5 + "1"], None, 5, "go from 1 to 1"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    names: list[str], indices: list[int] | None, frames: int, words: str
) -> None:
    with pytest.raises(FieldError, match=words):
        place_frames(names, indices, video(frames))


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(0, 9), st.sampled_from(["", "cam2_", "a-"]))
def test_numbered_images_are_found_in_any_order(frames: set[int], more: int, prefix: str) -> None:
    order = sorted(frames)
    names = [f"{prefix}{t:03d}.png" for t in reversed(order)]
    sorted_names = [names[place] for place in time_order(names, None)]
    assert numbers_in_names(sorted_names) == order
    places = place_frames(sorted_names, None, video(max(order) + 1 + more))
    assert places.frames == tuple(order)
    assert has_gaps(order) == (order != list(range(order[0], order[-1] + 1)))
