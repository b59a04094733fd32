"""Clips under two paths, in every layout of our own format."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.metrics.helpers import (
    TOY,
    VISIBLE,
    clip_of,
    rles,
    toy_clip,
    write_shard,
)
from vidamodal.metrics.evaluate import evaluate
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, InputError, Track

HALF = toy_clip(TOY["half"])


def nested(path: Path, clips: dict[str, ClipTracks]) -> Path:
    for key, clip in clips.items():
        write_tracks(path / key / "tracks.json", clip)
        (path / key / "run.json").write_text("{}")
    (path / "notes.json").write_text("not a clip")
    return path


def flat(path: Path, clips: dict[str, ClipTracks]) -> Path:
    for key, clip in clips.items():
        write_tracks(path / f"{key}.tracks.json", clip)
        (path / f"{key}.mp4").write_bytes(b"")
    return path


def shards(path: Path, clips: dict[str, ClipTracks]) -> Path:
    for number, (key, clip) in enumerate(clips.items()):
        write_shard(path / f"test-{number:06d}.tar", {key: clip}, **{f"{key}.mp4": "", f"{key}.scene.json": "{}"})
    (path / "manifest.json").write_text("{}")
    return path


LAYOUTS = [nested, flat, shards, lambda path, clips: write_shard(path / "test-000000.tar", clips)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_numbers(tmp_path: Path, layout: Callable[..., Path]) -> None:
    truth = nested(tmp_path / "truth", {"b": toy_clip(), "a": toy_clip()})
    pred = layout(tmp_path / "pred", {"a": HALF, "b": toy_clip(), "c": HALF})
    evaluation = evaluate(pred, truth)
    assert list(evaluation.videos) == ["a", "b"]
    assert evaluation.primary.full == pytest.approx((0.875 + 1) / 2)
    assert evaluation.primary.occ == pytest.approx(0.75)
    assert evaluation.primary.videos == 2
    assert evaluation.missing == () and evaluation.ignored == ("video 'c'",)
    assert evaluate(pred, pred).primary.full == 1


def test_single_files_and_folders_of_predict_match_whatever_their_names(tmp_path: Path) -> None:
    write_tracks(tmp_path / "scene-7.tracks.json", toy_clip())
    write_tracks(tmp_path / "out" / "tracks.json", HALF)
    for pred in (tmp_path / "out", str(tmp_path / "out" / "tracks.json")):
        evaluation = evaluate(pred, tmp_path / "scene-7.tracks.json")
        assert evaluation.primary.occ == pytest.approx(0.5)
        assert list(evaluation.videos) == ["scene-7"]


def one_line_error(pred: Path, truth: Path) -> str:
    with pytest.raises(InputError) as error:
        evaluate(pred, truth)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_paths_that_hold_no_clips_are_refused(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    write_tracks(truth, toy_clip())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.tar").write_bytes(b"")
    assert "no such file" in one_line_error(tmp_path / "absent", truth)
    assert "in no known format" in one_line_error(tmp_path / "empty", truth)
    assert "empty.tar" in one_line_error(tmp_path / "empty.tar", truth)
    assert "no tracks.json" in one_line_error(write_shard(tmp_path / "none.tar", {}, **{"a.mp4": "x"}), truth)
    whole = saved_masks(tmp_path / "masks" / "clip", "maps", 10)
    for path in (whole, saved_masks(tmp_path / "things", "objects", 10), saved_masks(tmp_path / "array", "npz", 10)):
        message = one_line_error(truth, path)
        assert message.startswith(f"{path}: ") and "no visible masks, so no measure can be computed" in message
    unseen = Track(4, (None,) * 10, toy_clip().tracks[0].amodal)
    write_tracks(tmp_path / "unseen.json", clip_of([unseen], 10, 16, 32))
    assert "unseen.json: no visible masks" in one_line_error(truth, tmp_path / "unseen.json")
    visible = tmp_path / "visible.json"
    write_tracks(visible, clip_of([Track(4, rles(VISIBLE))], 10, 16, 32))
    assert "no track has amodal masks" in one_line_error(truth, visible)


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    truth = flat(nested(tmp_path / "truth", {"a": toy_clip()}), {"a": toy_clip()})
    assert "has the same key 'a'" in one_line_error(truth, truth)


@pytest.mark.parametrize("damage", ["cut", "at a boundary", "header", "compressed", "text"])
def test_damaged_shards_are_refused(tmp_path: Path, damage: str) -> None:
    path = write_shard(tmp_path / "test.tar", {"a": toy_clip(), "b": toy_clip()})
    with tarfile.open(path) as tar:
        first, second = tar.getmembers()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[second.offset_data + 20 :]
    if damage == "at a boundary":
        del content[second.offset :]
    if damage == "header":
        content[second.offset + 5] ^= 1
    if damage == "text":
        content[first.offset_data + 30] = 0xFF
    path.write_bytes(content)
    if damage == "compressed":
        with tarfile.open(path, "w:gz"):
            pass
    assert "test.tar" in one_line_error(path, path)


def test_a_member_with_an_evil_name_is_only_a_key(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "in" / "test.tar", {"../../evil": toy_clip()})
    assert list(evaluate(path, path).videos) == ["../../evil"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "test.tar"]


def test_a_prediction_that_is_too_long_is_refused(tmp_path: Path) -> None:
    longer = Track(4, (*rles(VISIBLE), None, None), (*(HALF.tracks[0].amodal or ()), None, None))
    write_tracks(tmp_path / "truth.json", toy_clip())
    write_tracks(tmp_path / "pred.json", clip_of([longer], 12, 16, 32))
    assert (
        "the prediction of video 'truth' has 12 frames, but its ground truth has 10: the ground truth lacks the frames "
        "10 to 11"
    ) in one_line_error(tmp_path / "pred.json", tmp_path / "truth.json")


def test_a_ground_truth_with_some_visible_masks_or_without_tracks_is_scored(tmp_path: Path) -> None:
    track = toy_clip().tracks[0]
    once = Track(5, (*track.visible[:1], *[None] * 9), track.amodal)
    write_tracks(tmp_path / "truth.json", clip_of([Track(4, (None,) * 10, track.amodal), once], 10, 16, 32))
    assert evaluate(tmp_path / "truth.json", tmp_path / "truth.json").primary.object_frames == 1
    write_tracks(tmp_path / "none.json", clip_of([], 10, 16, 32))
    assert evaluate(tmp_path / "none.json", tmp_path / "none.json").primary.object_frames == 0


def saved_masks(path: Path, form: str, frames: int) -> Path:
    """Write the first frames of the true masks, as other programs do."""
    amodal = toy_clip().tracks[0].amodal or ()
    masks = np.stack([mask.decode() for mask in amodal[:frames] if mask is not None])
    if form == "npz":
        np.savez(path.with_suffix(".npz"), masks=masks.astype(np.uint8) * 4)
        return path.with_suffix(".npz")
    folder = path / "004" if form == "objects" else path
    folder.mkdir(parents=True)
    for frame, mask in enumerate(masks):
        value = 255 if form == "objects" else 4
        Image.fromarray(mask.astype(np.uint8) * value).save(folder / f"{frame + (form == 'from 1'):05d}.png")
    return path


@pytest.mark.parametrize("form", ["maps", "objects", "npz"])
def test_predictions_that_end_early_count_for_the_frames_that_they_have(form: str, tmp_path: Path) -> None:
    write_tracks(tmp_path / "truth.json", toy_clip())
    pred = saved_masks(tmp_path / "pred", form, 5)
    assert "no masks for the frames 5 to 9 of video 'truth'" in one_line_error(pred, tmp_path / "truth.json")
    evaluation = evaluate(pred, tmp_path / "truth.json", allow_missing=True)
    assert 0 < (evaluation.primary.full or 0) < 1
    assert evaluation.missing == ("no masks for the frames 5 to 9 of video 'truth'",)


@pytest.mark.parametrize("form", ["maps", "objects", "npz", "from 1"])
def test_masks_of_other_programs_are_those_of_the_true_video(form: str, tmp_path: Path) -> None:
    write_tracks(tmp_path / "truth.json", toy_clip())
    evaluation = evaluate(saved_masks(tmp_path / "pred", form, 10), tmp_path / "truth.json")
    assert evaluation.primary.full == 1 and evaluation.missing == ()
