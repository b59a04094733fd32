"""COCO images and videos."""

from __future__ import annotations

from pathlib import Path

from tests.formats.video_data import (
    BACK,
    CATEGORIES,
    CORNERS,
    FRONT,
    NOTHING,
    H,
    T,
    W,
    coco_video,
    only,
    packed,
    put,
    rles,
    written,
)
from vidamodal.formats import find_dataset
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
