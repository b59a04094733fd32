"""Every error in a tracks.json is reported with its place in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from tests.formats.tracks_data import BITS, clip_of
from vidamodal.rle import run_lengths
from vidamodal.tracks import dumps_tracks, is_tracks, loads_tracks, read_tracks, write_tracks
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo


def test_files_are_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "named as you like"
    write_tracks(path, clip_of())
    assert is_tracks(path) and read_tracks(path) == clip_of()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    for name, content in {"other.json": b'{"format": "coco"}', "empty": b"", "zip": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_tracks(tmp_path / name)
    assert not is_tracks(tmp_path) and not is_tracks(tmp_path / "missing")


def test_unknown_optional_keys_are_ignored_and_absent_ones_have_defaults() -> None:
    document = json.loads(dumps_tracks(clip_of(n=1)))
    bare = {"id": 0, "visible": document["tracks"][0]["visible"]}
    document["video"]["codec"] = "h264"
    slim = {key: document[key] for key in ("format", "version", "video")} | {"tracks": [bare | {"colour": []}]}
    clip = loads_tracks(json.dumps(slim), "f")
    assert not clip.exhaustive and clip.order is None and not clip.provenance
    assert clip.tracks[0].amodal is None and clip.tracks[0].label is None


def slow_sum(counts: str) -> int | None:
    """Sum of the runs read digit by digit, None for damage: a second opinion on ``run_lengths``."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift or any(run < 0 for run in runs) else sum(runs)


@given(BITS, st.data())
@settings(max_examples=150)
def test_damaged_counts_never_reach_pycocotools(mask: np.ndarray, data: st.DataObject) -> None:
    counts = Rle.encode(mask).counts
    place = data.draw(st.integers(0, len(counts) - 1))
    kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
    character = data.draw(st.characters(min_codepoint=1, max_codepoint=300))
    damaged = counts[:place] + ("" if kind == "cut" else character + counts[place + (kind == "change") :])
    assume(damaged != counts)
    document = document_of(mask.shape)
    document["tracks"][0]["visible"][0] = {"size": list(mask.shape), "counts": damaged}
    if slow_sum(damaged) == mask.size and damaged.isascii():
        read = loads_tracks(json.dumps(document), "f").tracks[0].visible[0]
        assert read is not None and read.decode().shape == mask.shape  # it fills the mask, so it is safe to decode
    else:
        with pytest.raises(InputError, match=r"^f: track 0: visible, frame 0: "):
            loads_tracks(json.dumps(document), "f")


def document_of(shape: tuple[int, ...]) -> dict[str, Any]:
    video = VideoInfo("v.mp4", shape[0], shape[1], 1, 1.0)
    return json.loads(dumps_tracks(ClipTracks(video, (Track(0, (None,)),))))


def test_empty_runs_are_normalised() -> None:
    counts = coco.frPyObjects({"size": [4, 5], "counts": [3, 0, 2, 4, 11, 0]}, 4, 5)["counts"].decode()
    document = document_of((4, 5))
    document["tracks"][0]["visible"][0] = {"size": [4, 5], "counts": counts}
    rle = loads_tracks(json.dumps(document), "f").tracks[0].visible[0]
    assert rle is not None and rle.area() == 4 and run_lengths(rle.counts).tolist() == [5, 4, 11]


FULL = {"size": [9, 7], "counts": Rle.encode(np.ones((9, 7), dtype=bool)).counts}


def first(document: dict[str, Any]) -> dict[str, Any]:
    return document["tracks"][0]


