"""FiftyOne's COCO folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from tests.formats.video_data import BACK, CORNERS, NOTHING, SCENE, H, T, W, clips, put, refusal, rles, save
from vidamodal.convert import convert
from vidamodal.formats import MaskKind, VideoContext, find_dataset, read_masks
from vidamodal.media.images import write_image
from vidamodal.types import ClipTracks, Track, VideoInfo


def film(folder: Path, frames: int = T, height: int = H, width: int = W) -> Path:
    folder.mkdir(parents=True)
    for t in range(frames):
        write_image(folder / f"{t:05d}.png", np.full((height, width, 3), 10 * t, np.uint8))
    return folder


def written(tmp_path: Path, kind: MaskKind = "visible", clip: ClipTracks = SCENE) -> Any:
    video = film(tmp_path / "film", clip.video.frames)
    convert(save(tmp_path / "source", clip), tmp_path / "out", "fiftyone", kind=kind, video=video)
    return json.loads((tmp_path / "out/labels.json").read_text())


def exported(folder: Path, **changes: Any) -> Path:
    """Write a folder as FiftyOne exports one."""
    images = [{"id": t + 1, "file_name": f"v-{t}.jpg", "height": H, "width": W, "license": None} for t in range(2)]
    shape = {"bbox": [2, 2, 3, 4], "area": 12, "iscrowd": 0, "segmentation": [CORNERS]}
    annotations = [{"id": t + 1, "image_id": t + 1, "category_id": 0, **shape, "index": 5, **changes} for t in range(2)]
    info = {"description": "Exported from FiftyOne", "url": "https://voxel51.com/fiftyone"}
    categories = [{"id": 0, "name": "mug", "supercategory": None}]
    document = {"info": info, "categories": categories, "images": images, "annotations": annotations}
    put(folder / "labels.json", document)
    (folder / "data").mkdir()
    for t in range(2):
        Image.new("RGB", (W, H)).save(folder / f"data/v-{t}.jpg")
    return folder


@pytest.mark.parametrize("kind", ["visible", "amodal"])
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(found=clips())
def test_written_folders_read_back(tmp_path_factory: pytest.TempPathFactory, kind: MaskKind, found: ClipTracks) -> None:
    folder = tmp_path_factory.mktemp("fiftyone")
    source, video = save(folder / "source", found), film(folder / "film", found.video.frames)
    if kind == "amodal" and any(track.amodal is None for track in found.tracks):
        assert "no amodal masks" in refusal(lambda: convert(source, folder / "out", "fiftyone", kind=kind, video=video))
        return
    convert(source, folder / "out", "fiftyone", kind=kind, video=video)
    (clip,) = find_dataset(folder / "out").clips.values()
    blank = (None,) * found.video.frames
    tracks = tuple(
        Track(track.id, track.visible, label=track.label)
        if kind == "visible"
        else replace(track, visible=blank, hypotheses=(), amodal_full=None)
        for track in found.tracks
    )
    info = VideoInfo("film", H, W, found.video.frames, 24.0)
    assert clip.kind_known and clip.tracks() == replace(found, video=info, tracks=tracks)
    frames = clip.frames()
    assert frames is not None and len(list(frames)) == found.video.frames
    shutil.rmtree(folder)


def test_annotations_have_what_fiftyone_needs(tmp_path: Path) -> None:
    document = written(tmp_path, "amodal")
    images, annotations = document["images"], document["annotations"]
    assert [image["file_name"] for image in images] == [f"clip-0_{t:05d}.jpg" for t in range(T)]
    assert all((tmp_path / "out/data" / image["file_name"]).is_file() for image in images)
    assert {"id", "height", "width"} <= set(images[0])
    assert [(a["image_id"], a["index"], a["category_id"], a.get("score")) for a in annotations] == [
        *((t, 1, 1, None) for t in (1, 2, 3)),
        *((t, 2, 2, score) for t, score in ((1, 0.5), (2, 0.75))),
    ]
    assert annotations[0]["bbox"] == [1, 1, 2, 3] and annotations[0]["segmentation"]["size"] == [H, W]
    assert not [key for key, value in annotations[0].items() if isinstance(value, dict) and key != "segmentation"]


def test_the_folder_wins_over_its_pictures(tmp_path: Path) -> None:
    written(tmp_path)
    video = VideoContext(VideoInfo("v.mp4", H, W, T, 9.0))
    assert [track.visible for track in read_masks(tmp_path / "out", video).tracks] == [
        track.visible for track in SCENE.tracks
    ]


@pytest.mark.parametrize("changes", [{}, {"index": None, "track_id": 5}, {"index": None, "attributes": {"index": 5}}])
def test_exports_are_read_as_coco(tmp_path: Path, changes: dict[str, Any]) -> None:
    dataset = find_dataset(exported(tmp_path / "set", **changes))
    (clip,) = dataset.clips.values()
    assert dataset.format == "FiftyOne" and clip.tracks().tracks == (Track(5, rles(BACK, BACK), label="mug"),)
    frames = clip.frames()
    assert frames is not None and len(list(frames)) == 2


def test_exports_without_an_index_are_images(tmp_path: Path) -> None:
    clips = find_dataset(exported(tmp_path / "set", index=None)).clips
    assert {key: clip.tracks().tracks for key, clip in clips.items()} == {
        key: (Track(1, rles(BACK), label="mug"),) for key in ("1", "2")
    }


def test_clips_without_fitting_pictures_are_refused(tmp_path: Path) -> None:
    source, out = save(tmp_path / "source", SCENE), tmp_path / "out"
    assert refusal(lambda: convert(source, out, "fiftyone")) == (
        "clip clip-0: it has no frames, which FiftyOne needs; add its video"
    )
    assert not out.exists()


def test_an_empty_clip_is_read_back(tmp_path: Path) -> None:
    clip = ClipTracks(VideoInfo("film", H, W, 2, 24.0), (Track(4, rles(None, NOTHING)),))
    assert written(tmp_path, clip=clip)["annotations"] == []
    (found,) = find_dataset(tmp_path / "out").clips.values()
    assert found.tracks() == clip
