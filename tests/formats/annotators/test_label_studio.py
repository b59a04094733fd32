"""Label Studio's JSON."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.formats.video_data import (
    BACK,
    FRONT,
    NOTHING,
    SCENE,
    H,
    Mask,
    T,
    W,
    box,
    picture,
    put,
    refusal,
    rles,
    written,
)
from vidamodal.formats import VideoContext, find_dataset
from vidamodal.formats.annotators.brush_rle import encode_brush
from vidamodal.types import ClipTracks, Track, VideoInfo

VIDEO = VideoInfo("v.mp4", H, W, T, 12.0)


def result(value: dict[str, Any], number: str = "a1", **more: Any) -> dict[str, Any]:
    size = {"original_width": W, "original_height": H, "image_rotation": 0}
    return {"id": number, "type": "x", "from_name": "tag", "to_name": "image", "value": value, **size, **more}


def brush(mask: Mask, label: str = "mug", number: str = "a1", **more: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    return result(value, number, **more)


def field(name: str, value: Any, number: str = "a1") -> dict[str, Any]:
    return {"id": number, "type": "textarea", "from_name": name, "to_name": "image", "value": value}


def task(name: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotations = [{"id": 7, "was_cancelled": False, "result": list(results)}]
    return {"id": 3, "data": {"image": f"/data/upload/1/{name}"}, "annotations": annotations, **more}


def clips_at(path: Path, document: Any, video: VideoInfo | None = None) -> dict[str, ClipTracks]:
    context = None if video is None else VideoContext(video)
    clips = find_dataset(put(path, document), video=context).clips
    return {key: clip.tracks() for key, clip in clips.items()}


def only(path: Path, document: Any, video: VideoInfo | None = VIDEO) -> ClipTracks:
    (clip,) = clips_at(path, document, video).values()
    return clip


def data_url(mask: Mask) -> str:
    file = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros((*mask.shape, 3), np.uint8), mask * np.uint8(255)])).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


BACK_POINTS = [[100 * x / W, 100 * y / H] for x, y in ((2, 2), (5, 2), (5, 6), (2, 6))]


# Images


@pytest.mark.parametrize(
    "value",
    [
        {"format": "rle", "rle": encode_brush(BACK), "brushlabels": ["mug"]},
        {"points": BACK_POINTS, "closed": True, "polygonlabels": ["mug"]},
        {"imageDataURL": data_url(BACK), "bitmasklabels": ["mug"]},
    ],
)
@pytest.mark.parametrize("as_list", [True, False])
def test_tasks_are_clips_of_an_image(tmp_path: Path, value: dict[str, Any], as_list: bool) -> None:
    one = task("0f12ab34-cup.jpg", result(value), brush(FRONT, "box", "a2"))
    clips = clips_at(tmp_path / "a.json", [one] if as_list else one)
    assert clips == {
        "cup": ClipTracks(
            VideoInfo("cup", H, W, 1, 24.0),
            (Track(1, rles(BACK), label="mug"), Track(2, rles(FRONT), label="box")),
            provenance={"layout": "Label Studio"},
        )
    }


def test_ellipses_are_masks(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 50, "radiusY": 25, "rotation": 0, "ellipselabels": ["mug"]}
    mask = only(tmp_path / "a.json", [task("a.jpg", result(value))], None).tracks[0].visible[0]
    assert mask is not None and 10 <= mask.area() <= 16 and mask.decode()[2:4, 1:4].all()


def test_a_label_in_a_result_of_its_own(tmp_path: Path) -> None:
    shape = result({"format": "rle", "rle": encode_brush(BACK)})
    both = [shape, result({"format": "rle", "rle": encode_brush(BACK), "labels": ["cat"]})]
    assert only(tmp_path / "a.json", [task("a.jpg", *both)], None).tracks == (Track(1, rles(BACK), label="cat"),)


def test_rectangles_have_no_mask_and_points_no_object(tmp_path: Path) -> None:
    rectangle = result({"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["cup"]}, "b")
    point = result({"x": 1, "y": 1, "width": 0.3, "keypointlabels": ["tip"]}, "c")
    relation = {"from_id": "a1", "to_id": "b", "type": "relation", "direction": "right"}
    clip = only(tmp_path / "a.json", [task("a.jpg", rectangle, point, relation)], None)
    assert clip.tracks == (Track(1, (None,), label="cup"),)
    assert clip.notes == (
        "a.json: 1 region without a mask (box); the masks are unknown",
        "a.json: 1 region without an area left out",
    )


def test_pictures_are_found_by_their_name(tmp_path: Path) -> None:
    picture(tmp_path / "images/cup.jpg")
    for address in ("s3://bucket/cup.jpg", "/data/local-files/?d=x/cup.jpg", "https://host/cup.jpg?sign=1"):
        one = {**task("", brush(BACK)), "data": {"image": address, "note": "text"}}
        (clip,) = find_dataset(put(tmp_path / "a.json", [one])).clips.values()
        frames = clip.frames()
        assert clip.key == "cup" and frames is not None and len(list(frames)) == 1


def test_predictions_are_read_where_nobody_annotated(tmp_path: Path) -> None:
    one = {**task("cup.jpg"), "predictions": [{"result": [brush(BACK)]}], "annotations": []}
    for document in ([one], [{key: one[key] for key in ("data", "predictions")}]):
        clip = only(tmp_path / "a.json", document, None)
        assert clip.tracks == (Track(1, rles(BACK), label="mug"),)
        assert clip.notes == ("a.json: nobody annotated a task; the predictions of a model are read",)
    assert only(tmp_path / "b.json", [{**one, **task("cup.jpg", brush(FRONT))}], None).tracks[0].visible == rles(FRONT)


# Videos


def test_a_region_without_a_label_may_be_an_object(tmp_path: Path) -> None:
    bare = result({"format": "rle", "rle": encode_brush(BACK)}, "b")
    tasks = [task("0.jpg", brush(FRONT)), task("1.jpg", bare), task("2.jpg", brush(FRONT, number="c"))]
    clip = only(tmp_path / "a.json", tasks)
    assert clip.tracks == (Track(1, rles(FRONT, None, FRONT), label="mug"),)
    assert "a.json: 1 region without an object id ignored" in clip.notes


@pytest.mark.parametrize(
    ("value", "name"),
    [({"text": ["4"]}, "track_id"), ({"number": 4}, "object_id"), ({"choices": ["4"]}, "instance_id")],
)
def test_a_field_of_the_region_names_its_object(tmp_path: Path, value: dict[str, Any], name: str) -> None:
    tasks = [
        task("f_10.jpg", brush(BACK, number="x"), field(name, value, "x"), brush(FRONT, number="y")),
        task("f_2.jpg", brush(FRONT, number="z"), field(name, value, "z")),
        task("f_30.jpg"),
    ]
    clip = only(tmp_path / "a.json", tasks, None)
    assert clip.video == VideoInfo("a", H, W, 3, 24.0)
    assert clip.tracks == (Track(1, rles(FRONT, BACK, NOTHING), label="mug"),)
    assert clip.notes[0].startswith("a.json: objects are identified by a field of the region")
    assert "a.json: 1 region without an object id ignored" in clip.notes


def test_ids_that_return_name_the_object(tmp_path: Path) -> None:
    part = box(0, 0, 1, 1)
    tasks = [task("1.jpg", brush(BACK), brush(part, number="b"), brush(BACK, number="c")), task("0.jpg", brush(FRONT))]
    clip = only(tmp_path / "a.json", tasks, None)
    assert [track.visible for track in clip.tracks] == [rles(FRONT, BACK), rles(None, part), rles(None, BACK)]
    assert clip.notes == ("a.json: objects are identified by ids that several tasks share",)


def test_tasks_are_placed_in_the_video_by_their_numbers(tmp_path: Path) -> None:
    tasks = [task("f_2.jpg", brush(BACK, number="x")), task("f_0.jpg", brush(FRONT, number="y"))]
    clip = only(tmp_path / "a.json", tasks)
    assert clip.tracks == (Track(1, rles(FRONT, None, BACK), label="mug"),)
    assert "a.json: objects are identified by their labels" in clip.notes
    beyond = [task("f_2.jpg", brush(BACK)), task("f_9.jpg", brush(FRONT))]
    assert "the video has 3 frames" in refusal(lambda: only(tmp_path / "b.json", beyond))


def test_labels_that_stand_twice_tell_no_objects_apart(tmp_path: Path) -> None:
    tasks = [
        task("f_0.jpg", brush(BACK, number="x"), brush(FRONT, number="y")),
        task("f_1.jpg", brush(BACK, number="z")),
    ]
    assert 'a second region with the label "mug"' in refusal(lambda: only(tmp_path / "a.json", tasks))
    clip = only(tmp_path / "b.json", tasks[:1])  # one frame: each region is an object
    assert [track.visible for track in clip.tracks] == [rles(BACK, None, None), rles(FRONT, None, None)]


def test_a_task_without_an_annotation_is_unknown(tmp_path: Path) -> None:
    cancelled = [{"was_cancelled": True, "result": [brush(FRONT)]}]
    tasks = [task("0.jpg", brush(BACK)), task("1.jpg", annotations=cancelled), task("2.jpg", annotations=[])]
    tasks += [task("3.jpg", brush(BACK)), task("4.jpg")]
    clip = only(tmp_path / "a.json", tasks, None)
    assert clip.tracks[0].visible == rles(BACK, None, None, BACK, NOTHING)


def test_ground_truth_wins_over_other_annotations(tmp_path: Path) -> None:
    two = [{"result": [brush(BACK)]}, {"result": [brush(FRONT)]}]
    assert "2 annotations of one task" in refusal(
        lambda: only(tmp_path / "a.json", [task("a.jpg", annotations=two)], None)
    )
    two[1]["ground_truth"] = True  # type: ignore[assignment]
    clip = only(tmp_path / "b.json", [task("a.jpg", annotations=two)], None)
    assert clip.tracks[0].visible == rles(FRONT)


def test_boxes_in_videos_leave_masks_unknown(tmp_path: Path) -> None:
    key = {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 0, "enabled": True, "frame": 1, "time": 0.04}
    value = {"framesCount": 3, "duration": 1, "sequence": [key], "labels": ["Car"]}
    tracked = {"id": "r", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}
    tasks = [{**task("", tracked), "data": {"video": f"/data/{name}.mp4"}} for name in ("v", "w")]
    clip = only(tmp_path / "a.json", tasks)  # the task of this video
    assert clip.tracks == (Track(1, (None,) * T, label="Car"),)
    assert clip.notes == ("a.json: 1 region without a mask (box); the masks are unknown",)
    assert "no size of the image is stated; pass its video" in refusal(lambda: clips_at(tmp_path / "b.json", tasks))


# Damage


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (brush(np.zeros((2, 2), bool)), "rle has 16 values, expected 120"),
        (result({"rle": [1, 2, 3]}), "rle is cut off"),
        (result({"rle": "x"}), "rle must be a list"),
        (result({"points": [[1, 2], [3]]}), "points must be"),
        (result({"points": [[1, 2], [3, 10**400], [4, 4]]}), "y must be a number in per cent"),
        (result({"points": [[1, 2], [3, float("nan")], [4, 4]]}), "y must be a number in per cent"),
        (result({"x": 1, "y": 1, "radiusX": "a", "radiusY": 1}), "radiusX must be a number in per cent"),
        (result({"imageDataURL": "data:image/png;base64,xx"}), "imageDataURL is not a PNG"),
        (result({"imageDataURL": data_url(np.zeros((2, 2), bool))}), "2 x 2 pixels"),
        (brush(BACK, image_rotation=90), "rotated by 90 degrees"),
        (brush(BACK, original_width=-5), "each must be at least 1"),
        (brush(BACK, original_width=10**9), "the limits are"),
        ({"id": "a", "value": {"rle": []}}, "original_height is missing"),
    ],
)
def test_damaged_regions_are_refused(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    line = refusal(lambda: only(tmp_path / "a.json", [task("a.jpg", entry)], None))
    assert line.startswith(f"{tmp_path / 'a.json'}: task 3: ") and message in line


def test_images_of_several_sizes_are_no_clip(tmp_path: Path) -> None:
    tasks = [
        task("0.jpg", brush(BACK)),
        task("1.jpg", brush(np.ones((2, 2), bool), original_width=2, original_height=2)),
    ]
    assert "images of several sizes (2 x 2, 6 x 5)" in refusal(lambda: only(tmp_path / "a.json", tasks, None))


# Written files


def test_written_files_have_a_task_for_each_frame(tmp_path: Path) -> None:
    first, second, third = written(tmp_path, "label-studio", clip=SCENE)
    assert [entry["data"]["image"] for entry in (first, second, third)] == [f"clip-0/{t:05d}.jpg" for t in range(T)]
    mug, other = first["annotations"][0]["result"]
    assert (mug["id"], mug["type"], mug["value"]["brushlabels"]) == ("track-1", "brushlabels", ["mug"])
    assert other["value"]["rle"] == encode_brush(BACK & ~FRONT) and other["original_width"] == W
    assert len(second["annotations"][0]["result"]) == len(third["annotations"][0]["result"]) == 1


def test_a_frame_without_a_known_mask_is_not_annotated(tmp_path: Path) -> None:
    clip = ClipTracks(VIDEO, (Track(3, rles(None, NOTHING, FRONT)),))
    assert [entry["annotations"] for entry in written(tmp_path, "label-studio", clip=clip)[:2]] == [
        [],
        [{"result": []}],
    ]


def test_written_files_are_read_without_their_record(tmp_path: Path) -> None:
    document = written(tmp_path, "label-studio", clip=replace(SCENE, tracks=SCENE.tracks[:1], order=None))
    del document[0]["data"]["vidamodal"]
    clip = only(tmp_path / "other.json", document[::-1], None)
    assert clip.tracks == (Track(1, rles(FRONT, FRONT, FRONT), label="mug"),)
