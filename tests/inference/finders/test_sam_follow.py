"""Following backward: what is filled in, which pixels are kept, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tests.inference.hub_models import HEIGHT, WIDTH, random_video
from vidamodal.inference.finders.sam_follow import Mark, Masks, Patience, follow_backward
from vidamodal.media.prompts import Prompt
from vidamodal.types import Rle, VideoInfo

INFO = VideoInfo("v.mp4", HEIGHT, WIDTH, 9, 12.0)


class ScriptedStream:
    """A stream whose objects are squares that are out of sight in some frames."""

    def __init__(self, absent: Mapping[int, range]) -> None:
        self.absent, self.ids, self.frames = absent, list[int](), list[int]()

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def look(self, t: int, pixels: object, prompt: Prompt, height: int, width: int) -> tuple[int, int]:
        return prompt.id, t

    def follow(self, key: int, sighting: tuple[int, int]) -> None:
        assert sighting[0] == key
        self.ids.append(key)

    def step(self, t: int, pixels: object) -> dict[int, torch.Tensor]:
        self.frames.append(t)
        planes = {key: torch.full((HEIGHT, WIDTH), -1.0) for key in self.ids}
        for key, plane in planes.items():
            if t not in self.absent.get(key, ()):
                plane[:10, 5 * key : 5 * key + 10] = 1
        return planes

    def drop(self, keys: set[int]) -> None:
        self.ids = [key for key in self.ids if key not in keys]


def backward(stream: Any, starts: Mapping[int, int], visible: Masks, patience: int | None = None) -> None:
    marks = [Mark(key, frame, Prompt(key, frame)) for key, frame in starts.items()]
    follow_backward(stream, INFO, random_video(9), marks, visible, patience)


def test_only_frames_before_the_marks_are_filled_in() -> None:
    visible: Masks = {1: [None] * 9, 2: [None] * 9, 3: [None] * 9}
    stream = ScriptedStream({})
    backward(stream, {1: 6, 2: 3, 3: 0}, visible)
    assert stream.frames == list(range(6, -1, -1))
    assert [mask is not None for mask in visible[1]] == [True] * 6 + [False] * 3
    assert [mask is not None for mask in visible[2]] == [True] * 3 + [False] * 6
    assert visible[3] == [None] * 9


def test_pixels_that_have_an_object_keep_it() -> None:
    taken = np.zeros((HEIGHT, WIDTH), dtype=bool)
    taken[:, :8] = True
    visible: Masks = {1: [None] * 9, 2: [Rle.encode(taken)] * 9}
    backward(ScriptedStream({}), {1: 2}, visible)
    assert visible[1][0] is not None and visible[1][0].box() == (0, 8, 10, 15)


def test_objects_that_stay_out_of_sight_are_followed_no_longer() -> None:
    visible: Masks = {1: [None] * 9}
    stream = ScriptedStream({1: range(5)})
    backward(stream, {1: 7}, visible, patience=2)
    assert (
        stream.frames == [7, 6, 5, 4, 3]
        and [mask is not None for mask in visible[1]] == [False] * 3 + [True] * 4 + [False] * 2
    )


def test_patience_counts_frames_in_a_row() -> None:
    seen, empty = Rle.encode(np.ones((2, 2), dtype=bool)), Rle.empty(2, 2)
    rule = Patience(2)
    assert [rule.lost({1: mask, 2: seen}) for mask in (empty, seen, empty)] == [set(), set(), set()]
    assert rule.lost({1: empty, 2: seen}) == {1}
