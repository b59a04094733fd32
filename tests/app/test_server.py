"""The server and its page: refusals, and a walk through the page in a headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from tests.browser import chromium
from tests.helpers import FRAMES, SIZE, ToyClip
from vidamodal.app.server import serve
from vidamodal.app.session import AppSettings
from vidamodal.cli import main
from vidamodal.metrics.evaluate import evaluate
from vidamodal.tracks import read_tracks
from vidamodal.types import InputError

PATIENCE = 180_000
"""Milliseconds that an action may take on a busy computer."""
NASTY = "a<img src=x onerror=alert(1)>'; ..#%23.mp4"


def test_without_gradio_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as left:
        main(["app"])
    lines = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and len(lines) == 1 and "needs Gradio" in lines[0]


@pytest.mark.needs("gradio")
def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"port= \d+ cannot be used"):
            serve(AppSettings(), tmp_path / "work", taken.getsockname()[1])
    with pytest.raises(InputError, match="is a file"):
        serve(AppSettings(), tmp_path / "file", 0)
    with pytest.raises(InputError, match="there is no model 'none'"):
        serve(AppSettings(model="none"), tmp_path / "work", 0)
    assert not (tmp_path / "work").exists()


@pytest.mark.needs("gradio")
@pytest.mark.parametrize("screen", [True, False])
def test_the_page_is_opened_in_a_browser_that_has_a_screen(
    screen: bool,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    monkeypatch.setattr("vidamodal.app.server._keep_inside", lambda folder: None)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0") if screen else monkeypatch.delenv("DISPLAY", raising=False)
    serve(AppSettings(model=str(model_folder)), tmp_path / "work", 0, show=True)
    address = capsys.readouterr().out.split()[2]
    assert opened == ([address] if screen else []) and address.startswith("http://127.0.0.1:")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[str]:
    """Run the app with a small model and a limit of 1 MB, and check that it leaves nothing behind."""
    folder = tmp_path_factory.mktemp("app")
    command = [sys.executable, "-m", "vidamodal.cli", "app", "--port", "0", "--max-upload", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [*command, "--model", str(model_folder), "--sam", str(folder / "none")],
        env=environment, stdout=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert found is not None
    yield found[0]
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert list(folder.iterdir()) == []


class Tab:
    """The page in one tab, with everything that went wrong in it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._refuse)
        self.page.on("request", lambda request: self._check(request.url, address))
        self.page.goto(address)

    def _refuse(self, dialog: Any) -> None:
        self.errors.append(dialog.message)
        dialog.dismiss()

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.errors.append(f"outside request: {url}")

    def press(self, button: str, expected: str) -> str:
        """Press a button and wait until the status line holds a text."""
        self.page.click(f"#{button}")
        return self.wait_for(expected)

    def wait_for(self, expected: str) -> str:
        self.page.wait_for_function(
            "text => document.querySelector('#status textarea').value.includes(text)", arg=expected
        )
        return str(self.page.input_value("#status textarea"))

    def upload(self, place: int, file: Path) -> None:
        self.page.locator("input[type=file]").nth(place).set_input_files(file)

    def export(self, path: Path) -> Path:
        """Export, and unpack what is downloaded."""
        with self.page.expect_download() as download:
            self.press("export", "exported: ")
        download.value.save_as(path)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.with_suffix(""))
        return path.with_suffix("")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.needs("gradio", "playwright")
