"""Tests of the experiment that compares presets: means over seeds, agreement with `evaluate`, and errors."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.experiments.common import parse_names
from scripts.experiments.presets import __main__ as presets
from tests.helpers import ToyClip
from vidamodal.baselines import predict_baseline
from vidamodal.formats import Clip, find_dataset
from vidamodal.inference.runtime import FrameSource
from vidamodal.metrics.evaluate import evaluate
from vidamodal.metrics.tables import percent
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, InputError


@pytest.fixture
def truth(clip: ToyClip, tmp_path: Path) -> Path:
    """Two clips: all objects, and all but one."""
    folder = tmp_path / "toy"
    for key, tracks in (("a", clip.tracks.tracks), ("b", clip.tracks.tracks[1:])):
        (folder / key).mkdir(parents=True)
        write_tracks(folder / key / "tracks.json", replace(clip.tracks, tracks=tracks, order=None))
        shutil.copy(clip.video, folder / key / "clip.mp4")
    return folder


def cells(page: str, method: str) -> list[str]:
    return next(line for line in page.splitlines() if line.startswith(f"| {method} |")).strip("| ").split(" | ")[1:]


def test_seeds_are_averaged_and_videos_resampled(truth: Path) -> None:
    def oracle(clip: ClipTracks, _frames: FrameSource) -> ClipTracks:
        return clip

    def copy(clip: ClipTracks, _frames: FrameSource) -> ClipTracks:
        return predict_baseline("copy-visible", clip)

    clips: list[Clip] = list(find_dataset(truth).clips.values())
    rows = presets.count_pixels(clips, {"both": [oracle, copy], "oracle": [oracle], "copy": [copy]}, "toy")
    both, right, copied = (presets.score_cells(rows[name]) for name in ("both", "oracle", "copy"))
    assert right == presets.score_rows(rows)[-1][1:]
    assert right[0] == "100.0 [100.0 to 100.0]" and right[3:5] == ["0.0", "0.0"] and float(right[6]) < 100
    full = float(copied[0].split()[0])
    assert float(both[0].split()[0]) == pytest.approx((100 + full) / 2, abs=0.11)
    assert float(both[0].split()[1].strip("()")) == pytest.approx((100 - full) / 2, abs=0.11)
    low, high = (float(end.strip("[]")) for end in copied[0].split()[1::2])
    assert low < full < high
    assert both[1].startswith("50.0 (50.0) [50.0 to 50.0]")


def test_the_scores_on_the_page_are_those_of_evaluate(truth: Path, model_folder: Path, tmp_path: Path) -> None:
    page = presets.render_page({"toy": str(truth)}, {"small": f"{model_folder},{model_folder}"}, clips=9, device="cpu")
    method = presets.load_methods({"small": str(model_folder)}, "cpu")["small"][0]
    for key, clip in find_dataset(truth).clips.items():
        (tmp_path / "predicted" / key).mkdir(parents=True)
        write_tracks(tmp_path / "predicted" / key / "tracks.json", method(clip.tracks(), clip.frames))
    result = evaluate(tmp_path / "predicted", truth)
    named = result.protocols["c2f-video"]
    for way, scores in result.primary_rows("small").items():
        shown = [value.split()[0] for value in cells(page, way)]
        assert shown[:5] == [percent(getattr(scores, measure)) for measure in presets.MEASURES_SHOWN]
    assert "(0.0)" in cells(page, "small")[0] and "(" not in cells(page, "hull")[0]
    assert cells(page, "small")[5:] == [f"{percent(named.full)} (0.0)", f"{percent(named.occ)} (0.0)"]
    assert cells(page, "*a perfect prediction*")[5:] == [percent(named.ceiling_full), percent(named.ceiling_occ)]
    assert f"toy: 2 clips, {result.primary.object_frames:,} object-frames" in page
    low, high = result.interval["full"] or (0, 0)
    assert cells(page, "small")[0].endswith(f"[{percent(low)} to {percent(high)}]")


def test_invalid_names_are_refused() -> None:
    for pairs in (["toy"], ["=x"], ["a="], ["a=1", "a=2"], ["hull=tiny"]):
        with pytest.raises(InputError, match="NAME=VALUE"):
            parse_names(pairs)


def test_errors_are_one_line(truth: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([f"--truth=toy={truth}", "--models=x=nothing-there"], "no model 'nothing-there'"),
        (["--truth=toy=nowhere"], "nowhere: no such file"),
        ([f"--truth=toy={truth}", "--clips=0"], "at least 1"),
    ):
        monkeypatch.setattr(sys, "argv", ["presets.py", *arguments])
        with pytest.raises(SystemExit) as left:
            presets.main()
        assert left.value.code == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("presets: ") and message in error
