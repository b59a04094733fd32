"""view.html: its data, its independence of everything outside, and how a browser shows it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import chromium
from tests.helpers import FRAMES, SIZE, ToyClip
from tests.report.helpers import Page, clip, photo, still
from vidamodal.cli import main
from vidamodal.media.video import open_video
from vidamodal.media.video_writer import write_video
from vidamodal.report.viewer import Pictures, view_result, write_view
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, InputError

NASTY = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>"


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    content = json.loads(found[1])
    assert isinstance(content, dict)
    return content


@pytest.fixture
def result(tmp_path: Path, clip: ToyClip) -> Path:
    """A result folder with its video."""
    folder = tmp_path / "result"
    write_tracks(folder / "tracks.json", clip.tracks)
    (folder / "clip.mp4").write_bytes(clip.video.read_bytes())
    return folder


def test_the_page_holds_masks_order_and_frames(result: Path, clip: ToyClip) -> None:
    view = view_result(result)
    assert view.path == result / "view.html" and "clip.mp4" in view.notes[0]
    data = data_of(view.path)
    for track, shown in zip(clip.tracks.tracks, data["tracks"], strict=True):
        assert shown["visible"] == [None if mask is None else mask.counts for mask in track.visible]
        assert shown["amodal"] == [None if mask is None else mask.counts for mask in track.amodal or ()]
        assert shown["hidden"] == [
            round(1 - v.area() / a.area(), 4) if v and a and a.area() else None
            for v, a in zip(track.visible, track.amodal or (), strict=True)
        ]
    assert [list(map(tuple, pairs)) for pairs in data["order"]] == [list(pairs) for pairs in clip.tracks.order or ()]
    text = view.path.read_text(encoding="utf-8")
    frames = re.findall(r'<script id="frame-(\d+)" type="text/plain">(.*?)</script>', text)
    assert [int(number) for number, _ in frames] == list(range(FRAMES))
    expected = next(open_video(clip.video).frames(5, 6)).astype(int)
    assert abs(np.asarray(Image.open(io.BytesIO(base64.b64decode(frames[5][1])))) - expected).mean() < 6


def test_the_page_allows_its_script_alone_and_loads_nothing(result: Path) -> None:
    text = view_result(result).path.read_text(encoding="utf-8")
    page = Page(text)
    policy = next(
        value for tag, name, value in page.attributes if (tag, name) == ("meta", "content") and "src" in value
    )
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not [name for _, name, _ in page.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert "url(" not in text.replace("url(#tip)", "")


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    nasty = still([NASTY], [8])
    nasty = replace(nasty, video=replace(nasty.video, path=NASTY))
    write_view(tmp_path / "nasty.html", nasty, None)
    text = (tmp_path / "nasty.html").read_text(encoding="utf-8")
    assert NASTY not in text and NASTY in Page(text).text
    assert data_of(tmp_path / "nasty.html")["tracks"][0]["label"] == NASTY
    assert text.count("<script") == 2


def test_a_name_that_is_no_utf_8_is_shown_escaped(tmp_path: Path) -> None:
    found = clip(2)
    write_view(tmp_path / "v.html", replace(found, video=replace(found.video, path="caf\udce9.mp4")), None)
    assert "caf\\udce9.mp4" in Page((tmp_path / "v.html").read_text(encoding="utf-8")).text


def test_the_same_result_gives_the_same_bytes(result: Path, tmp_path: Path) -> None:
    assert view_result(result).path.read_bytes() == view_result(result, tmp_path / "b.html").path.read_bytes()


def test_an_order_that_is_missing_is_computed_and_noted(tmp_path: Path) -> None:
    view = write_view(tmp_path / "v.html", clip(6), None)
    assert "no order" in view.notes[0] and len(data_of(view.path)["order"]) == 6


def test_anchors_are_marked(tmp_path: Path) -> None:
    shown = data_of(write_view(tmp_path / "v.html", clip(6), None, {7: {4, 2}}).path)["tracks"]
    assert [track["anchors"] for track in shown] == [[], [2, 4]]


def test_without_the_video_the_overlay_or_nothing_is_shown(result: Path) -> None:
    (result / "clip.mp4").rename(result / "overlay.mp4")
    view = view_result(result)
    assert "overlay.mp4 is shown" in view.notes[0] and data_of(view.path)["pictures"] == "overlay"
    (result / "overlay.mp4").unlink()
    view = view_result(result)
    assert "masks are shown alone" in view.notes[0] and data_of(view.path)["pictures"] is None
    assert "frame-0" not in view.path.read_text(encoding="utf-8")


def test_the_overlay_of_an_odd_size_may_be_padded(tmp_path: Path) -> None:
    odd: ClipTracks = clip(3, height=41, width=61)
    write_tracks(tmp_path / "tracks.json", odd)
    write_video(tmp_path / "overlay.mp4", [photo(41, 61)] * 3, 12.0)
    assert data_of(view_result(tmp_path).path)["pictures"] == "overlay"
    with pytest.raises(InputError, match="3 frames of 42 x 62 pixels, but the tracks have 3 of 41 x 61"):
        write_view(tmp_path / "v.html", odd, Pictures(open_video(tmp_path / "overlay.mp4")))


def test_the_name_of_the_video_never_leaves_the_folder(tmp_path: Path, clip: ToyClip) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.video.read_bytes())
    outside = replace(clip.tracks, video=replace(clip.tracks.video, path="../clip.mp4"))
    write_tracks(tmp_path / "result" / "tracks.json", outside)
    assert data_of(view_result(tmp_path / "result").path)["pictures"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: no such folder"),
        (["empty"], "tracks.json: no such file"),
        (["result", "--video", "short.mp4"], "Pass the video of these tracks"),
        (["result", "--video", "none.mp4"], "none.mp4: no such file"),
        (["result", "--out", "empty"], "empty is a folder"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], message: str, result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_video(tmp_path / "short.mp4", [photo(SIZE, SIZE)] * 2, 12.0)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as left:
        main(["view", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and len(lines) == 1 and message in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.needs("playwright")
def test_a_browser_decodes_the_masks_and_answers_the_controls(result: Path, clip: ToyClip) -> None:
    path = view_result(result).path
    with chromium() as browser:
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.goto(f"file://{path}")
        for k, track in enumerate(clip.tracks.tracks):
            for t in range(FRAMES):
                found = page.evaluate(
                    f"(() => {{ const o = partsOf(tracks[{k}], {t}); return o && [o.box, [...o.parts]]; }})()"
                )
                check_parts(found, track.visible[t], (track.amodal or ())[t])
        scrub_and_toggle(page, clip)
        assert problems == []


def check_parts(found: Any, visible: Any, amodal: Any) -> None:
    expected = 2 * amodal.decode().astype(int)
    expected[visible.decode()] = 1
    shown = np.zeros_like(expected)
    if found is not None:
        box, parts = found
        place = np.s_[box["top"] : box["top"] + box["height"], box["left"] : box["left"] + box["width"]]
        shown[place] = np.reshape(parts, (box["height"], box["width"]))
    assert np.array_equal(shown, expected)


def scrub_and_toggle(page: Any, clip: ToyClip) -> None:
    """Scrub to a frame, hide all objects, and show one again: only its pixels change."""
    page.fill("#scrubber", "5")
    assert page.inner_text("#number") == f"frame 5 / {FRAMES - 1}"
    page.click("#none")
    page.wait_for_timeout(200)
    bare = canvas_pixels(page)
    track = max(clip.tracks.tracks, key=lambda track: track.visible[5].area())  # type: ignore[union-attr]
    page.check(f'input[data-track="{track.id}"]')
    painted = (canvas_pixels(page) != bare).any(axis=2)
    scale = painted.shape[0] // SIZE
    whole = (track.amodal or ())[5].decode().repeat(scale, 0).repeat(scale, 1)  # type: ignore[union-attr]
    assert painted[whole].mean() > 0.5 and painted.sum() < 1.6 * whole.sum()
    layer = page.inner_text(f'.object[data-id="{track.id}"] .cell >> nth=0')
    page.uncheck(f'input[data-layer="{layer}"]')
    assert np.array_equal(canvas_pixels(page), bare)
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#number") == f"frame 6 / {FRAMES - 1}"


def canvas_pixels(page: Any) -> np.ndarray:
    uri = page.evaluate("document.getElementById('overlay').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))
