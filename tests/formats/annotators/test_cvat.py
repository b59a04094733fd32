"""CVAT for video and CVAT for images."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.formats.video_data import BACK, FRONT, NOTHING, SCENE, H, Mask, T, W, box, refusal, rles, save
from vidamodal.convert import convert
from vidamodal.formats import Fit, VideoContext, all_formats, find_dataset, read_masks
from vidamodal.media.images import write_image
from vidamodal.types import ClipTracks, Track, VideoInfo

VIDEO = VideoInfo("v.mp4", H, W, T, 12.0)
TASK = f"<task><name>a task</name><size>{T}</size><stop_frame>{T - 1}</stop_frame>{{}}</task>"
SIZE = f"<original_size><width>{W}</width><height>{H}</height></original_size>"
BACK_POINTS = "2.00,2.00;5.00,2.00;5.00,6.00;2.00,6.00"
BACK_RUNS = 'rle="0, 12" left="2" top="2" width="3" height="4"'
FRONT_RUNS = 'rle="0, 6" left="1" top="1" width="2" height="3"'


def document(path: Path, *elements: str, meta: str = TASK.format(SIZE)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    path.write_text(f"{head}<meta>{meta}</meta>{''.join(elements)}</annotations>")
    return path


def track(number: int, *shapes: str, label: str = "mug", more: str = "") -> str:
    return f'<track id="{number}" label="{label}" source="manual" {more}>{"".join(shapes)}</track>'


def shape(frame: int, kind: str = "polygon", text: str = f'points="{BACK_POINTS}"', outside: int = 0) -> str:
    return f'<{kind} frame="{frame}" keyframe="1" outside="{outside}" occluded="0" {text} z_order="0"></{kind}>'


def image(number: int, *shapes: str, name: str | None = None) -> str:
    return f'<image id="{number}" name="{name or f"{number}.png"}" width="{W}" height="{H}">{"".join(shapes)}</image>'


def polygon(points: str = BACK_POINTS, label: str = "mug", more: str = "", inner: str = "") -> str:
    return f'<polygon label="{label}" occluded="0" points="{points}" z_order="0" {more}>{inner}</polygon>'


def attribute(name: str, value: str) -> str:
    return f'<attribute name="{name}">{value}</attribute>'


def clip_at(path: Path, video: VideoInfo | None = None, names: tuple[str, ...] | None = None) -> ClipTracks:
    context = None if video is None else VideoContext(video, names)
    (clip,) = find_dataset(path, video=context).clips.values()
    return clip.tracks()


# For video


def test_outside_is_empty_and_an_unlisted_frame_is_unknown(tmp_path: Path) -> None:
    path = document(
        tmp_path / "a.xml",
        track(0, shape(0), shape(1, outside=1)),  # a shape of one frame, not a track
        track(1, shape(0, "mask", FRONT_RUNS), shape(1, "mask", BACK_RUNS), shape(2, outside=1)),
        track(4, shape(1), shape(2), label=""),
        track(5, shape(0), shape(2)),
        track(7, shape(0), shape(1), shape(2, outside=1), label="box"),
    )
    clip = clip_at(path)
    assert clip.video == VideoInfo("a", H, W, T, 24.0)
    assert clip.tracks == (
        Track(0, rles(BACK, None, None), label="mug"),
        Track(1, rles(FRONT, BACK, NOTHING), label="mug"),
        Track(4, rles(None, BACK, BACK)),
        Track(5, rles(BACK, None, BACK), label="mug"),
        Track(7, rles(BACK, BACK, NOTHING), label="box"),
    )
    assert not find_dataset(path).clips["a"].kind_known


def test_outside_holds_until_the_next_shape(tmp_path: Path) -> None:
    meta = TASK.format(SIZE).replace(f">{T - 1}<", ">5<")
    path = document(tmp_path / "a.xml", track(1, shape(0), shape(1, outside=1), shape(3), shape(4)), meta=meta)
    assert clip_at(path).tracks[0].visible == rles(BACK, NOTHING, NOTHING, BACK, BACK, None)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("mask", 'rle="1, 2, 1" left="1" top="1" width="2" height="2"', box(1, 2, 2, 3) | box(2, 1, 3, 2)),
        ("mask", 'rle="0,6" left="1" top="1" width="2" height="3"', FRONT),
        ("ellipse", 'cx="2.5" cy="3" rx="2.5" ry="3"', None),
        ("polygon", 'points="1,1;3,1;3,4;1,4"', FRONT),
    ],
)
def test_masks_of_all_kinds(tmp_path: Path, kind: str, text: str, expected: Mask | None) -> None:
    path = document(tmp_path / "a.xml", track(1, shape(0, kind, text), shape(1, kind, text)))
    mask = clip_at(path).tracks[0].visible[0]
    assert mask is not None
    if expected is None:
        ys, xs = np.mgrid[:H, :W] + 0.5
        inside = ((xs - 2.5) / 2.5) ** 2 + ((ys - 3) / 3) ** 2
        assert mask.decode()[inside < 0.8].all() and not mask.decode()[inside > 1.2].any()
    else:
        assert np.array_equal(mask.decode(), expected)


def test_a_turned_ellipse(tmp_path: Path) -> None:
    text = 'cx="10" cy="10" rx="9" ry="3" rotation="90"'
    path = document(tmp_path / "a.xml", track(1, shape(0, "ellipse", text), shape(1, "ellipse", text)))
    mask = clip_at(path, VideoInfo("v", 20, 20, 3, 1.0)).tracks[0].visible[0]
    assert mask is not None and mask.box() == (1, 7, 19, 13)


def test_boxes_have_no_mask_and_other_shapes_no_object(tmp_path: Path) -> None:
    corners = 'xtl="1.00" ytl="1.00" xbr="3.00" ybr="4.00"'
    path = document(
        tmp_path / "a.xml",
        track(0, shape(0, "box", corners), shape(1), shape(2, outside=1)),
        track(1, shape(0, "points", 'points="1,2"'), shape(1, "points", 'points="1,2"')),
        track(2, shape(0, "polyline", 'points="1,2;3,4"')),
    )
    clip = clip_at(path)
    assert clip.tracks == (Track(0, rles(None, BACK, NOTHING), label="mug"),)
    assert clip.notes == (
        "a.xml: 1 mask",
        "a.xml: 1 shape without a mask (box); the masks are unknown",
        "a.xml: left out: 1 polyline, 2 points",
    )


def test_shapes_with_a_group_are_one_object(tmp_path: Path) -> None:
    group = 'group_id="3"'
    path = document(
        tmp_path / "a.xml",
        track(0, shape(0, "mask", FRONT_RUNS), shape(1, outside=1), more=group),
        track(1, shape(1, "mask", BACK_RUNS), more=group),
        track(2, shape(1, "mask", FRONT_RUNS), label="box", more=group),
        track(3, shape(2, "mask", FRONT_RUNS), label="box", more=group),
        track(4, shape(1, "mask", FRONT_RUNS), label="cup"),
    )
    assert [(found.id, found.label, found.visible) for found in clip_at(path).tracks] == [
        (0, "mug", rles(FRONT, BACK, NOTHING)),
        (2, "box", rles(None, FRONT, FRONT)),
        (4, "cup", rles(None, FRONT, None)),
    ]


def test_frames_are_those_of_the_whole_video(tmp_path: Path) -> None:
    meta = (
        f"<task><start_frame>1</start_frame><stop_frame>7</stop_frame><frame_filter>step=3</frame_filter>{SIZE}</task>"
    )
    path = document(tmp_path / "a.xml", track(0, shape(1), shape(4, outside=1), shape(7, outside=1)), meta=meta)
    clip = clip_at(path)
    known = {t: mask.area() for t, mask in enumerate(clip.tracks[0].visible) if mask is not None}
    assert clip.video.frames == 8 and known == {1: 12, 4: 0, 7: 0}
    assert "a.xml: the task holds frames 1 to 7 of its video, in steps of 3" in clip.notes
    long = replace(VIDEO, frames=20)
    assert clip_at(path, long).tracks[0].visible[8:] == (None,) * 12
    assert "frame 4 lies outside the video (3 frames, counted from 0)" in refusal(lambda: clip_at(path, VIDEO))
    exported = ("frame_000001", "frame_000004", "frame_000007")  # the pictures in CVAT's export
    assert clip_at(path, VIDEO, exported).tracks[0].visible == rles(BACK, NOTHING, NOTHING)


def test_an_unpacked_export_wins_over_its_pictures(tmp_path: Path) -> None:
    document(tmp_path / "annotations.xml", track(1, shape(0), shape(1), shape(2)))
    (tmp_path / "images").mkdir()
    for t in range(T):
        write_image(tmp_path / f"images/frame_{t:06d}.png", np.zeros((H, W, 3), np.uint8))
    assert all_formats()["cvat"].recognise(tmp_path) == Fit.EXACT
    assert read_masks(tmp_path, VideoContext(VIDEO)).tracks[0].visible == rles(BACK, BACK, BACK)
    frames = next(iter(find_dataset(tmp_path).clips.values())).frames()
    assert frames is not None and len(list(frames)) == T


def test_tasks_of_a_project_are_clips(tmp_path: Path) -> None:
    tasks = "".join(f"<task><id>{k}</id><name>{name}</name>{SIZE}</task>" for k, name in ((3, "one"), (5, "a b")))
    path = document(
        tmp_path / "a.xml",
        track(0, shape(0), shape(1), more='task_id="3"'),
        track(1, shape(0), shape(1), more='task_id="5"'),
        meta=f"<project><name>p</name><tasks>{tasks}</tasks></project>",
    )
    clips = find_dataset(path).clips
    assert {key: [found.id for found in clip.tracks().tracks] for key, clip in clips.items()} == {
        "one": [0],
        "task-5": [1],
    }


def test_images_of_a_project_are_told_apart_by_task_and_subset(tmp_path: Path) -> None:
    tasks = "".join(f"<task><id>{k}</id><name>{name}</name></task>" for k, name in ((3, "one"), (5, "two")))
    images = [
        image(0, polygon()).replace("<image", f'<image task_id="{k}" subset="{s}"') for k, s in ((3, "A"), (5, "B"))
    ]
    path = document(tmp_path / "a.xml", *images, meta=f"<project><tasks>{tasks}</tasks></project>")
    (tmp_path / "images/B").mkdir(parents=True)
    write_image(tmp_path / "images/B/0.png", np.zeros((H, W, 3), np.uint8))
    clips = find_dataset(path).clips
    assert list(clips) == ["one-A-0", "two-B-0"]
    assert clips["one-A-0"].frames() is None and clips["two-B-0"].frames() is not None


@pytest.mark.parametrize(("source", "key"), [("dir/film.mp4", "film"), ("C:\\film.avi", "film"), ("a b.mp4", "x")])
def test_the_key_is_the_name_of_the_video(tmp_path: Path, source: str, key: str) -> None:
    meta = f"{TASK.format(SIZE)}<source>{source}</source>"
    assert list(find_dataset(document(tmp_path / "x.xml", meta=meta)).clips) == [key]


# For images


def test_images_without_links_are_clips(tmp_path: Path) -> None:
    corners = '<box label="a" xtl="1" ytl="1" xbr="2" ybr="2" z_order="0"/><tag label="b"/>'
    path = document(tmp_path / "a.xml", image(0, polygon(), corners), image(4, name="b/4.jpg"), meta="")
    (tmp_path / "images/b").mkdir(parents=True)
    write_image(tmp_path / "images/b/4.png", np.zeros((H, W, 3), np.uint8))
    (tmp_path / "images/b/4.png").rename(tmp_path / "images/b/4.jpg")
    clips = find_dataset(path).clips
    assert list(clips) == ["0", "4"]
    first = clips["0"].tracks()
    assert [(found.id, found.label, found.visible) for found in first.tracks] == [
        (1, "mug", rles(BACK)),
        (2, "a", (None,)),
    ]
    assert first.notes == ("a.xml: 1 mask", "a.xml: 1 shape without a mask (box); the masks are unknown")
    assert clips["4"].tracks().tracks == () and clips["0"].frames() is None
    frames = clips["4"].frames()
    assert frames is not None and len(list(frames)) == 1
    assert "are not linked; give them a group" in refusal(lambda: clip_at(path, replace(VIDEO, frames=5)))


@pytest.mark.parametrize("link", ["group_id", "track_id", "object_id", "instance_id"])
def test_linked_images_are_one_clip(tmp_path: Path, link: str) -> None:
    def linked(value: int, points: str = BACK_POINTS) -> str:
        if link == "group_id":
            return polygon(points, more=f'group_id="{value}"')
        return polygon(points, inner=attribute(link, str(value)))

    boxed = linked(3).replace("polygon", "box")
    path = document(
        tmp_path / "a.xml",
        image(0, boxed, linked(1, "0,0;1,0;1,1;0,1"), linked(1, "3,3;4,3;4,4;3,4"), linked(2)),
        image(1),
        image(2, linked(2, "1,1;3,1;3,4;1,4"), boxed),
    )
    clip = clip_at(path)
    parts = box(0, 0, 1, 1) | box(3, 3, 4, 4)
    unknown, *known = [found.visible for found in clip.tracks]
    assert known == [rles(parts, None, NOTHING), rles(BACK, None, FRONT)] and unknown == (None,) * 3
    assert f"a.xml: images are the frames of one video; objects are linked by {link}" in clip.notes


@pytest.mark.parametrize(
    ("numbers", "stop", "frames"),
    [((0, 1, 2), 2, 3), ((2, 0, 1), None, 3), ((10, 11, 12), 12, None), ((0, 2, 4), 4, None), ((0, 1, 2), 5, None)],
)
def test_images_of_a_clip_are_its_frames_if_every_frame_has_one(
    tmp_path: Path, numbers: tuple[int, ...], stop: int | None, frames: int | None
) -> None:
    linked = polygon(inner=attribute("track_id", "7"))
    meta = "" if stop is None else f"<task><stop_frame>{stop}</stop_frame></task>"
    path = document(tmp_path / "a.xml", *(image(number, linked) for number in numbers), meta=meta)
    (tmp_path / "images").mkdir()
    for number in numbers:
        write_image(tmp_path / f"images/{number}.png", np.full((H, W, 3), number, np.uint8))
    (clip,) = find_dataset(path).clips.values()
    pictures = clip.frames()
    shown = None if pictures is None else [int(picture[0, 0, 0]) for picture in pictures]
    assert shown == (None if frames is None else list(range(frames)))


def test_images_are_paired_by_name(tmp_path: Path) -> None:
    shapes = [polygon(inner=attribute("track_id", "7"))]
    path = document(tmp_path / "a.xml", image(0, *shapes, name="x/b.png"), image(1, *shapes, name="c.png"))
    assert clip_at(path, VIDEO, ("a", "b", "c")).tracks[0].visible == rles(None, BACK, BACK)
    assert clip_at(path, VIDEO, ("d", "e", "f")).tracks[0].visible == rles(BACK, BACK, None)


@pytest.mark.parametrize("inner", ["", attribute("track_id", "")])
def test_a_shape_without_a_link_may_be_an_object(tmp_path: Path, inner: str) -> None:
    linked = polygon(inner=attribute("track_id", "7"))
    path = document(tmp_path / "a.xml", image(0, linked), image(1, polygon(inner=inner)), image(2, linked))
    clip = clip_at(path)
    assert [found.visible for found in clip.tracks] == [rles(BACK, None, BACK), rles(None, BACK, None)]
    assert "a.xml: 1 shape without track_id; each is an object of one frame" in clip.notes


def test_names_decide_where_ids_do_not_fit(tmp_path: Path) -> None:
    linked = polygon(inner=attribute("track_id", "7"))
    images = [image(5 + t, linked, name=f"{t:05d}.jpg") for t in (0, 2)]
    clip = clip_at(document(tmp_path / "a.xml", *images), VIDEO)
    assert clip.tracks[0].visible == rles(BACK, None, BACK)
    assert "a.xml: images are placed in the video by their names, not by their ids" in clip.notes


# Damage


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (track(1, shape(9)), "frame 9 lies outside the video"),
        (track(1, shape(0), shape(0)), "two shapes in one frame"),
        (track(1, shape(0)) + track(1, shape(1)), "track 1: listed twice"),
        (track(1, shape(0, "mask", 'rle="1,2" left="0" top="0" width="2" height="2"')), "sum to 3, not to 2 x 2"),
        (track(1, shape(0, "mask", 'rle="-1,5" left="0" top="0" width="2" height="2"')), "run lengths"),
        (track(1, shape(0, "mask", 'rle="a" left="0" top="0" width="2" height="2"')), "must be run lengths"),
        (track(1, shape(0, "mask", 'rle="9" left="4" top="4" width="3" height="3"')), "beyond the image"),
        (track(1, shape(0, "mask", 'rle="4" left="0" top="0" width="2"')), 'the attribute "height" must be an integer'),
        (track(1, shape(0, text='points="1,2;nan,3;4,4"')), "coordinate"),
        (track(1, shape(0, text='points="1,2;3"')), 'the attribute "points"'),
        (track(1, shape(0, text='points="1e300,2;3,4;5,6"')), "coordinate"),
        (track(1, shape(0, "ellipse", 'cx="1" cy="1" rx="-1" ry="1"')), "not an ellipse"),
        (track(1, shape(0, "ellipse", 'cx="1" cy="1" rx="x" ry="1"')), 'the attribute "rx" must be a number'),
        ('<track label="mug"></track>', 'the attribute "id" must be an integer'),
        ("<track>", "not well-formed XML"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, element: str, message: str) -> None:
    path = document(tmp_path / "a.xml", element)
    line = refusal(lambda: clip_at(path))
    assert line.startswith(f"{path}: ") and message in line


def test_a_size_that_is_not_stated_is_asked_for(tmp_path: Path) -> None:
    path = document(tmp_path / "a.xml", track(1, shape(0), shape(1)), meta=TASK.format(""))
    assert "states no image size; pass its video" in refusal(lambda: clip_at(path))
    assert clip_at(path, VIDEO).tracks[0].visible == rles(BACK, BACK, None)


# Written files


def test_written_masks_are_shapes_with_the_group_of_their_object(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "cvat", kind="amodal")
    root = ET.fromstring((tmp_path / "out/clip-0.xml").read_text())
    found = [(t.get("label"), t.get("group_id"), t[0].get("frame"), t[0].get("rle")) for t in root.iter("track")]
    assert found == [
        *(("mug", "1", str(t), "0, 6") for t in range(3)),
        ("object", "2", "0", "0, 12"),
        ("object", "2", "1", "0, 12"),
    ]
    assert root.findtext("meta/task/original_size/width") == str(W) and root.findtext("meta/task/stop_frame") == "2"


def test_written_files_are_read_without_their_record(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "cvat")
    path = tmp_path / "out/clip-0.xml"
    text = path.read_text()
    start, end = text.index("<vidamodal>"), text.index("</vidamodal>") + len("</vidamodal>")
    path.write_text(text[:start] + text[end:])
    assert [(found.id, found.visible) for found in clip_at(path).tracks] == [
        (0, rles(FRONT, FRONT, FRONT)),
        (3, rles(BACK & ~FRONT, NOTHING, NOTHING)),
    ]
    path.write_text(text[:start] + "<vidamodal>{</vidamodal>" + text[end:])
    assert "the element vidamodal is damaged" in refusal(lambda: clip_at(path))


def test_labels_that_xml_cannot_hold_come_back(tmp_path: Path) -> None:
    label = '<a&b "\x00\x1f\ud7ff\uffff\n'
    clip = ClipTracks(VIDEO, (Track(1, rles(FRONT, None, NOTHING), label=label),))
    convert(save(tmp_path / "source", clip), tmp_path / "out", "cvat")
    ET.fromstring((tmp_path / "out/clip-0.xml").read_text())
    assert clip_at(tmp_path / "out") == clip
