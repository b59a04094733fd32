"""Tracks from the instances of a segmenter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import Tensor

from tests.segmenters.cumulative.helpers import (
    SIZE,
    segmenter,
    square,
)
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.inference.tracker import Tracker, TrackerConfig
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.types import FrameInstance, VideoInfo


def follow_masks(tracker: Tracker, t: int, masks: list[np.ndarray]) -> list[int | None]:
    return tracker.update(t, [FrameInstance(mask, mask, 1, None, 0.5) for mask in masks])


def test_an_object_keeps_its_id_through_a_short_occlusion_only() -> None:
    tracker = Tracker(TrackerConfig(patience=4))
    other = square(40, 40, 10, 64)

    def at(t: int) -> np.ndarray:
        return square(5, 2 + 3 * t, 12, 64)

    ids = [follow_masks(tracker, t, [other, at(t)] if t not in (4, 5, 6) else [other]) for t in range(10)]
    assert {k[0] for k in ids} == {1} and {k[1] for k in ids if len(k) == 2} == {2}  # it moved on 12 px unseen
    for t in range(10, 16):
        assert follow_masks(tracker, t, [other]) == [1]
    assert follow_masks(tracker, 16, [other, at(12)]) == [1, 3]


def test_ids_follow_the_greatest_overlap_one_to_one() -> None:
    tracker = Tracker()
    assert follow_masks(tracker, 0, [square(0, 0, 10, 64), square(0, 8, 10, 64)]) == [1, 2]
    assert follow_masks(tracker, 1, [square(0, 7, 10, 64), square(0, 1, 10, 64)]) == [2, 1]
    assert follow_masks(tracker, 2, [square(0, 4, 10, 64), square(0, 5, 10, 64), square(40, 40, 9, 64)]) == [1, 2, 3]


def find_tracks(monkeypatch: pytest.MonkeyPatch, masks: Callable[[int], list[np.ndarray]], frames: int) -> object:
    """Return the tracks of a segmenter that predicts these amodal masks, the front one first."""

    def segment(_self: CumulativeSegmenter, batch: Tensor, _seeds: object) -> list[list[FrameInstance]]:
        out = []
        for picture in batch:
            front, found = np.zeros((SIZE, SIZE), dtype=bool), []
            for number, mask in enumerate(masks(round(float(picture[0, SIZE // 2, SIZE // 2]) * 255)), start=1):
                found.append(FrameInstance(mask & ~front, mask, number, None, 0.5))
                front = front | mask
            out.append(found)
        return out

    monkeypatch.setattr(CumulativeSegmenter, "segment", segment)
    video = VideoInfo("v.mp4", 4 * SIZE, 4 * SIZE, frames, 12.0)
    pictures = (np.full((4 * SIZE, 4 * SIZE, 3), t, dtype=np.uint8) for t in range(frames))
    return SegmenterFinder(segmenter(), "cpu").find(video, lambda: pictures)


def test_tracks_have_the_size_of_the_video_and_the_order_of_their_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def masks(t: int) -> list[np.ndarray]:
        if t == 20:
            return [square(1, 1)]
        pair = [square(1, 1), square(4, 4)]
        return pair[::-1] if t == 30 else pair

    clip = find_tracks(monkeypatch, masks, 40)
    assert [track.id for track in clip.tracks] == [1, 2]  # type: ignore[attr-defined]
    front, back = clip.tracks  # type: ignore[attr-defined]
    big = np.kron(square(1, 1), np.ones((4, 4))) > 0
    assert (front.amodal[0].decode() ^ big).mean() < 0.01
    assert not (front.visible[0].decode() & back.visible[0].decode()).any()
    assert (back.amodal[0].decode() & big).any() and not (back.visible[0].decode() & front.amodal[0].decode()).any()
    assert back.visible[20] is None and back.amodal[20] == back.amodal[19]  # fully occluded: it stays where it was
    order = clip.order  # type: ignore[attr-defined]
    assert set(order[:30]) == {((1, 2),)} and order[30] == ((2, 1),)
