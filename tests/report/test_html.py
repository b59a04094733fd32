"""Tests of report.html: a single well-formed file that refers to no other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import ToyClip
from tests.report.helpers import Page, still
from vidamodal.baselines import predict_baseline
from vidamodal.cli import main
from vidamodal.metrics.evaluate import evaluate
from vidamodal.report.colours import OCCLUDED
from vidamodal.report.html import Method, write_report
from vidamodal.report.strips import SIDE
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks

NASTY = "<img src=x onerror=\"alert('1')\">&amp;"


def report(folder: Path, truth: ClipTracks, predictions: Sequence[ClipTracks], video: Path | None = None) -> Page:
    """The parsed report on predictions a, b, ... of a clip, checked to refer to no other file."""
    for name, clip in zip(("truth", "a", "b"), (truth, *predictions), strict=False):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_tracks(folder / name / "clip.tracks.json", clip)
    if video is not None:
        shutil.copy(video, folder / "truth" / "clip.mp4")
    paths = [folder / name for name in ("a", "b")[: len(predictions)]]
    methods = [Method(path.name, path, evaluate(path, folder / "truth", allow_missing=True)) for path in paths]
    for name in ("one.html", "two.html"):
        write_report(folder / name, methods, folder / "truth")
    text = (folder / "one.html").read_text(encoding="utf-8")
    assert text == (folder / "two.html").read_text(encoding="utf-8")
    assert "://" not in text and "<script" not in text and "@import" not in text and str(folder) not in text
    page = Page(text)
    assert "url(" not in text and not [tag for tag, name, _ in page.attributes if name == "href"]
    assert all(value.startswith("data:") for _, name, value in page.attributes if name == "src")
    return page


def test_two_methods_side_by_side_over_the_video(clip: ToyClip, tmp_path: Path) -> None:
    predictions = [predict_baseline(name, clip.tracks) for name in ("copy-visible", "hull")]
    page = report(tmp_path, clip.tracks, predictions, clip.video)
    for words in ("a, b against truth", "Difference to a", "Strata", "c2f-video-post", "Worst of", "copy-visible"):
        assert words in page.text
    assert "Plain background" not in page.text
    pictures = page.pictures()
    assert len(pictures) % 6 == 0 and {picture.shape for picture in pictures} == {(SIDE, SIDE, 3)}
    assert (tmp_path / "one.html").stat().st_size < 8e6 / 24 * 9


def test_a_single_method_has_no_difference(clip: ToyClip, tmp_path: Path) -> None:
    page = report(tmp_path, clip.tracks, [clip.tracks])
    assert "Difference" not in page.text and "Plain background: the video is missing." in page.text


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    truth = still([NASTY], [8])
    page = report(tmp_path, truth, [replace(truth, tracks=(*truth.tracks, replace(truth.tracks[0], id=7)))])
    assert NASTY in page.text and "track 7 of video 'clip'" in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    method = Method(NASTY, tmp_path / "a", evaluate(tmp_path / "a", tmp_path / "truth"))
    write_report(tmp_path / "nasty.html", [method], tmp_path / "truth")
    text = (tmp_path / "nasty.html").read_text(encoding="utf-8")
    assert NASTY in Page(text).text and NASTY not in text


def test_a_name_that_is_no_utf_8_is_shown_escaped(tmp_path: Path) -> None:
    found = still(["caf\udce9"], [8])
    page = report(tmp_path, replace(found, video=replace(found.video, path="caf\udce9.mp4")), [found])
    assert "caf\\udce9" in page.text


def test_objects_that_are_never_occluded_are_not_ranked(tmp_path: Path) -> None:
    truth = still(["box"], [16])
    page = report(tmp_path, truth, [truth])
    assert "No object is ever occluded" in page.text and not page.pictures()
    assert "fully hidden" in page.text


def test_missing_tracks_are_listed_and_shown_as_empty(tmp_path: Path) -> None:
    truth = still(["box", "mug"], [8, 4])
    page = report(tmp_path, truth, [replace(truth, tracks=truth.tracks[:1])])
    assert "no amodal masks for track 1 of video 'clip'" in page.text
    assert len(page.pictures()) == 2 * 4 * 4
    short = still(["box", "mug"], [8, 4], frames=3)
    assert "has 3 frames" in report(tmp_path / "short", truth, [short]).text


def test_two_single_files_match_whatever_their_names(tmp_path: Path) -> None:
    truth = still(["box"], [8])
    for name in ("x.json", "y.json"):
        write_tracks(tmp_path / name, truth)
    method = Method("y", tmp_path / "y.json", evaluate(tmp_path / "y.json", tmp_path / "x.json"))
    write_report(tmp_path / "report.html", [method], tmp_path / "x.json")
    prediction = Page((tmp_path / "report.html").read_text(encoding="utf-8")).pictures()[8]
    assert np.abs(prediction.astype(int) - OCCLUDED).sum(axis=2).min() < 60


def test_tracks_matched_by_visible_masks_are_shown_under_the_true_id(tmp_path: Path) -> None:
    truth = still(["box", "mug"], [8, 4])
    write_tracks(tmp_path / "truth.json", truth)
    write_tracks(tmp_path / "p.json", replace(truth, tracks=tuple(replace(t, id=9 - t.id) for t in truth.tracks)))
    result = evaluate(tmp_path / "p.json", tmp_path / "truth.json", match=True)
    write_report(tmp_path / "r.html", [Method("p", tmp_path / "p.json", result)], tmp_path / "truth.json")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "2 of 2 tracks matched" in page.text
    assert np.abs(page.pictures()[8].astype(int) - OCCLUDED).sum(axis=2).min() < 60


def test_the_command_line_writes_the_report(clip: ToyClip, tmp_path: Path) -> None:
    arguments = [
        "evaluate",
        "--pred",
        str(clip.truth),
        "--truth",
        str(clip.truth),
        "--report",
        str(tmp_path / "r.html"),
    ]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    assert "prediction against tracks.json" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
