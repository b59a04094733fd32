"""The experiment that measures what anchors are worth."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.experiments.anchors.__main__ import read_examples, render_page
from scripts.experiments.anchors.measure import gains_by_distance, measure_example, select_frames, worst_frames
from tests.helpers import clip_tracks, disc_scene, write_disc_clip
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counting import count_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.types import ClipTracks, Rle

TRUTH = clip_tracks(disc_scene(4))


def with_empty_masks(frames: set[int]) -> ClipTracks:
    """Return the ground truth with empty masks of the first track in some frames."""
    track, empty = TRUTH.tracks[0], Rle.empty(TRUTH.video.height, TRUTH.video.width)
    masks = tuple(empty if t in frames else mask for t, mask in enumerate(track.amodal or ()))
    return replace(TRUTH, tracks=(replace(track, amodal=masks), *TRUTH.tracks[1:]))


def test_the_worst_frames_have_the_lowest_iou_of_those_that_are_scored() -> None:
    counts = count_video("clip", with_empty_masks({3}), TRUTH, shapes=False).tracks[0]
    assert worst_frames(counts)[0] == 3 and len(worst_frames(counts)) == 3
    nothing = replace(counts, known=np.zeros_like(counts.known))
    assert worst_frames(nothing) == []


def test_some_frames_of_each_track_are_chosen_or_left_out() -> None:
    one, rest = (select_frames(TRUTH, {TRUTH.tracks[0].id: [2, 3]}, keep) for keep in (True, False))
    known = [[mask is not None for mask in clip.tracks[0].amodal or ()] for clip in (one, rest)]
    frames = range(TRUTH.video.frames)
    assert known == [[t in (2, 3) for t in frames], [t not in (2, 3) for t in frames]]
    assert not any(one.tracks[1].amodal or ()) and rest.tracks[1].amodal == TRUTH.tracks[1].amodal


def test_gains_are_sorted_by_their_distance_from_the_anchor() -> None:
    occluded = next(
        track.id for track in count_video("clip", TRUTH, TRUTH, shapes=False).tracks if track.occluded.any()
    )
    empty = replace(TRUTH, tracks=tuple(replace(t, amodal=t.visible) for t in TRUTH.tracks))
    before, after = (count_video("clip", found, TRUTH, shapes=False) for found in (empty, TRUTH))
    gains = gains_by_distance(before, after, {occluded: [0]})
    counts = next(track for track in before.tracks if track.id == occluded)
    frames = np.flatnonzero(counts.occluded & counts.scored)
    assert len(gains["1"]) == np.count_nonzero(frames == 1)
    assert [gain for each in gains.values() for gain in each] == [1.0] * np.count_nonzero(frames > 0)


def test_the_page_compares_the_same_object_frames(model: AmodalModel, tmp_path: Path) -> None:
    write_disc_clip(tmp_path / "set", disc_scene(4))
    options = Namespace(truth=[tmp_path / "set"], composites=None, model="small", clips=1)
    (examples,) = read_examples(options).values()
    gains = measure_example(Predictor(model, "cpu"), examples[0])
    assert all(gain.before.object_frames == gain.after.object_frames > 0 for gain in gains.values())
    assert gains[1].before.object_frames > gains[3].before.object_frames
    assert gains[1].before.full != pytest.approx(gains[1].after.full)
    page = render_page(options, {"set": [gains]})
    assert "| set | 1 |" in page and "| set | 3 |" in page
    assert "-m scripts.experiments.anchors --truth set --model small --clips 1" in page
