"""Written formats read back as they were, or the conversion is refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.video_data import (
    BACK,
    BOTH,
    FRONT,
    NOTHING,
    ONE,
    SCENE,
    H,
    Mask,
    Masks,
    T,
    W,
    box,
    check_round_trip,
    clips,
    only,
    png,
    put,
    refusal,
    rles,
    run,
    save,
    youtube_vis,
)
from vidamodal.convert import convert, safe_keys
from vidamodal.formats import MaskKind, find_dataset, writable_formats
from vidamodal.formats.base import PLAIN_KEY
from vidamodal.media.video_writer import write_video
from vidamodal.types import ClipTracks, Hypothesis, InputError, Rle, Track, VideoInfo


@pytest.fixture(autouse=True, scope="module")
def without_syncs() -> Iterator[None]:
    """Skip syncs to the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "sync", lambda: None)
        yield


@pytest.mark.parametrize("kind", ["visible", "amodal"])
@pytest.mark.parametrize("form", ONE + BOTH)
@given(st.lists(clips(), min_size=1, max_size=2))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_written_clips_read_back_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, form: str, kind: MaskKind, found: list[ClipTracks]
) -> None:
    check_round_trip(tmp_path_factory.mktemp("convert"), form, kind, found)


def test_masks_of_unstated_kind_are_read_as_requested(tmp_path: Path) -> None:
    path = put(tmp_path / "instances.json", youtube_vis())
    clip = next(iter(find_dataset(path).clips.values()))
    assert not clip.kind_known
    convert(path, tmp_path / "out", "tracks", kind="amodal")
    (track,) = only(tmp_path / "out").tracks
    assert track == Track(9, (None,) * T, rles(None, BACK, NOTHING), label="car")


def test_a_video_gives_masks_their_length_and_rate(tmp_path: Path) -> None:
    png(tmp_path / "masks/00001.png", np.pad(FRONT, ((0, 0), (0, 1))))
    write_video(tmp_path / "film.mp4", np.zeros((T, 6, 6, 3), dtype=np.uint8), 10.0)
    convert(tmp_path / "masks", tmp_path / "out", "tracks", video=tmp_path / "film.mp4")
    clip = only(tmp_path / "out")
    assert clip.video == VideoInfo("film.mp4", 6, 6, T, 10.0) and clip.tracks[0].visible[2] is None


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "source", SCENE)
    out = tmp_path / "out"
    message = refusal(lambda: convert(source, out, "davis", kind="amodal"))
    assert message == (
        "clip clip-0: palette PNGs hold one object per pixel, but tracks 3 and 7 overlap in frame 0; "
        "choose the format sav or coco"
    )
    many = tuple(Track(number, rles(box(0, 0, 1, 1) if number == 1 else NOTHING)) for number in range(1, 256))
    crowd = save(tmp_path / "crowd", ClipTracks(VideoInfo("a.jpg", H, W, 1, 1.0), many))
    assert "255 objects, but palette PNGs hold at most 254" in refusal(lambda: convert(crowd, out, "davis"))
    assert "track 1 has no amodal masks" in refusal(lambda: convert(crowd, out, "sav", kind="amodal"))
    assert "TAO-Amodal annotates amodal boxes" in refusal(lambda: convert(crowd, out, "tao-amodal"))
    assert not out.exists()


def test_the_command_reports_what_it_wrote_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = save(tmp_path / "source", SCENE), tmp_path / "new/out.json"
    assert run("convert", source, "--to", "burst", "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 1 clip from vidamodal, written as burst\n"
    assert printed.err == "not written, because --what visible was chosen: amodal masks, confidences\n"
    assert run("convert", out, "--to", "sav", "--out", tmp_path / "sav") == 0
    assert capsys.readouterr().err == ""
    assert run("convert", source, "--to", "sav", "--what", "amodal", "--out", tmp_path / "amodal") == 0
    assert capsys.readouterr().err == "not written, because --what amodal was chosen: visible masks\n"
    assert run("convert", source, "--to", "coco", "--out", tmp_path / "coco.json") == 0
    assert capsys.readouterr().err == ""


def test_what_no_choice_would_keep_is_reported_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = rles(FRONT, FRONT, FRONT)
    guessed = Track(3, masks, masks, hypotheses=(Hypothesis(0.5, masks),))
    source = save(tmp_path / "source", replace(SCENE, tracks=(guessed,), order=None))
    assert run("convert", source, "--to", "sav", "--out", tmp_path / "sav") == 0
    assert capsys.readouterr().err.splitlines() == [
        "not written, because --what visible was chosen: amodal masks",
        "dropped, because sav cannot hold them: hypotheses",
    ]
    assert run("convert", source, "--to", "coco", "--out", tmp_path / "coco.json") == 0
    assert capsys.readouterr().err == "dropped, because coco cannot hold them: hypotheses\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "davis", "--what", "amodal"], "overlap in frame 0"),
        (["--to", "xml"], "unknown format 'xml'; choose one of burst, coco"),
        (["--to", "coco", "--from", "xml"], "unknown format 'xml'"),
        (["--to", "coco", "--from", "burst"], "not in the format burst"),
        (["--to", "coco", "--what", "both"], "invalid choice"),
        (["--to", "movid-a"], "it has no images"),
        (["--to", "coco", "--video", "missing.mp4"], "missing.mp4"),
        ([], "--to"),
    ],
)
def test_invalid_arguments_exit_with_status_2_and_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "source", SCENE)
    assert run("convert", source, "--out", tmp_path / "out", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and message in printed.err, printed.err
    assert os.listdir(tmp_path) == ["source"]


def test_an_existing_path_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "source", SCENE)
    before = (source / "clip-0.tracks.json").read_bytes()
    assert run("convert", source, "--to", "tracks", "--out", source) == 2
    assert "already exists" in capsys.readouterr().err
    assert (source / "clip-0.tracks.json").read_bytes() == before and len(os.listdir(source)) == 1
    assert run("convert", tmp_path / "none", "--to", "coco", "--out", tmp_path / "out") == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_an_unknown_format_lists_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=", ".join(sorted(writable_formats()))):
        convert(tmp_path, tmp_path / "out", "nosuch")


