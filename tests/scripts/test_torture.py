"""Tests of the checks of reliability: small runs of each, and what they call lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from scripts.dev import torture
from scripts.dev.torture_checks import CHECKS, determinism, generation, long, models, names, numerics, page, videos
from scripts.dev.torture_checks.base import Attempt, Check
from scripts.dev.torture_checks.networks import NETWORKS
from scripts.dev.torture_checks.processes import Limits, run_child
from scripts.dev.torture_checks.sandbox import Payload
from tests.media.helpers import make
from tests.training.helpers import ROOT, environment
from vidamodal.media.video import open_video
from vidamodal.tracks import read_tracks, write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

FULL = {
    "training": 4,
    "disk": 16,
    "generation": 3,
    "inference": 4,
    "batch": 3,
    "conversion": 10,
    "videos": 100,
    "models": 60,
    "names": 16,
    "long": 2,
    "determinism": 14,
    "numerics": 2,
    "formats": 110,
    "metrics": 45,
}
"""Attempts of the slow tests, each of which takes up to a minute or two."""


def run(name: str, folder: Path, count: int) -> list[Attempt]:
    return list(CHECKS[name].run(folder, 1, count))


def assert_nothing_lost(attempts: list[Attempt], count: int) -> None:
    assert len(attempts) == count
    assert [attempt for attempt in attempts if attempt.lost is not None] == []


@pytest.mark.parametrize(
    ("name", "count"), [("videos", 20), ("names", 2), ("conversion", 2), ("formats", 4), ("metrics", 3)]
)
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
    assert done.stdout.splitlines()[-1] == f"{name}: tried {FULL[name]} / survived {FULL[name]} / lost 0"


@pytest.mark.slow
def test_hostile_networks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third kind of damage to each network."""
    trials = [trial for trial in models._trials() if trial.command in NETWORKS]
    chosen = [trial for k, trial in enumerate(trials) if k // len(NETWORKS) % 3 == 2]  # an index of pickles is one
    monkeypatch.setattr(models, "_trials", lambda: iter(chosen))
    assert_nothing_lost(run("models", tmp_path, len(chosen)), len(chosen))


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
    ended = run_child(call, tmp_path / "log", Limits(seconds=1 if call is hang else 60, patience=100, memory=64))
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


def square(offset: int) -> Rle:
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:35, 5 + offset : 35 + offset] = True
    return Rle.encode(mask)


def result(folder: Path, amodal: Rle, confidence: float) -> dict[str, Any]:
    track = Track(1, (square(5),), amodal=(amodal,), confidence=(confidence,))
    clip = ClipTracks(VideoInfo("v", 40, 40, 1, 1.0), (replace(track, visible=(Rle.empty(40, 40),)),), order=((),))
    write_tracks(folder / "tracks.json", clip)
    return dict(determinism._result(folder))


def test_results_that_differ_are_lost(tmp_path: Path) -> None:
    first, same, moved, unsure = (
        result(tmp_path / name, square(offset), confidence)
        for name, offset, confidence in (("a", 0, 0.9), ("b", 0, 0.9), ("c", 1, 0.9), ("d", 0, 0.8))
    )
    assert determinism._differing(first, same) is None and determinism._far_off(first, same) is None
    assert determinism._differing(first, moved) == "track 1 differs" == determinism._differing(first, unsure)
    assert "an IoU of 0.9" in str(determinism._far_off(first, moved))
    assert "confidences of 0.9 and 0.8" in str(determinism._far_off(first, unsure))


def test_scores_that_differ_are_lost() -> None:
    numerics._compare({"full": 90.0, "occ": None}, {"full": 90.2, "occ": None})
    others: list[dict[str, float | None]] = [{"full": 90.4, "occ": None}, {"full": 90.0, "occ": 1.0}]
    for other in others:
        with pytest.raises(AssertionError, match=r"full|occ"):
            numerics._compare({"full": 90.0, "occ": None}, other)


def test_memory_that_grows_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(masks: int) -> list[bool]:
        curves = iter(([500.0], [500.0, 520.0, 900.0], [500.0], [500.0]))

        def measure(folder: Path, *_: object) -> list[float]:
            (folder / "out").mkdir()
            for name in (long.MASKS, long.RESULT):
                (folder / name).touch()
                os.truncate(folder / name, masks // 2)
            return next(curves)

        monkeypatch.setattr(long, "_measure", measure)
        return [attempt.lost is not None for attempt in long.run(tmp_path / str(masks), 0, 4)]

    assert run(0) == [False, False, True, False]
    assert run(400_000_000) == [False, False, False, False]  # the masks have to be read


def test_a_long_video_repeats_its_cycle(tmp_path: Path) -> None:
    long._write_video(tmp_path, 0, 2, 30)
    frames = list(open_video(tmp_path / "video.mp4").frames())
    assert len(frames) == 30 and np.array_equal(frames[1], frames[13]) and not np.array_equal(frames[1], frames[2])
    tracks = read_tracks(tmp_path / "tracks.json").tracks
    assert len(tracks) == 2 and tracks[0].visible[1] == tracks[0].visible[13] != tracks[0].visible[2]


def test_scenes_that_are_made_twice_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation._Bench, "finish", lambda *_: None)
    bench = generation._bench(tmp_path / "bench")
    bench.out.mkdir()
    (kind,) = (each for each in generation.KINDS if not each.kills)
    for begun, lost in (("1 5 4\n2 6 4\n", False), ("1 5 4\n1 6 4\n", True)):
        (bench.folder / "begun").write_text(begun)
        assert (generation._judge(bench, kind, {}) is not None) == lost
    assert generation._judge(bench, kind, {"manifest.json": "x"}) == "manifest.json differ from an undisturbed run"


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