ERRORS: dict[str, tuple[Any, str]] = {
    "another format": (lambda d: d.update(format="coco"), "not a tracks.json"),
    "another version": (lambda d: d.update(version=2), "version 2"),
    "a true version": (lambda d: d.update(version=True), "version true"),
    "no video": (lambda d: d.pop("video"), "video is missing"),
    "no tracks": (lambda d: d.pop("tracks"), "tracks is missing"),
    "no rate": (lambda d: d["video"].pop("fps"), "video.fps is missing"),
    "a rate of 0": (lambda d: d["video"].update(fps=0), "video.fps"),
    "an endless rate": (lambda d: d["video"].update(fps=10**400), "video.fps"),
    "height as text": (lambda d: d["video"].update(height="9"), "video.height must be an integer"),
    "height as truth": (lambda d: d["video"].update(height=True), "video.height must be an integer"),
    "no height": (lambda d: d["video"].update(height=0), "0 x 7 pixels"),
    "an absurd size": (lambda d: d["video"].update(height=10**6, width=10**6), "at most"),
    "absurdly many frames": (lambda d: d["video"].update(frames=10**12), "at most"),
    "another length": (lambda d: d["video"].update(frames=4), r"visible has 3 entries for 4 frames"),
    "an absolute path": (lambda d: d["video"].update(path="/home/me/v.mp4"), "absolute path"),
    "a Windows path": (lambda d: d["video"].update(path="C:\\v.mp4"), "absolute path"),
    "exhaustive as text": (lambda d: d.update(exhaustive="yes"), "exhaustive must be true or false"),
    "a track as text": (lambda d: d["tracks"].append("x"), r"tracks\[2\] must be an object"),
    "no id": (lambda d: first(d).pop("id"), r"tracks\[0\].id is missing"),
    "an id as text": (lambda d: first(d).update(id="1"), r"tracks\[0\].id must be an integer"),
    "an id as float": (lambda d: first(d).update(id=1.0), r"tracks\[0\].id must be an integer"),
    "a negative id": (lambda d: first(d).update(id=-1), "track -1"),
    "a huge id": (lambda d: first(d).update(id=10**30), "ids are integers"),
    "a double id": (lambda d: first(d).update(id=5), "track 5 is listed twice"),
    "no visible": (lambda d: first(d).pop("visible"), "track 0: visible is missing"),
    "a short visible": (lambda d: first(d)["visible"].pop(), "track 0: visible has 2 entries for 3 frames"),
    "a long amodal": (lambda d: first(d)["amodal"].append(None), "track 0: amodal has 4 entries"),
    "a mask as list": (lambda d: first(d)["visible"].__setitem__(1, [1, 2]), "visible, frame 1 must be null or"),
    "uncompressed counts": (
        lambda d: first(d)["visible"].__setitem__(1, {"size": [9, 7], "counts": [63]}),
        "visible, frame 1 must be null or",
    ),
    "a mask of another size": (
        lambda d: first(d)["amodal"][2].update(size=[7, 9]),
        r"track 0: amodal, frame 2: size \[7, 9\], but the video is \[9, 7\]",
    ),
    "no counts": (lambda d: first(d)["visible"][1].update(counts=""), "frame 1: the counts sum to 0, not to 9 x 7"),
    "cut counts": (lambda d: first(d)["visible"][1].update(counts="o"), "frame 1: the counts are cut off"),
    "a long number": (lambda d: first(d)["visible"][1].update(counts="ooooooo0"), "a number too large"),
    "a negative run": (lambda d: first(d)["visible"][1].update(counts="O"), "a negative run"),
    "foreign counts": (lambda d: first(d)["visible"][1].update(counts="é"), "not ASCII"),
    "visible outside amodal": (
        lambda d: first(d)["visible"].__setitem__(1, FULL),
        "track 0: amodal, frame 1: visible pixels lie outside",
    ),
    "a confidence above 1": (lambda d: first(d)["confidence"].__setitem__(1, 1.5), "confidence, frame 1 is 1.5"),
    "a confidence as text": (lambda d: first(d)["confidence"].__setitem__(1, "1"), "confidence, frame 1 must be a num"),
    "a confidence of nothing": (lambda d: first(d)["confidence"].__setitem__(0, 0.5), "confidence, frame 0: it must"),
    "no confidence": (lambda d: first(d)["confidence"].__setitem__(1, None), "confidence, frame 1: it must be null"),
    "confidence alone": (lambda d: (first(d).pop("amodal"), first(d).pop("hypotheses")), "without amodal"),
    "a wild score": (lambda d: first(d)["hypotheses"][1].update(score=2), r"hypotheses\[1\].score is 2"),
    "a hypothesis as number": (lambda d: first(d)["hypotheses"].append(1), r"hypotheses\[2\] must be an object"),
    "a hypothesis without masks": (lambda d: first(d)["hypotheses"][0].pop("amodal"), "amodal is missing"),
    "a label as number": (lambda d: first(d).update(label=3), "label must be a string"),
    "a short order": (lambda d: d["order"].pop(), "order has 2 entries for 3 frames"),
    "order as text": (lambda d: d["order"].__setitem__(0, "x"), "order, frame 0 must be a list"),
    "a triple": (lambda d: d["order"].__setitem__(0, [[0, 5, 0]]), "order, frame 0: a pair is"),
    "an unknown id": (lambda d: d["order"].__setitem__(0, [[0, 7]]), r"\[0, 7\] does not name two tracks"),
    "an id before itself": (lambda d: d["order"].__setitem__(0, [[5, 5]]), "does not name two tracks"),
    "a box of three": (lambda d: first(d).update(boxes=[None, [0, 0, 1], None]), "boxes, frame 1 must be .x0, y0"),
    "an empty box": (lambda d: first(d).update(boxes=[None, [2, 0, 2, 4], None]), r"boxes, frame 1 is \[2.0, 0.0"),
    "too few boxes": (lambda d: first(d).update(boxes=[None]), "boxes has 1 entries for 3 frames"),
    "a presence above 1": (lambda d: first(d).update(present=[1.0, 2.0, None]), "present, frame 1 is 2.0"),
    "a presence as text": (lambda d: first(d).update(present=["1", None, None]), "present, frame 0 must be a number"),
    "an unknown occlusion": (lambda d: first(d).update(occlusion=[0, 4, None]), "occlusion, frame 1 is 4"),
    "truncation as number": (lambda d: first(d).update(truncated=[1, None, None]), "truncated, frame 0 must be true"),
    "a canvas of three": (lambda d: d["video"].update(canvas=[1, 2, 3]), "video.canvas is"),
    "a negative canvas": (lambda d: d["video"].update(canvas=[0, 0, 0, -1]), "margins are 0 or more"),
    "full masks without a canvas": (lambda d: first(d).update(amodal_full=first(d)["amodal"]), "needs video.canvas"),
    "full masks of the image's size": (
        lambda d: (d["video"].update(canvas=[1, 0, 0, 0]), first(d).update(amodal_full=first(d)["amodal"])),
        r"amodal_full, frame 1: size \[9, 7\]",
    ),
    "other full masks": (
        lambda d: (d["video"].update(canvas=[0] * 4), first(d).update(amodal_full=[None, FULL, FULL])),
        "amodal_full, frame 1: cut to the image, it differs from amodal",
    ),
    "order both ways": (lambda d: d["order"].__setitem__(2, [[0, 5], [5, 0]]), "order, frame 2: .* both ways"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_reported_with_their_place(name: str) -> None:
    damage, message = ERRORS[name]
    document = json.loads(dumps_tracks(clip_of()))
    loads_tracks(json.dumps(document), "a.json")
    damage(document)
    with pytest.raises(InputError, match=message) as error:
        loads_tracks(json.dumps(document), "a.json")
    assert str(error.value).startswith("a.json: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "text", "[1]", "3", '{"format": NaN}', "[" * 100_000, '{"a":' + "9" * 5000 + "}"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^f: (not JSON|not a tracks\.json)") as error:
        loads_tracks(text, "f")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder; pass the path of a tracks"):
        read_tracks(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_tracks(tmp_path / "missing.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="not UTF-8"):
        read_tracks(tmp_path / "binary")
