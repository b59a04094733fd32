"""COCO images and videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.video_data import (
    BACK,
    CATEGORIES,
    CORNERS,
    FRONT,
    NOTHING,
    H,
    T,
    W,
    box,
    coco_video,
    only,
    packed,
    put,
    refusal,
    rles,
    written,
)
from vidamodal.formats import find_dataset, read_masks
from vidamodal.formats.base import VideoContext
from vidamodal.types import ClipTracks, Track, VideoInfo


def test_coco_has_an_annotation_for_each_mask_with_a_pixel(tmp_path: Path) -> None:
    document = written(tmp_path, "coco")
    assert [image["frame_index"] for image in document["images"]] == [0, 1, 2]
    assert document["categories"] == [{"id": 1, "name": "mug"}, {"id": 2, "name": "object"}]
    found = [(a["image_id"], a["track_id"], a["bbox"], a["area"]) for a in document["annotations"]]
    front, back = ([1, 1, 2, 3], 6), ([2, 2, 3, 4], 12)
    assert found == [(1, 1, *front), (2, 1, *front), (3, 1, *front), (1, 2, *back), (2, 2, *back)]
    assert document["annotations"][3]["segmentation"] == packed(BACK)
    assert document["annotations"][3]["visible_mask"] == packed(BACK & ~FRONT)
    assert document["annotations"][4]["visible_mask"] == packed(NOTHING)


def test_coco_videos_of_other_programs(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", coco_video()))
    track = Track(6, rles(None, BACK, None), label="car")
    assert clip == ClipTracks(VideoInfo("v", H, W, T, 24.0), (track,), provenance={"layout": "COCO"})
    clip = only(put(tmp_path / "b.json", coco_video(visible_mask=packed(FRONT & BACK))))
    assert clip.tracks[0].amodal == rles(None, BACK, None)
    assert clip.tracks[0].visible == rles(None, FRONT & BACK, None)


def test_coco_images_are_clips_of_a_frame(tmp_path: Path) -> None:
    image = {"id": 5, "file_name": "x.jpg", "width": W, "height": H}
    annotations = [{"id": k, "image_id": 5, "category_id": 4, "segmentation": s} for k, s in enumerate([[CORNERS], []])]
    document = {"images": [image], "annotations": annotations, "categories": CATEGORIES}
    dataset = find_dataset(put(tmp_path / "instances_val2017.json", document))
    assert dataset.format == "COCO" and not dataset.clips["5"].kind_known
    clip = dataset.clips["5"].tracks()
    assert [(t.id, t.label, t.visible) for t in clip.tracks] == [(1, "car", rles(BACK))]
    assert clip.notes == ("instances_val2017.json: 1 annotation without a mask (segmentation) left out",)


IMAGE = {"id": 5, "file_name": "x.jpg", "width": W, "height": H}
SEGMENT = {"id": 1, "image_id": 5, "category_id": 4, "segmentation": packed(BACK)}


def images(*annotations: dict[str, Any], image: dict[str, Any] = IMAGE, **more: Any) -> dict[str, Any]:
    return {"images": [image], "annotations": list(annotations), "categories": CATEGORIES, **more}


def context(frames: int = 5, *names: str) -> VideoContext:
    return VideoContext(VideoInfo("film.mp4", H, W, frames, 10.0), names or None)


def exported(*frames: int, key: str = "track_id", name: str = "frame_{:06d}.PNG") -> dict[str, Any]:
    """A video as CVAT exports it: images without a video, and ids of objects in attributes."""
    listed = [{"id": 10 + 3 * t, "file_name": name.format(t), "width": W, "height": H} for t in frames]
    annotations = [
        {
            "id": 2 * k + j,
            "image_id": image["id"],
            "category_id": 4,
            "segmentation": packed(mask),
            "attributes": {key: j},
        }
        for k, image in enumerate(listed)
        for j, mask in ((2, BACK), (1, FRONT))
    ]
    return {"images": listed, "annotations": annotations, "categories": CATEGORIES}


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        (IMAGE, {**SEGMENT, "image_id": "5"}),
        ({**IMAGE, "id": "5"}, {**SEGMENT, "image_id": 5.0, "category_id": "4"}),
        ({**IMAGE, "height": float(H), "width": str(W)}, SEGMENT),
        ({**IMAGE, "id": "a"}, {**SEGMENT, "image_id": "a"}),
        ({"id": 5, "file_name": "x.jpg"}, SEGMENT),
        (
            {"id": 5, "height": H, "width": W},
            {**SEGMENT, "segmentation": {"size": [float(H), f"{W}"], "counts": packed(BACK)["counts"]}},
        ),
        (IMAGE, {**SEGMENT, "segmentation": {**packed(BACK), "counts": repr(packed(BACK)["counts"].encode())}}),
        (IMAGE, {**SEGMENT, "segmentation": [packed(box(2, 2, 6, 4)), [4, 2, 5, 2, 5, 6, 4, 6]]}),
    ],
)
def test_ids_sizes_and_masks_in_all_forms(image: dict[str, Any], annotation: dict[str, Any], tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", images(annotation, image=image)))
    assert [(track.visible, track.label) for track in clip.tracks] == [(rles(BACK), "car")]
    assert clip.notes == ()


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"iscrowd": 1, "segmentation": packed(FRONT)}, "1 crowd region (iscrowd) left out"),
        ({"iscrowd": True, "segmentation": packed(FRONT)}, "1 crowd region (iscrowd) left out"),
        ({"segmentation": None}, "1 annotation without a mask (segmentation) left out"),
        ({"segmentation": [[1, 1, 3, 3]]}, "1 annotation without a mask (segmentation) left out"),
        ({"bbox": [1, 1, 2, 2]}, "1 annotation without a mask (segmentation) left out"),
        ({"image_id": 99, "segmentation": packed(FRONT)}, "for images that are not listed left out, such as 99"),
    ],
)
def test_what_is_left_out_is_reported(other: dict[str, Any], note: str, tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", images({"id": 2, "image_id": 5, "category_id": 4, **other}, SEGMENT)))
    assert [track.visible for track in clip.tracks] == [rles(BACK)]
    (line,) = clip.notes
    assert line.startswith("a.json: ") and note in line


@pytest.mark.parametrize("sign", [{"attributes": {"occluded": False}}, {"track_id": 3}])
def test_a_mask_that_cvat_marks_as_a_crowd_is_an_object(sign: dict[str, Any], tmp_path: Path) -> None:
    brush = {"id": 2, "image_id": 5, "category_id": 4, "iscrowd": 1, "segmentation": packed(FRONT), **sign}
    clip = only(put(tmp_path / "a.json", images(SEGMENT, brush)))
    assert [track.visible for track in clip.tracks] == [rles(BACK), rles(FRONT)]
    assert len(clip.notes) == 1 and "iscrowd of 1 mask ignored" in clip.notes[0]
    assert len(only(put(tmp_path / "b.json", images(brush))).tracks) == 1


def test_an_unlisted_category_has_no_label(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", images({**SEGMENT, "category_id": 77})))
    assert clip.tracks[0].label is None and "unlisted category id, such as 77" in clip.notes[0]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (images({**SEGMENT, "segmentation": {**packed(BACK), "size": [W, H]}}), "are swapped"),
        (images({**SEGMENT, "segmentation": None}), "none of 1 annotations has a mask"),
        (images({**SEGMENT, "iscrowd": 1}), "1 crowd region (iscrowd) left out"),
        (images({**SEGMENT, "segmentation": [CORNERS]}, image={"id": 5}), "states no height and width"),
        (images({**SEGMENT, "segmentation": {"size": [H], "counts": "0"}}), "must be [height, width]"),
        (images({**SEGMENT, "segmentation": [[[1, 1], [2, 2], [3, 3], [1, 1], [2, 2]]]}), "must be numbers x, y"),
    ],
)
def test_what_cannot_be_read_is_refused(document: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document)
    assert words in refusal(lambda: only(path))


def test_a_box_without_a_mask_is_an_unknown_mask(tmp_path: Path) -> None:
    for number, empty in enumerate(([], None, [[1, 1, 2, 2]])):
        document = coco_video()
        document["annotations"] += [
            {"id": 2, "image_id": 10, "category_id": 4, "instance_id": 6, "segmentation": empty, "bbox": [1, 1, 2, 2]},
            {"id": 3, "image_id": 12, "category_id": 4, "instance_id": 8, "segmentation": packed(FRONT)},
        ]
        clip = only(put(tmp_path / f"{number}.json", document))
        assert [track.visible for track in clip.tracks] == [rles(None, BACK, NOTHING), rles(None, None, FRONT)]
        assert clip.notes == (f"{number}.json: where an annotation has no mask, the mask of the object is unknown",)


def test_an_explicit_empty_mask_is_empty_and_parts_are_joined(tmp_path: Path) -> None:
    document = coco_video()
    document["annotations"] += [
        {"id": 2, "image_id": 12, "category_id": 4, "instance_id": 6, "segmentation": packed(NOTHING)},
        {"id": 3, "image_id": 11, "category_id": 4, "instance_id": 6, "segmentation": packed(FRONT)},
    ]
    clip = only(put(tmp_path / "a.json", document))
    assert clip.tracks[0].visible == rles(None, BACK | FRONT, NOTHING)
    assert "parts of its mask" in clip.notes[0]


@pytest.mark.parametrize("key", ["track_id", "Track ID", "instance_id", "id"])
@pytest.mark.parametrize("name", ["frame_{:06d}.PNG", "images/shot-{}_jpg.rf.0a1b2c{:03d}.jpg", "8a7c1b2d-{}.jpg"])
def test_images_of_one_video_are_a_clip(key: str, name: str, tmp_path: Path) -> None:
    document = exported(0, 2, 3, key=key, name=name.replace("{:03d}", "def"))
    path = put(tmp_path / "instances_default.json", document)
    clip = read_masks(path, context())
    assert [(track.id, track.label) for track in clip.tracks] == [(1, "car"), (2, "car")]
    assert clip.tracks[1].visible == rles(BACK, None, BACK, BACK, None)
    assert any(f"attributes.{key}" in note for note in clip.notes)
    assert any("frames 0, 2, 3 of 5" in note for note in clip.notes)
    (alone,) = find_dataset(path).clips.values()
    assert alone.tracks().tracks[0].visible == rles(FRONT, FRONT, FRONT)
    assert any("have gaps" in note for note in alone.tracks().notes)


def test_images_of_several_sizes_or_names_are_clips_of_their_own(tmp_path: Path) -> None:
    document = exported(0, 1)
    document["images"][1]["file_name"] = "dog.jpg"
    clips = find_dataset(put(tmp_path / "a.json", document)).clips
    assert list(clips) == ["10", "13"] and "each image is read as a separate clip" in clips["10"].tracks().notes[0]


@pytest.mark.parametrize("frames", [(0, 2, 4), (1, 3)])
def test_frame_numbers_decide_with_a_video(frames: tuple[int, ...], tmp_path: Path) -> None:
    document = coco_video()
    document["images"] = [
        {"id": 11 + k, "video_id": 1, "frame_index": t, "file_name": f"{'abc'[k]}.jpg", "width": W, "height": H}
        for k, t in enumerate(frames)
    ]
    clip = read_masks(put(tmp_path / "a.json", document), context())
    assert clip.tracks[0].visible == rles(*[BACK if t == frames[0] else None for t in range(5)])


def test_the_names_of_frames_decide_first(tmp_path: Path) -> None:
    document = exported(7, 9)
    names = ("frame_000005", "frame_000007", "frame_000009", "frame_000011")
    clip = read_masks(put(tmp_path / "a.json", document), context(4, *names))
    assert clip.tracks[0].visible == rles(None, FRONT, FRONT, None)


def test_one_annotated_image_is_the_mask_of_one_frame(tmp_path: Path) -> None:
    image = {**IMAGE, "file_name": "00003.jpg"}
    clip = read_masks(put(tmp_path / "a.json", images(SEGMENT, image=image)), context())
    assert clip.tracks[0].visible == rles(None, None, None, BACK, None)


def test_the_image_with_the_name_of_the_video_is_read(tmp_path: Path) -> None:
    other = {**IMAGE, "id": 6, "file_name": "set/film.jpg"}
    document = images(SEGMENT, {**SEGMENT, "image_id": 6, "segmentation": packed(FRONT)})
    document["images"].append(other)
    assert read_masks(put(tmp_path / "a.json", document), context(1)).tracks[0].visible == rles(FRONT)


def test_the_video_of_its_name_is_read(tmp_path: Path) -> None:
    document = coco_video()
    document["videos"].append({"id": 2, "name": "film"})
    document["images"].append(
        {"id": 20, "video_id": 2, "frame_index": 3, "file_name": "q.jpg", "width": W, "height": H}
    )
    document["annotations"].append({"id": 2, "image_id": 20, "instance_id": 1, "segmentation": packed(FRONT)})
    clip = read_masks(put(tmp_path / "a.json", document), context())
    assert clip.tracks[0].visible == rles(None, None, None, FRONT, None)
    assert "a.json: the video film of 2 is read" in clip.notes


def test_frames_without_ids_of_objects_are_refused(tmp_path: Path) -> None:
    document = exported(0, 1, 2, key="colour")
    for annotation in document["annotations"]:
        annotation["attributes"] = {"occluded": False}
    path = put(tmp_path / "a.json", document)
    assert "add a track_id" in refusal(lambda: read_masks(path, context()))
    assert len(find_dataset(path).clips) == 3


def test_annotations_without_an_id_beside_others_are_left_out(tmp_path: Path) -> None:
    document = coco_video()
    document["annotations"].append({"id": 2, "image_id": 12, "category_id": 4, "segmentation": packed(FRONT)})
    clip = only(put(tmp_path / "a.json", document))
    assert clip.tracks[0].visible == rles(None, BACK, None)
    assert clip.notes == ("a.json: 1 annotation without instance_id left out",)


def test_named_objects_are_numbered(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", coco_video(instance_id="player_b")))
    assert clip.tracks[0].id == 1 and "player_b is 1" in clip.notes[0]


def test_rectangles_are_reported(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", images({**SEGMENT, "segmentation": [CORNERS], "bbox": [2, 2, 3, 4]})))
    assert np.array_equal(clip.tracks[0].visible[0].decode(), BACK)  # type: ignore[union-attr]
    assert "rectangle of its box" in clip.notes[0]


def two_objects(*changes: dict[str, Any], **labels: Any) -> dict[str, Any]:
    """Object 1 is in frames 0 and 2, and object 2 in all; changes are those of an annotation in frame 1."""
    frames = [{"id": t, "file_name": f"{t}.jpg", "width": W, "height": H} for t in range(T)]
    front = [{"image_id": t, "category_id": 4, "segmentation": packed(FRONT), "track_id": 1} for t in (0, 2)]
    back = [{"image_id": t, "category_id": 5, "segmentation": packed(BACK), "track_id": 2} for t in range(T)]
    more = [{"image_id": 1, "segmentation": packed(FRONT), **change} for change in changes]
    return {"images": frames, "annotations": [*front, *back, *more], **labels}


NAMED = [*CATEGORIES, {"id": 5, "name": "bus"}]


@pytest.mark.parametrize(
    ("changes", "labels", "middle", "words"),
    [
        ((), {}, NOTHING, ""),
        (({},), {}, None, "1 annotation without track_id left out"),
        (({"track_id": -1},), {}, None, "1 annotation without track_id left out"),
        (({"track_id": "-1"}, {"track_id": None}), {}, None, "2 annotations without track_id left out"),
        (({"iscrowd": 1, "category_id": 4},), {"categories": NAMED}, None, "1 crowd region"),
        (({"iscrowd": 1, "category_id": 5},), {"categories": NAMED}, NOTHING, "1 crowd region"),
        (({"iscrowd": 1},), {}, None, "1 crowd region"),
    ],
)
def test_an_object_may_be_what_was_left_out(
    changes: tuple[dict[str, Any], ...], labels: dict[str, Any], middle: Any, words: str, tmp_path: Path
) -> None:
    clip = only(put(tmp_path / "a.json", two_objects(*changes, **labels)))
    assert [track.visible for track in clip.tracks] == [rles(FRONT, middle, FRONT), rles(BACK, BACK, BACK)]
    assert any(words in note for note in clip.notes)


def test_the_first_category_of_an_object_is_kept(tmp_path: Path) -> None:
    document = two_objects(categories=NAMED)
    document["annotations"][1]["category_id"] = 5
    clip = only(put(tmp_path / "a.json", document))
    assert [track.label for track in clip.tracks] == ["car", "bus"]
    assert "a.json: object 1 is labelled car and bus; the first label is kept" in clip.notes


def test_ids_that_do_not_return_are_noted(tmp_path: Path) -> None:
    document = two_objects()
    for number, annotation in enumerate(document["annotations"], 10):
        annotation["track_id"] = number
    path = put(tmp_path / "a.json", document)
    note = "a.json: no track_id returns: each annotation is an object of one frame"
    assert note in read_masks(path, context(3)).notes
    for annotation in document["annotations"]:
        annotation["instance_id"] = annotation["category_id"]
    clip = only(put(tmp_path / "b.json", document))
    assert [track.id for track in clip.tracks] == [4, 5]
    assert "b.json: objects are identified by instance_id, because no track_id returns" in clip.notes


@pytest.mark.parametrize("scale", [[W, H], [9 * W, 7 * H]])
def test_polygons_in_fractions_are_refused(scale: list[int], tmp_path: Path) -> None:
    fractions = [value / scale[k % 2] for k, value in enumerate(CORNERS)]
    path = put(tmp_path / "a.json", images({**SEGMENT, "segmentation": [fractions]}))
    assert "multiply them by the width and height" in refusal(lambda: find_dataset(path))
    assert find_dataset(put(tmp_path / "b.json", images({**SEGMENT, "segmentation": [[0, 0, 1, 0, 1, 1]]}))).clips
