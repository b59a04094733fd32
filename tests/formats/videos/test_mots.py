"""MOTS text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.formats.video_data import BACK, FRONT, NOTHING, SCENE, H, Mask, T, W, refusal, rles, save
from vidamodal.convert import convert
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.media.images import write_image
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

VIDEO = VideoInfo("v.mp4", H, W, T, 12.0)


def row(frame: int, number: int, kind: int, mask: Mask) -> str:
    return f"{frame} {number} {kind} {H} {W} {Rle.encode(mask).counts}\n"


def clip_at(path: Path, video: VideoInfo | None = None, names: tuple[str, ...] | None = None) -> ClipTracks:
    context = None if video is None else VideoContext(video, names)
    (clip,) = find_dataset(path, video=context).clips.values()
    return clip.tracks()


def put(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(rows))
    return path


def test_rows_are_visible_masks_of_annotated_frames(tmp_path: Path) -> None:
    rows = row(0, 1005, 1, FRONT), row(0, 10000, 10, BACK), row(2, 2001, 2, BACK & ~FRONT), row(2, 3001, 3, FRONT)
    path = put(tmp_path / "instances_txt/0002.txt", *rows)
    for source in (path, path.parent, tmp_path):
        clip = clip_at(source)
        assert clip.video == VideoInfo("0002", H, W, 3, 10.0)
        assert clip.tracks == (
            Track(1005, rles(FRONT, None, NOTHING), label="car"),
            Track(2001, rles(None, None, BACK & ~FRONT), label="pedestrian"),
            Track(3001, rles(None, None, FRONT)),
        )
    assert clip.notes == (
        "0002.txt: the length of the video is not stated; the last annotated frame ends it",
        "0002.txt: 1 region to ignore left out",
    )


def test_the_video_gives_the_length(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", row(1, 1001, 1, FRONT))
    clip = clip_at(path, VIDEO)
    assert clip.tracks[0].visible == rles(None, FRONT, None) and clip.notes == ()


def test_sequences_of_motchallenge_count_from_1(tmp_path: Path) -> None:
    path = put(tmp_path / "MOTS20-02/gt/gt.txt", row(1, 2001, 2, FRONT), row(2, 2001, 2, BACK))
    (tmp_path / "MOTS20-02/seqinfo.ini").write_text("[Sequence]\nseqLength=3\nframeRate=30\n")
    clip = clip_at(tmp_path)
    assert clip.video == VideoInfo("MOTS20-02", H, W, 3, 30.0) and clip.notes == ()
    assert clip.tracks[0].visible == rles(FRONT, BACK, None) == clip_at(path, VIDEO).tracks[0].visible


@pytest.mark.parametrize(
    ("frames", "names", "expected", "said"),
    [
        ((1, 3), None, (0, 2), True),  # 0 does not fit
        ((1, 2), None, (1, 2), True),
        ((0, 2), None, (0, 2), False),
        ((1, 2), ("000001", "000002", "000003"), (0, 1), False),  # the pictures are numbered alike
        ((1, 2), ("a", "b", "c"), (1, 2), True),
    ],
)
def test_frames_are_counted_from_the_number_that_fits(
    tmp_path: Path, frames: tuple[int, int], names: tuple[str, ...] | None, expected: tuple[int, int], said: bool
) -> None:
    clip = clip_at(put(tmp_path / "a.txt", *(row(t, 1001, 1, FRONT) for t in frames)), VIDEO, names)
    assert tuple(t for t, mask in enumerate(clip.tracks[0].visible) if mask is not None) == expected
    assert any("from 1" in note for note in clip.notes) == said


def test_the_pictures_of_kitti_are_found(tmp_path: Path) -> None:
    put(tmp_path / "instances_txt/0002.txt", row(0, 1001, 1, FRONT))
    (tmp_path / "image_02/0002").mkdir(parents=True)
    for t in range(5):
        write_image(tmp_path / f"image_02/0002/{t:06d}.png", np.zeros((H, W, 3), np.uint8))
    (clip,) = find_dataset(tmp_path).clips.values()
    frames = clip.frames()
    assert clip.tracks().video.frames == 5 and frames is not None and len(list(frames)) == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((row(9, 1001, 1, FRONT),), "frame 9 lies outside the video (3 frames, counted from 0)"),
        ((row(0, 1001, 1, FRONT), row(0, 1001, 1, BACK)), "line 2: a second mask of object 1001"),
        ((row(0, 1001, 1, FRONT), "0 1002 1 6 5\n"), "line 2: 5 values"),
        (("0 1001 1 6 5 00\n",), "line 1: the counts sum to 0"),
        (("0 1001 1 6 5 n\x7f\n",), "line 1: the counts hold a character"),
        ((row(0, 1001, 1, FRONT), "0 1002 1 9 5 n1\n"), "line 2: a mask of 9 x 5 pixels"),
        (("0 1001 1 999999999 999999999 n1\n",), "line 1: a mask of 999999999 x 999999999"),
        (("0 99999999999 1 6 5 n0\n",), "line 1: the id 99999999999"),
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    assert message in refusal(lambda: clip_at(put(tmp_path / "a.txt", *rows), VIDEO))


def test_written_rows_name_the_class_and_count_its_objects(tmp_path: Path) -> None:
    tracks = tuple(
        Track(k, rles(mask, None, None), label=label)
        for k, (mask, label) in enumerate(((FRONT, "car"), (BACK & ~FRONT, None), (NOTHING, "car")))
    )
    convert(save(tmp_path / "source", ClipTracks(VIDEO, tracks)), tmp_path / "out", "mots")
    assert (tmp_path / "out/clip-0.txt").read_text() == row(0, 1001, 1, FRONT) + row(0, 3001, 3, BACK & ~FRONT)
    assert clip_at(tmp_path / "out/clip-0.txt") == ClipTracks(VIDEO, tracks)
    (tmp_path / "out/meta.json").unlink()  # as other programs read it
    assert [track.label for track in clip_at(tmp_path / "out").tracks] == ["car", None]


def test_ids_of_the_format_are_kept(tmp_path: Path) -> None:
    tracks = (Track(2007, rles(FRONT, None, None), label="pedestrian"), Track(1001, rles(BACK & ~FRONT, None, None)))
    convert(save(tmp_path / "source", ClipTracks(VIDEO, tracks[:1])), tmp_path / "out", "mots")
    assert (tmp_path / "out/clip-0.txt").read_text().startswith("0 2007 2 ")


def test_overlapping_masks_and_crowds_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "source", SCENE)
    message = refusal(lambda: convert(source, tmp_path / "out", "mots", kind="amodal"))
    assert message.startswith("clip clip-0: MOTS holds one object per pixel, but tracks 3 and 7 overlap in frame 0")
    many = tuple(Track(number, rles(NOTHING)) for number in range(1000))
    crowd = save(tmp_path / "crowd", ClipTracks(VideoInfo("a.jpg", H, W, 1, 1.0), many))
    assert "more than 999 objects of a class" in refusal(lambda: convert(crowd, tmp_path / "out", "mots"))
    assert not (tmp_path / "out").exists()


def test_objects_are_unknown_beside_a_region_to_ignore(tmp_path: Path) -> None:
    rows = row(0, 1001, 1, FRONT), row(1, 10000, 10, BACK), row(2, 2001, 2, BACK)
    assert clip_at(put(tmp_path / "a.txt", *rows)).tracks[0].visible == rles(FRONT, None, NOTHING)
