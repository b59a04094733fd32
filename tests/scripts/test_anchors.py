"""The experiment that measures what anchors are worth."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.experiments.anchors.__main__ import measure_clip, render_page, select_frames, worst_frame
from tests.helpers import clip_tracks, disc_scene, write_disc_clip
from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counting import count_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.types import Rle


def test_the_worst_frame_has_the_lowest_iou_of_those_that_are_scored() -> None:
    truth = clip_tracks(disc_scene(4))
    track = truth.tracks[0]
    masks = list(track.amodal or ())
    masks[3] = Rle.empty(truth.video.height, truth.video.width)
    predicted = replace(truth, tracks=(replace(track, amodal=tuple(masks)), *truth.tracks[1:]))
    assert worst_frame(count_video("clip", predicted, truth, shapes=False).tracks[0]) == 3
    unknown = replace(track, amodal=(None,) * truth.video.frames)
    nothing = replace(truth, tracks=(unknown, *truth.tracks[1:]))
    found = [counts for counts in count_video("clip", predicted, nothing, shapes=False).tracks if counts.id == track.id]
    assert all(worst_frame(counts) is None for counts in found)


def test_one_frame_of_each_track_is_chosen_or_left_out() -> None:
    truth = clip_tracks(disc_scene(4))
    one, rest = (select_frames(truth, {truth.tracks[0].id: 2}, keep) for keep in (True, False))
    known = [[mask is not None for mask in clip.tracks[0].amodal or ()] for clip in (one, rest)]
    assert known == [[t == 2 for t in range(truth.video.frames)], [t != 2 for t in range(truth.video.frames)]]
    assert not any(one.tracks[1].amodal or ()) and rest.tracks[1].amodal == truth.tracks[1].amodal


def test_the_page_compares_the_same_object_frames(model: AmodalModel, tmp_path: Path) -> None:
    write_disc_clip(tmp_path / "set", disc_scene(4))
    clips = list(find_dataset(tmp_path / "set").clips.values())
    scores = [measure_clip(Predictor(model, "cpu"), clip) for clip in clips]
    assert scores[0].plain.object_frames == scores[0].anchored.object_frames > 0
    assert scores[0].plain.full != pytest.approx(scores[0].anchored.full)
    page = render_page(Namespace(model="small", clips=1), {"set": scores})
    assert page.count("| set |") == 2 and "-m scripts.experiments.anchors --truth set --model small --clips 1" in page
