"""Predictions that are collected over a video become tracks."""

from __future__ import annotations

import numpy as np
import pytest

from vidamodal.inference.collected import CollectedTrack, collect
from vidamodal.inference.compose import FramePrediction, ObjectPrediction
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track, VideoInfo

HEIGHT, WIDTH = 6, 9
MASKS = [Rle.encode(mask) for mask in np.random.default_rng(0).random((6, HEIGHT, WIDTH)) < 0.5]
EMPTY = Rle.empty(HEIGHT, WIDTH)


def compose(collected: CollectedTrack, track: Track) -> Track:
    return collected.compose(track, len(track.visible), HEIGHT, WIDTH)


def test_frames_without_a_prediction_stay_unknown() -> None:
    collected = CollectedTrack()
    collected.add(1, ObjectPrediction((MASKS[0],), (0.25,), present=0.5))
    collected.add(3, ObjectPrediction((EMPTY,), (1.0,), present=1.0))
    track = compose(collected, Track(7, (None, MASKS[1], None, EMPTY), label="a"))
    assert track.amodal == (None, MASKS[0], None, EMPTY)
    assert track.confidence == (None, 0.25, None, 1.0)
    assert track.present == (None, 0.5, None, 1.0)
    assert track.visible == (None, MASKS[1], None, EMPTY) and (track.id, track.label, track.hypotheses) == (7, "a", ())


def test_a_track_without_predictions_is_unknown_everywhere() -> None:
    track = compose(CollectedTrack(), Track(1, (None, EMPTY), present=(0.5, 0.5)))
    assert (track.amodal, track.confidence, track.present) == ((None, None), (None, None), None)


def test_the_hypothesis_of_the_highest_mean_confidence_is_the_prediction() -> None:
    collected = CollectedTrack()
    collected.add(0, ObjectPrediction((MASKS[0], MASKS[1]), (0.5, 0.25)))
    collected.add(1, ObjectPrediction((MASKS[2], MASKS[3]), (0.25, 1.0)))
    track = compose(collected, Track(1, (MASKS[4], MASKS[5])))
    assert track.amodal == (MASKS[1], MASKS[3]) and track.confidence == (0.25, 1.0)
    assert [(h.score, h.amodal) for h in track.hypotheses] == [
        (0.375, (MASKS[0], MASKS[2])),
        (0.625, (MASKS[1], MASKS[3])),
    ]
    assert track.present is None


def test_confidences_of_detections_multiply_those_of_predictions() -> None:
    collected = CollectedTrack()
    for t in range(3):
        collected.add(t, ObjectPrediction((MASKS[t],), (0.5,)))
    track = compose(collected, Track(1, tuple(MASKS[:3]), confidence=(1.0, None, 0.5)))
    assert track.confidence == pytest.approx((0.5, 0.375, 0.25))


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 200])
def test_many_masks_keep_their_frames(frames: int) -> None:
    masks = [MASKS[t % 6] if t % 7 else EMPTY for t in range(frames)]
    collected = CollectedTrack()
    for t, mask in enumerate(masks):
        collected.add(t, ObjectPrediction((mask, MASKS[t % 5]), (1.0, 0.5)))
    track = compose(collected, Track(1, (EMPTY,) * frames))
    assert track.amodal == tuple(masks)
    assert track.hypotheses[1].amodal == tuple(MASKS[t % 5] for t in range(frames))


def test_a_clip_is_collected_from_the_predictions_of_its_frames() -> None:
    tracks = (Track(1, (EMPTY, None)), Track(2, (None, MASKS[1])))
    clip = ClipTracks(VideoInfo("video.mp4", HEIGHT, WIDTH, 2, 12.0), tracks, provenance={"made": "before"})
    orders: tuple[FrameOrder, FrameOrder] = ((2, 1),), ()
    first = {1: ObjectPrediction((MASKS[2],), (0.5,))}
    second = {1: ObjectPrediction((MASKS[3],), (0.25,)), 2: ObjectPrediction((MASKS[4],), (1.0,))}
    result = collect(clip, (FramePrediction(t, (first, second)[t], orders[t], np.zeros((2, 2))) for t in range(2)))
    assert [track.amodal for track in result.tracks] == [(MASKS[2], MASKS[3]), (None, MASKS[4])]
    assert [track.visible for track in result.tracks] == [track.visible for track in tracks]
    assert result.order == orders and result.provenance == {}
