"""report.html: one well-formed file that needs nothing else, whatever it reports on."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import ToyClip
from vidamodal.baselines import predict_baseline
from vidamodal.cli import main
from vidamodal.formats.tracks import write_tracks
from vidamodal.metrics.evaluate import evaluate
from vidamodal.report.colours import OCCLUDED, VISIBLE
from vidamodal.report.html import Method, write_report
from vidamodal.report.plots import Point, dot_plot
from vidamodal.report.strips import FRAMES, SIDE, film_strip
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

VOID = {"meta", "img", "br", "circle", "path", "line"}
NASTY = "<img src=x onerror=\"alert('1')\">&amp;"


class Page(HTMLParser):
    """Reads a page strictly: every element is closed, in order. Keeps attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[np.ndarray]:
        uris = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        assert all(uri.startswith("data:image/webp;base64,") for uri in uris)
        return [np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]


def report(folder: Path, truth: ClipTracks, predictions: Sequence[ClipTracks], video: Path | None = None) -> Page:
    """The report on predictions called a, b, ... of a clip, read and checked to need nothing else."""
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


def still(labels: Sequence[str], seen: Sequence[int], frames: int = 4) -> ClipTracks:
    """Objects of 16 x 16 pixels beside each other, of each of which some columns are seen."""
    tracks = []
    for number, (label, columns) in enumerate(zip(labels, seen, strict=True)):
        whole = np.zeros((64, 64), dtype=bool)
        whole[20:36, 20 * number + 2 : 20 * number + 18] = True
        visible = whole.copy()
        visible[:, 20 * number + 2 + columns :] = False
        tracks.append(Track(number, (Rle.encode(visible),) * frames, (Rle.encode(whole),) * frames, label=label))
    return ClipTracks(VideoInfo("clip.mp4", 64, 64, frames, 12.0), tuple(tracks))


def test_two_methods_side_by_side_over_the_video(clip: ToyClip, tmp_path: Path) -> None:
    predictions = [predict_baseline(name, clip.tracks) for name in ("copy-visible", "hull")]
    page = report(tmp_path, clip.tracks, predictions, clip.video)
    for words in ("a, b against truth", "Difference to a", "Strata", "c2f-video-post", "Worst of", "copy-visible"):
        assert words in page.text
    assert "Plain ground" not in page.text
    pictures = page.pictures()
    assert len(pictures) % 6 == 0 and {picture.shape for picture in pictures} == {(SIDE, SIDE, 3)}
    assert (tmp_path / "one.html").stat().st_size < 8e6 / 24 * 9


def test_a_single_method_has_no_difference(clip: ToyClip, tmp_path: Path) -> None:
    page = report(tmp_path, clip.tracks, [clip.tracks])
    assert "Difference" not in page.text and "Plain ground: its video is not at hand." in page.text


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    truth = still([NASTY], [8])
    page = report(tmp_path, truth, [replace(truth, tracks=(*truth.tracks, replace(truth.tracks[0], id=7)))])
    assert NASTY in page.text and "track 7 of video 'clip'" in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    method = Method(NASTY, tmp_path / "a", evaluate(tmp_path / "a", tmp_path / "truth"))
    write_report(tmp_path / "nasty.html", [method], tmp_path / "truth")
    text = (tmp_path / "nasty.html").read_text(encoding="utf-8")
    assert NASTY in Page(text).text and NASTY not in text


def test_objects_that_are_never_hidden_leave_strata_empty_and_nothing_to_rank(tmp_path: Path) -> None:
    truth = still(["box"], [16])
    page = report(tmp_path, truth, [truth])
    assert "No object is ever hidden" in page.text and not page.pictures()
    assert "fully hidden" in page.text


def test_what_is_missing_is_said_and_shown_as_nothing(tmp_path: Path) -> None:
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


def test_tracks_matched_by_what_is_visible_are_shown_under_the_true_id(tmp_path: Path) -> None:
    truth = still(["box", "mug"], [8, 4])
    write_tracks(tmp_path / "truth.json", truth)
    write_tracks(tmp_path / "p.json", replace(truth, tracks=tuple(replace(t, id=9 - t.id) for t in truth.tracks)))
    result = evaluate(tmp_path / "p.json", tmp_path / "truth.json", match=True)
    write_report(tmp_path / "r.html", [Method("p", tmp_path / "p.json", result)], tmp_path / "truth.json")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "2 of 2 tracks matched" in page.text
    assert np.abs(page.pictures()[8].astype(int) - OCCLUDED).sum(axis=2).min() < 60


def test_frames_are_spread_over_the_track_and_parts_have_their_colours() -> None:
    truth = still(["box"], [8], frames=30)
    strip = film_strip(truth, lambda: None, 0, {"a": truth, "b": None})
    assert strip.frames[0] == 0 and strip.frames[-1] == 29 and len(strip.frames) == FRAMES
    assert [(row.title, row.method) for row in strip.rows] == [
        ("visible", None),
        ("truth", None),
        *((title, name) for name in ("a", "b") for title in ("prediction", "error")),
    ]
    visible, true, guess, right, nothing, _ = (
        np.array(Image.open(io.BytesIO(row.pictures[0]))).astype(int) for row in strip.rows
    )
    shows = [
        [np.abs(p - c).sum(axis=2).min() < 60 for c in (VISIBLE, OCCLUDED)] for p in (visible, true, guess, nothing)
    ]
    assert shows == [[True, False], [True, True], [True, True], [False, False]]
    assert np.ptp(right, axis=2).max() < 12, "no error, no colour"


@pytest.mark.parametrize(
    ("video", "says"),
    [
        (lambda: iter([np.zeros((64, 64, 3), np.uint8)] * 4), None),
        (lambda: iter([np.zeros((32, 64, 3), np.uint8)] * 4), "its video has another size or length"),
        (lambda: iter([np.zeros((64, 64, 3), np.uint8)] * 2), "its video has another size or length"),
        (lambda: None, "its video is not at hand"),
    ],
)
def test_a_plain_ground_is_explained(video: object, says: str | None) -> None:
    truth = still(["box"], [8])
    assert film_strip(truth, video, 0, {"a": truth}).plain == says  # type: ignore[arg-type]


def test_a_damaged_video_is_said() -> None:
    def damaged() -> None:
        raise InputError("damaged")

    assert film_strip(still(["box"], [8]), damaged, 0, {}).plain == "its video cannot be read"


def test_a_plot_keeps_its_dots_within_the_axis_and_empty_rows_without() -> None:
    points = [Point(0.0, (0.0, 0.5), "none"), Point(1.0, None, "all"), Point(None, None, "<empty>")]
    svg = dot_plot("a < b", [("x", points)])
    page = Page(svg)
    dots = [float(value[:-1]) for tag, name, value in page.attributes if (tag, name) == ("svg", "x")]
    assert len(dots) == 2 and 0 < dots[0] < dots[1] < 90
    assert "a < b" in [value for _, name, value in page.attributes if name == "aria-label"]


def test_the_command_writes_it(clip: ToyClip, tmp_path: Path) -> None:
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
