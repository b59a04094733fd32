"""Evaluation of files: metrics.json, missing predictions, and several methods."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    TOY,
    VISIBLE,
    WHOLE,
    clip_of,
    close,
    count,
    pair,
    random_objects,
    rles,
    seeds,
    toy_clip,
    written,
)
from vidamodal.cli import main
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.evaluate import evaluate, score_counts
from vidamodal.metrics.protocols import load_protocols
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, InputError, Track

PROTOCOLS = set(load_protocols())


HALF = toy_clip(TOY["half"])


def test_metrics_json_holds_what_is_promised(tmp_path: Path) -> None:
    write_tracks(tmp_path / "truth.json", toy_clip())
    write_tracks(tmp_path / "pred.json", HALF)
    evaluation = evaluate(tmp_path / "pred.json", tmp_path / "truth.json")
    record = json.loads(evaluation.to_json())
    keys = {"full", "occ", "hidden", "false_completion", "ghosts", "flicker", "track_iou"}
    keys |= {"object_frames", "videos"}
    assert set(record["primary"]) == keys | {"interval"}
    assert record["primary"]["occ"] == pytest.approx(0.5)
    assert record["primary"]["interval"]["occ"] is None  # one video
    assert set(record["protocols"]) == set(record["hides"]) == PROTOCOLS
    assert all(set(p) == {"full", "occ", "ceiling_full", "ceiling_occ"} for p in record["protocols"].values())
    assert record["protocols"]["c2f-video"]["occ"] == pytest.approx(2.5 / 9)
    assert record["protocols"]["c2f-video"]["ceiling_occ"] == pytest.approx(5 / 9)
    assert record["protocols"]["primary"]["ceiling_full"] == 1
    assert set(record["baselines"]) == {"copy-visible", "hull", "hull-under-occluders", "last-complete-shape"}
    assert record["baselines"]["copy-visible"]["full"] == pytest.approx(0.75)
    assert set(record["videos"]["truth"]) == keys
    assert record["gain"]["full"]["mean"] == pytest.approx(0.125) and record["gain"]["ghosts"]["mean"] is None
    assert set(record["scenes"]) == {"partial"} and not {"boxes", "hypotheses"} & record.keys()
    assert evaluation.to_json() == evaluate(tmp_path / "pred.json", tmp_path / "truth.json").to_json()


def test_empty_means_are_null(tmp_path: Path) -> None:
    nothing = clip_of([], 10, 16, 32)
    write_tracks(tmp_path / "truth.json", nothing)
    write_tracks(tmp_path / "pred.json", HALF)
    evaluation = evaluate(tmp_path / "pred.json", tmp_path / "truth.json")
    record = json.loads(evaluation.to_json())
    assert record["primary"]["full"] is None and record["primary"]["object_frames"] == 0
    assert record["protocols"]["c2f-image"] == dict.fromkeys(["full", "occ", "ceiling_full", "ceiling_occ"])
    assert evaluation.ignored == ("track 4 of video 'truth'",)


def faulty(kind: str) -> dict[str, ClipTracks]:
    if kind == "video":
        return {}
    if kind == "length":
        track = HALF.tracks[0]
        short = Track(4, track.visible[:9], (track.amodal or ())[:9])
        return {"a": clip_of([short], 9, 16, 32)}
    if kind == "size":
        return {"a": pair([([np.pad(WHOLE, 1)] * 10,) * 3])[0]}
    if kind == "amodal":
        return {"a": clip_of([Track(4, rles(VISIBLE))], 10, 16, 32)}
    return {"a": toy_clip(number=5)}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("video", "no prediction for video 'a'"),
        ("length", "'a' has 9 frames, but its ground truth has 10: the prediction lacks the frames 9 to 9"),
        ("size", "video 'a' has 10 frames of 18 x 34 pixels, but its ground truth has 10 frames of 16 x 32"),
        ("track", "no amodal masks for track 4 of video 'a'"),
        ("amodal", "no amodal masks for track 4 of video 'a'"),
    ],
)
def test_what_is_missing_is_an_error_that_names_it_or_scores_zero(tmp_path: Path, kind: str, words: str) -> None:
    truth = written(tmp_path / "truth", {"a": TOY["perfect"], "b": TOY["perfect"]})
    pred = tmp_path / "pred"
    for key, clip in {**faulty(kind), "b": toy_clip()}.items():
        write_tracks(pred / f"{key}.tracks.json", clip)
    with pytest.raises(InputError, match=words) as error:
        evaluate(pred, truth)
    assert "\n" not in str(error.value) and "allow missing" in str(error.value)
    evaluation = evaluate(pred, truth, allow_missing=True)
    assert evaluation.videos["a"].full == 0 and evaluation.videos["a"].hidden == 0
    assert evaluation.primary.full == 0.5
    assert len(evaluation.missing) == 1 and "'a'" in evaluation.missing[0]


def test_a_track_that_is_not_scored_need_not_be_predicted(tmp_path: Path) -> None:
    nothing = np.zeros_like(WHOLE)
    unseen = Track(9, rles([nothing] * 10), rles([WHOLE] * 10))
    write_tracks(tmp_path / "truth.json", replace(toy_clip(), tracks=(*toy_clip().tracks, unseen)))
    write_tracks(tmp_path / "pred.json", toy_clip())
    assert evaluate(tmp_path / "pred.json", tmp_path / "truth.json").primary.full == 1


def test_evaluate_compares_several_predictions_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = written(tmp_path / "truth", {"a": TOY["perfect"], "b": TOY["perfect"]})
    first = written(tmp_path / "one" / "run", {"a": TOY["half"], "b": TOY["copy"]})
    second = written(tmp_path / "two" / "run", {"a": TOY["perfect"], "b": TOY["misses two"]})
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--truth", str(truth), "--out", str(out), "--quiet"]
    for paths in ([first], [first, second]):
        with pytest.raises(SystemExit) as left:
            main([*command, *(word for path in paths for word in ("--pred", str(path)))])
        assert left.value.code == 0
        record = json.loads(out.read_text())
        assert ("others" in record) == (len(paths) == 2)
        assert record["primary"]["occ"] == pytest.approx(0.25)
        assert {"strata", "time", "coco", "layered", "hides", "baselines", "videos"} <= record.keys()
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 120
    gap = record["others"]["two/run"]["difference"]["occ"]
    assert gap["mean"] == pytest.approx(0.8 - 0.25) and gap["interval"] == pytest.approx([0.5, 0.6])
    with pytest.raises(SystemExit) as left:
        main([*command, "--pred", str(first), "--pred", str(first)])
    assert left.value.code == 2 and "is repeated" in capsys.readouterr().err


def test_metrics_do_not_import_torch() -> None:
    code = "import sys, vidamodal.metrics.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Properties


@given(seeds)
@settings(max_examples=15)
def test_other_ids_change_nothing_not_even_among_equal_confidences(seed: int) -> None:
    prediction, truth = pair(random_objects(seed))
    rename = dict(enumerate(np.random.default_rng(seed).permutation(len(truth.tracks)).tolist()))

    def renamed(clip: ClipTracks) -> ClipTracks:
        tracks = [replace(track, id=rename[track.id]) for track in clip.tracks]
        return replace(clip, tracks=tuple(sorted(tracks, key=lambda track: track.id)))

    before = score_counts([count_video("a", prediction, truth)])
    after = score_counts([count_video("a", renamed(prediction), renamed(truth))])
    assert close(before.record()["protocols"], after.record()["protocols"])
    assert close(before.strata, after.strata) and close(before.primary, after.primary)
    assert close(before.time, after.time)


@given(seeds)
@settings(max_examples=10)
def test_the_same_video_twice_changes_no_mean_and_narrows_the_interval(seed: int) -> None:
    prediction, truth = pair(random_objects(seed))
    once = [count_video("a", prediction, truth)]
    twice = [*once, count_video("b", prediction, truth)]
    single, double = score_counts(once), score_counts(twice)
    assert close(single.record()["protocols"], double.record()["protocols"])
    for name, interval in double.interval.items():
        value = getattr(single.primary, name)
        assert interval is None if value is None else interval == pytest.approx((value, value))


@given(seeds)
@settings(max_examples=10)
def test_empty_predictions_score_nothing(seed: int) -> None:
    objects = random_objects(seed)
    video = count([([None] * len(a), a, v) for _, a, v in objects])
    result = score_counts([video])
    assert all(getattr(result.primary, name) in (0, None) for name in ("full", "occ", "hidden", "track_iou"))
    assert result.primary.false_completion in (0, None)
    for name in ("primary", "c2f-video", "eoras", "tabe", "cumulative-iou"):
        assert result.protocols[name].full in (0, None) and result.protocols[name].occ in (0, None)
    assert result.protocols["coco"].more["ap"] in (0, None)
    json.loads(result.to_json())
