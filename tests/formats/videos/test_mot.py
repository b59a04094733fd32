"""MOTChallenge boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.formats.video_data import refusal
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.types import ClipTracks, VideoInfo

VIDEO = VideoInfo("v.mp4", 20, 30, 4, 25.0)
TRUTH = "1,3,2,1,5,8,1,1,0.9\n3,3,4,1,5,8,1,1,1\n2,7,-3,0,9,9,0,7,1\n2,5,11,1,5.5,8,1,2,0.2\n"


def put(path: Path, text: str, ini: str | None = None) -> Path:
    (path / "gt").mkdir(parents=True)
    (path / "gt/gt.txt").write_text(text)
    if ini is not None:
        (path / "seqinfo.ini").write_text(f"[Sequence]\n{ini}")
    return path


def clip_at(path: Path, video: VideoInfo | None = VIDEO) -> ClipTracks:
    (clip,) = find_dataset(path, video=None if video is None else VideoContext(video)).clips.values()
    return clip.tracks()


def test_ground_truth_gives_amodal_boxes_and_unknown_masks(tmp_path: Path) -> None:
    clip = clip_at(put(tmp_path / "s", TRUTH))
    assert [(track.id, track.label) for track in clip.tracks] == [(3, "pedestrian"), (5, "person on vehicle")]
    assert clip.tracks[0].boxes == ((1, 0, 6, 8), None, (3, 0, 8, 8), None)
    assert clip.tracks[0].visible == (None,) * 4 and clip.tracks[0].amodal is None
    assert clip.notes == (
        "gt.txt: boxes of 2 objects, read as amodal boxes; masks are unknown",
        "gt.txt: 1 row with flag 0 left out, which the benchmark ignores",
    )


@pytest.mark.parametrize("separator", [",", ", "])
def test_rows_of_results_have_no_class(tmp_path: Path, separator: str) -> None:
    (tmp_path / "a.txt").write_text("1,1,84.2,91.5,20.1,40.2,-1,-1,-1,-1\r\n".replace(",", separator))
    (track,) = clip_at(tmp_path / "a.txt").tracks
    assert track.label is None and track.boxes is not None
    assert track.boxes[0] == pytest.approx((83.2, 90.5, 103.3, 130.7))


def test_names_beside_the_file_replace_the_classes(tmp_path: Path) -> None:
    path = put(tmp_path / "s", TRUTH)
    (path / "gt/labels.txt").write_text("cat\ndog\n")
    assert [track.label for track in clip_at(path).tracks] == ["cat", "dog"]


def test_seqinfo_gives_size_length_and_rate(tmp_path: Path) -> None:
    path = put(tmp_path / "s", TRUTH, "name=x\nimDir=img1\nframeRate=14\nseqLength=9\nimWidth=30\nimHeight=20\n")
    assert clip_at(path, None).video == VideoInfo("s", 20, 30, 9, 14.0)


def test_pictures_give_size_and_length(tmp_path: Path) -> None:
    path = put(tmp_path / "s", TRUTH)
    (path / "img1").mkdir()
    for t in range(1, 6):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path / f"img1/{t:06d}.jpg")
    (clip,) = find_dataset(path).clips.values()
    assert clip.tracks().video == VideoInfo("s", 20, 30, 5, 30.0)
    frames = clip.frames()
    assert frames is not None and len(list(frames)) == 5


def test_a_folder_of_sequences(tmp_path: Path) -> None:
    for name in ("MOT17-02", "MOT17-04"):
        put(tmp_path / name, TRUTH, "seqLength=9\nimWidth=30\nimHeight=20\n")
    assert list(find_dataset(tmp_path).clips) == ["MOT17-02", "MOT17-04"]


def test_frames_from_0_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0,1,1,1,2,2,1\n3,1,1,1,2,2,1\n")
    clip = clip_at(tmp_path / "a.txt")
    assert clip.tracks[0].boxes == ((0, 0, 2, 2), None, None, (0, 0, 2, 2))
    assert "a.txt: frames are counted from 0" in clip.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,-1,4,4,8,1,3,1.0\n", "line 1: id -1 is not a track id"),
        ("9,1,4,4,8,1,3,1.0\n", "frame 9 lies outside the video (4 frames, counted from 1)"),
        ("1,1,4,4,8,1,3\n1,1,4,4,8,1,3\n", "line 2: a second box of object 1 in frame 1"),
        ("1,1,4,4,0,1,3\n", "a box of 0 x 1 pixels"),
        ("1,1,4,4,2,1,3\n1,x,4,4,2,1,3\n", 'line 2: the id must be a number, not "x"'),
        ("1,1,4,4,2,1,3\n1.5,2,4,4,2,1,3\n", "line 2: the frame must be an integer"),
        ("1,1,4,4,2,1,3\n1,2\n", "line 2: 2 values, but a row has 7 to 10"),
        ("1,1,4,4,2,1,3\n2,1,nan,4,2,1,3\n", "line 2: the box must be a number"),
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    line = refusal(lambda: clip_at(tmp_path / "a.txt"))
    assert line.startswith(f"{tmp_path / 'a.txt'}: ") and message in line


def test_an_unknown_size_is_asked_for(tmp_path: Path) -> None:
    assert "pass its video" in refusal(lambda: clip_at(put(tmp_path / "s", TRUTH), None))
    assert "invalid seqinfo.ini" in refusal(lambda: clip_at(put(tmp_path / "t", TRUTH, "seqLength=a")))


def test_a_huge_frame_number_takes_no_memory(tmp_path: Path) -> None:
    rows = "".join(f"{9_000_000 + k},{k},1,1,2,2,1\n" for k in range(1, 60))
    path = put(tmp_path / "s", rows, "imWidth=30\nimHeight=20\n")
    assert "more than can be read at once" in refusal(lambda: clip_at(path, None))
