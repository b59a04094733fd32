"""Tests of the checks of reliability: small runs of each, and what they call lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from scripts.dev import torture
from scripts.dev.torture_checks import CHECKS, models, names, page, videos
from scripts.dev.torture_checks.base import Attempt, Check
from scripts.dev.torture_checks.processes import Limits, run_child
from scripts.dev.torture_checks.sandbox import Payload
from tests.media.helpers import make
from tests.training.helpers import ROOT, environment

FULL = {
    "training": 4,
    "disk": 14,
    "inference": 4,
    "videos": 100,
    "models": 60,
    "names": 16,
    "formats": 110,
    "metrics": 45,
}
"""Attempts of the slow tests, each of which takes up to a minute or two."""


def run(name: str, folder: Path, count: int) -> list[Attempt]:
    return list(CHECKS[name].run(folder, 1, count))


def assert_nothing_lost(attempts: list[Attempt], count: int) -> None:
    assert len(attempts) == count
    assert [attempt for attempt in attempts if attempt.lost is not None] == []


@pytest.mark.parametrize(("name", "count"), [("videos", 20), ("names", 2), ("formats", 4), ("metrics", 3)])
def test_nothing_is_lost_in_a_small_run(name: str, count: int, tmp_path: Path) -> None:
    assert_nothing_lost(run(name, tmp_path, count), count)


def test_the_first_hostile_models_are_refused(tmp_path: Path) -> None:
    assert_nothing_lost(run("models", tmp_path, 8), 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_lost_in_a_long_run(name: str) -> None:
    """Run the script as a user does; the disks need the right to mount."""
    script = [sys.executable, "-m", "scripts.dev.torture", name, "--count", str(FULL[name]), "--seed", "1"]
    if name == "disk" and os.geteuid():
        script = ["unshare", "--map-root-user", "--mount", *script]
        if shutil.which("unshare") is None or subprocess.run([*script[:3], "true"], capture_output=True).returncode:
            pytest.skip("needs the right to mount")
    done = subprocess.run(script, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{name}: tried {FULL[name]} / survived {FULL[name]} / lost 0\n"


def fake(*attempts: Attempt) -> Check:
    def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
        yield from attempts[:count]

    return cast(Check, SimpleNamespace(NAME="fake", TRIED="x", PROMISE="y", COUNT=2, run=run))


def test_what_is_lost_is_printed_and_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torture, "CHECKS", {"fake": fake(Attempt("case 0"), Attempt("case 1", "gone\naway"))})
    assert torture.torture("fake", 7, None, page=False) == 1
    assert capsys.readouterr().out == ("fake: LOST seed 7, case 1: gone away\nfake: tried 2 / survived 1 / lost 1\n")
    assert torture.torture("fake", 7, 1, page=False) == 0
    assert capsys.readouterr().out == "fake: tried 1 / survived 1 / lost 0\n"


def crash() -> None:
    os.abort()


def hang() -> None:
    while True:
        pass


def fail() -> None:
    raise ValueError("wrong")


def fill() -> None:
    held = []
    while True:  # the parent's free memory may hold the first ones
        held.append(bytearray(2**28))


@pytest.mark.parametrize(
    ("call", "fault"),
    [(crash, "SIGABRT"), (hang, "processor time"), (fail, "ValueError: wrong"), (fill, "MemoryError"), (bool, None)],
)
def test_crashes_hangs_and_tracebacks_are_faults(
    call: Callable[[], int | None], fault: str | None, tmp_path: Path
) -> None:
    ended = run_child(call, tmp_path / "log", Limits(seconds=1, patience=100, memory=64))
    assert ended.fault is None if fault is None else fault in str(ended.fault)


def test_a_child_that_waits_for_ever_is_killed(tmp_path: Path) -> None:
    ended = run_child(lambda: time.sleep(60), tmp_path / "log", Limits(seconds=1, patience=0.2))
    assert ended.status is None and "no end after" in str(ended.fault)


def test_frames_that_are_left_out_silently_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.mp4", numbers=range(5))
    monkeypatch.setattr(videos, "_listed", lambda _: 6)
    with pytest.raises(videos._MissingFramesError, match="5 frames were read"):
        videos.read_video(path)


def test_a_pickle_that_is_executed_is_lost(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    models._pickled(tmp_path, canary)
    os.system(Payload(canary).__reduce__()[1][0])
    trial = models._Trial("x", models._pickled, "predict")
    assert models._judge(trial, ["--help"], tmp_path, canary, tmp_path / "log") == "code in the file was executed"


@pytest.mark.parametrize("name", ["nul.txt", "a b", ".hidden", "a\nb"])
def test_names_that_not_every_system_holds_are_lost(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain.json").touch()
    assert names._odd_names(tmp_path) is None
    (tmp_path / name).touch()
    assert names._odd_names(tmp_path) == name


def test_the_page_shows_the_figures_of_each_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "figures.json").write_text("{}")
    monkeypatch.setattr(page, "FIGURES", tmp_path / "figures.json")
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    page.write_page({name: page.Figures(100 + k, k, 7) for k, name in enumerate(CHECKS)})
    page.write_page({"videos": page.Figures(900, 0, 8)})  # the others are kept
    rows = [line for line in (tmp_path / "reliability.md").read_text().splitlines() if line.count("|") == 7]
    for k, name in enumerate(CHECKS):
        (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
        assert row.endswith("| 8 | 900 | 0 |" if name == "videos" else f"| 7 | {100 + k} | {k} |")