def test_a_walk_from_the_upload_to_a_scored_export(address: str, browser: Any, clip: ToyClip, tmp_path: Path) -> None:
    shutil.copy(clip.video, tmp_path / NASTY)
    tab = Tab(browser, address)
    tab.upload(0, tmp_path / NASTY)
    tab.upload(1, clip.truth)
    tab.page.wait_for_selector("text=tracks.json")
    assert "masks of 4 objects, exhaustive" in tab.press("open", "14 frames of 96 x 96 pixels")
    tab.press("complete", "4 objects completed in 14 frames")
    before = check_result(tab)
    tab.press("take", "object 1 is loaded in frame 5")
    correct_by_painting(tab)
    tab.press("again", "anchors: 1 frame of 1 track")
    shown = tab.page.frame_locator("#result iframe")
    assert shown.locator("#number").inner_text() == f"frame 5 / {FRAMES - 1}"
    assert shown.locator('.object[data-id="1"] .anchor').count() == 1
    folder = tab.export(tmp_path / "export.zip")
    result, corrections = read_tracks(folder / "tracks.json"), read_tracks(folder / "corrections.json")
    painted = (corrections.tracks[0].amodal or ())[5]
    assert painted is not None and (result.tracks[0].amodal or ())[5] == painted
    assert painted.decode()[SIZE // 2, SIZE // 4 : 3 * SIZE // 4].all() and painted.area() >= before
    assert [t for t, m in enumerate(corrections.tracks[0].amodal or ()) if m] == [5]
    assert evaluate(folder / "tracks.json", clip.truth).primary.object_frames > 0
    assert (folder / "view.html").is_file() and tab.errors == []
    tab.page.close()


def check_result(tab: Tab) -> int:
    """Scrub the result to frame 5 and return the area of object 1 there."""
    tab.page.wait_for_selector("#result iframe")
    frame = tab.page.frame_locator("#result iframe")
    frame.locator("#scrubber").fill("5")
    assert frame.locator("#number").inner_text() == f"frame 5 / {FRAMES - 1}"
    frame.locator('input[data-track="2"]').uncheck()
    area = frame.locator("body").evaluate("() => partsOf(tracks[0], 5)?.area ?? 0")
    return int(area)


def correct_by_painting(tab: Tab) -> None:
    """Paint a stroke across the picture and use the mask."""
    canvas = tab.page.frame_locator("#painter iframe").locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + box["width"] * 0.2, y)
    tab.page.mouse.down()
    for share in np.linspace(0.2, 0.8, 8):
        tab.page.mouse.move(box["x"] + box["width"] * share, y)
    tab.page.mouse.up()
    tab.press("use", "object 1 is corrected in frame 5")
    assert tab.page.input_value("#corrections textarea") == "object 1: frames 5"


@pytest.mark.slow
@pytest.mark.needs("gradio", "playwright")
def test_two_tabs_a_closed_one_and_a_large_upload(address: str, browser: Any, clip: ToyClip, tmp_path: Path) -> None:
    one, two = Tab(browser, address), Tab(browser, address)
    one.upload(0, clip.video)
    one.upload(1, clip.truth)
    one.page.wait_for_selector("text=tracks.json")
    one.press("open", "masks of 4 objects")
    assert "Not possible: no video is open" in two.press("complete", "Not possible")
    two.press("sample", "masks of 14 objects")
    one.press("complete", "4 objects completed")
    source = one.page.get_attribute("#result iframe", "src")
    page = address + source.partition("?")[0]
    assert b"clip.mp4" in urlopen(page).read()
    assert two.page.locator("#result iframe").count() == 0
    (tmp_path / "large.mp4").write_bytes(bytes(3_000_000))
    two.upload(0, tmp_path / "large.mp4")
    two.page.wait_for_selector("text=/exceed|too large|maximum/i")
    one.page.close()
    two.page.wait_for_timeout(5000)
    with pytest.raises(HTTPError, match="404"):  # the files of the closed tab are gone
        urlopen(page)
    assert two.errors == []
    two.page.close()


@pytest.mark.slow
@pytest.mark.needs("gradio", "playwright")
def test_a_missing_hub_model_is_one_line_and_marks_are_clicked(address: str, browser: Any, clip: ToyClip) -> None:
    tab = Tab(browser, address)
    tab.upload(0, clip.video)
    tab.page.wait_for_selector("text=clip.mp4")
    tab.press("open", "no masks")
    tab.page.click("text=No masks? Mark the objects by points")
    tab.page.locator("#marks img").click()
    tab.wait_for("object 1: 1 point in frame 0")
    status = tab.press("complete", "Not possible: --sam")
    assert "\n" not in status
    assert tab.errors == []
    tab.page.close()


@pytest.mark.slow
@pytest.mark.needs("gradio", "playwright")
def test_other_host_names_and_unknown_files_are_refused(address: str) -> None:
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(address, headers={"Host": "evil.example"}))
    for path in ("/files/none/view.html", "/files/none/..%2f..%2fetc%2fpasswd", "/gradio_api/file=/etc/passwd"):
        with pytest.raises(HTTPError, match=r"40[34]"):
            urlopen(address + path)