@pytest.mark.parametrize("out", ["file/below", "file/further/below"])
def test_a_target_below_a_file_is_refused(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(InputError, match="file is a file, not a folder"):
        convert(tmp_path, tmp_path / out, "tracks")


def test_evaluate_reads_other_formats_and_matches_their_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = 32
    whole, front = np.zeros((size, size), bool), np.zeros((size, size), bool)
    whole[4:28, 4:20], front[4:28, 14:30] = True, True

    def of(*stack: Mask) -> Masks:
        return tuple(map(Rle.encode, stack))

    video = VideoInfo("film.mp4", size, size, 2, 12.0)
    tracks = (
        Track(3, of(front, front), of(front, front)),
        Track(7, of(whole & ~front, whole), of(whole, whole)),
    )
    truth = save(tmp_path / "truth", ClipTracks(video, tracks))
    renamed = tuple(replace(track, id=track.id + 20) for track in tracks)
    source = save(tmp_path / "source", ClipTracks(video, (*renamed, Track(5, of(~whole, ~whole), of(~whole, ~whole)))))
    convert(source, tmp_path / "pred.json", "coco")
    capsys.readouterr()
    assert run("evaluate", "--pred", tmp_path / "pred.json", "--truth", truth) == 2
    assert "no amodal masks for track 3" in capsys.readouterr().err
    metrics = tmp_path / "metrics.json"
    arguments = ("--pred", tmp_path / "pred.json", "--truth", truth, "--match", "visible", "--out", metrics)
    assert run("evaluate", *arguments) == 0
    assert "matched by visible masks: 2 of 3 predicted tracks" in capsys.readouterr().out
    document = json.loads(metrics.read_text())
    assert document["primary"]["full"] == 1 and document["matched"] == [2, 3]
    convert(source, tmp_path / "masks", "sav", kind="amodal")
    assert run("evaluate", "--pred", tmp_path / "masks", "--truth", truth, "--match", "visible") == 2
    assert "no visible masks to match tracks by" in capsys.readouterr().err
    convert(truth, tmp_path / "same", "sav", kind="amodal")
    assert run("evaluate", "--pred", tmp_path / "same", "--truth", truth) == 0


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["clip-0", "b_1.x"], ["clip-0", "b_1.x"]),
        (["-3Ab_x0", "_4Cd-y1"], ["3Ab_x0", "4Cd-y1"]),
        (["my clip (1)", "my clip [1]"], ["my_clip_1", "my_clip_1-2"]),
        (["\u8eca", "\u9b5a", "caf\u00e9"], ["clip", "clip-2", "cafe"]),
        (["../../evil", "a/b", ".hidden", "a" * 300], ["evil", "a_b", "hidden", "a" * 190]),
        (["A b", "a_b"], ["A_b-2", "a_b"]),
    ],
)
def test_keys_become_plain_names(keys: list[str], names: list[str]) -> None:
    assert safe_keys(keys) == dict(zip(keys, names, strict=True))


@pytest.mark.parametrize("name", ["nul.txt", "CON", "com1", "LPT9.a.b"])
def test_names_that_windows_reserves_are_changed(name: str) -> None:
    assert safe_keys([name, "console"]) == {"console": "console", name: f"clip_{name}"}


@given(st.lists(st.text(max_size=8), unique=True, max_size=6))
def test_plain_names_are_different_and_safe(keys: list[str]) -> None:
    found = safe_keys(keys)
    assert found.keys() == set(keys) and len(set(found.values())) == len(keys)
    assert all(PLAIN_KEY.fullmatch(name) for name in found.values())


@pytest.mark.parametrize("name", ["my clip (1)", "\u8eca", "-dash", "_x"])
def test_videos_of_any_name_are_converted(name: str, tmp_path: Path) -> None:
    png(tmp_path / "set/Annotations" / name / "00000.png", FRONT)
    conversion = convert(tmp_path / "set", tmp_path / "out", "tracks")
    (file,) = (tmp_path / "out").iterdir()
    assert conversion.notes == (f"set: clips are renamed to plain names: {name!r} is {file.name.split('.')[0]}",)
