"""Damaged files of the video formats are refused in one line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.formats.image_data import cocoa, d2sa, kins
from tests.formats.video_data import (
    BACK,
    CATEGORIES,
    CORNERS,
    FRONT,
    H,
    W,
    _rle,
    burst,
    coco_video,
    packed,
    put,
    refusal,
    tao_amodal,
    youtube_vis,
)
from vidamodal.formats import find_dataset
from vidamodal.formats.base import VideoContext
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.types import InputError, VideoInfo

DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "youtube-vis: too few masks": (youtube_vis(segmentations=[None]), "1 segmentations for 3 frames"),
    "youtube-vis: no such video": (youtube_vis(video_id=2), "for video 2, which videos does not list"),
    "youtube-vis: counts": (youtube_vis(segmentations=[None, {"size": [H, W], "counts": "00"}, None]), "sum to 0"),
    "youtube-vis: size": (youtube_vis(segmentations=[None, {"size": [9, W], "counts": "0"}, None]), "size"),
    "youtube-vis: a negative id": (youtube_vis(id=-1), "track id -1"),
    "youtube-vis: no masks": (youtube_vis(segmentations=None), "segmentations must be a list"),
    "burst: counts": (burst(segmentations=[{"2": {"rle": "00"}}, {}]), "sum to 0"),
    "burst: no number": (burst(segmentations=[{"two": _rle(FRONT)}, {}]), 'the track id "two"'),
    "burst: too few frames": (burst(segmentations=[{}]), "lists of one length"),
    "burst: a strange image": (burst(annotated_image_paths=["a.jpg", "b.jpg"]), '"a.jpg" is not in all_image_paths'),
    "burst: no frames": (burst(all_image_paths=[]), "all_image_paths is empty"),
    "burst: a rate": (burst(fps=10**400), "fps is too large"),
    "burst: no rate": (burst(fps=0), "video.fps is 0"),
    "coco: no track": (coco_video(instance_id=1.5), "instance_id must be an integer"),
    "coco: counts": (coco_video(segmentation={"size": [H, W], "counts": "00"}), "sum to 0"),
    "tao-amodal: a box": ({**tao_amodal(amodal_bbox=[1, 2])}, "amodal_bbox must be"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    document, message = DAMAGED[name]
    path = put(tmp_path / "a.json", document)
    assert message in refusal(lambda: [clip.tracks() for clip in find_dataset(path).clips.values()])


def cvat() -> dict[str, Any]:
    """Images of one video, with ids of objects in attributes and masks in every form."""
    images = [{"id": 3 * t, "file_name": f"f_{t}.png", "width": W, "height": H} for t in (0, 2, 4)]
    masks = (packed(FRONT), [CORNERS], {"size": [H, W], "counts": [1, 2, H * W - 3]})
    annotations = [
        {"image_id": 3 * t, "category_id": 4, "segmentation": mask, "attributes": {"track_id": 1}, "iscrowd": 0}
        for t, mask in zip((0, 2, 4), masks, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def sav() -> dict[str, Any]:
    size = {"video_height": float(H), "video_width": W, "video_frame_count": 5.0, "video_duration": 0.5}
    return {**size, "masklet": [[packed(FRONT)], [packed(BACK)]], "masklet_id": [3]}


REGIONS = [{"segmentation": CORNERS, "name": "cup"}, {"segmentation": CORNERS, "visible_mask": packed(FRONT)}]
SINGLE = {
    "image": {"image_id": 7, "width": W, "height": H, "file_name": "a_2.jpg"},
    "annotations": [{"segmentation": packed(FRONT)}],
}
INTACT: dict[str, Any] = {
    "coco": coco_video(visible_mask=packed(FRONT & BACK)),
    "cvat": cvat(),
    "youtube-vis": youtube_vis(bboxes=[None, [2, 2, 3, 4], [1, 1, 1, 1]]),
    "burst": burst(),
    "tao-amodal": tao_amodal(),
    "kins": kins(),
    "d2sa": d2sa(),
    "cocoa": cocoa(),
    "cocoa, single": {"image_id": 1, "regions": REGIONS, "depth_constraint": "1-2"},
    "results": [{"image_id": t, "segmentation": packed(FRONT), "track_id": 1, "score": 0.5} for t in range(3)],
    "video results": [{"video_id": 1, "segmentations": [packed(FRONT), None], "score": 0.5, "category_id": 1}],
    "sa-v": sav(),
    "sa-1b": SINGLE,
    "grounded-sam": {
        "image_path": "b_0.jpg",
        "img_width": W,
        "img_height": H,
        "annotations": [{"class_name": "a", "segmentation": packed(BACK)}],
    },
}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 10**20, -(10**9), 0.5, 1e308, float("nan"), float("inf"), "", "1", "x", "-7"),
    *("1.0", "../..", "\0", "é", [], {}, [[]], [None], [1, 2, 3], [[1e9] * 6], {"size": [H, W]}, {"counts": "0"}),
    *({"size": [2**31, 2**31], "counts": [2**62]}, {"size": [W, H], "counts": "n0"}, "a" * 300, [0] * 7, {"id": 1}),
]
"""Values that a damaged file may have in any place."""


def mutated(document: Any, chance: random.Random) -> bytes:
    """Return a file with one to three changed, repeated or missing values, or with damaged text."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = [(holder, key) for holder, key in _places(document) if not isinstance(key, str) or key in holder]
        holder, key = chance.choice(places)
        change = chance.random()
        if change < 0.6:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        elif change < 0.75:
            del holder[key]
        elif change < 0.85 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            other, place = chance.choice(places)
            holder[key] = copy.deepcopy(other[place])
        if not list(_places(document)):
            break
    text = json.dumps(document).encode()
    if chance.random() < 0.15:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice([b"", b"\xff", b"[", b"9" * 5000]) + text[place + chance.randrange(40) :]
    return text


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every holder and key or index of a document."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(entries):
        yield node, key
        yield from _places(value)


def check_mutated(name: str, seed: int, number: int, folder: Path) -> None:
    """Check that a number of mutated files are read or refused in one line, with and without a video."""
    chance = random.Random(f"{name} {seed}")
    refusals: list[str] = []
    for k in range(number):
        path = folder / f"{k}.json"
        path.write_bytes(mutated(INTACT[name], chance))
        video = chance.choice([None, VideoContext(VideoInfo("v.mp4", H, W, 5, 10.0))])
        try:
            for clip in find_dataset(path, video=video).clips.values():
                found = clip.tracks()
                clip.frames()
                assert loads_tracks(dumps_tracks(found), "again") == found
        except InputError as error:
            refusals.append(str(error))
        path.unlink()
    assert refusals
    assert not [line for line in refusals if "\n" in line or not line.startswith(str(folder))]


@pytest.mark.parametrize("name", INTACT)
def test_intact_files_are_read(name: str, tmp_path: Path) -> None:
    (clip, *_) = find_dataset(put(tmp_path / "a.json", INTACT[name])).clips.values()
    assert clip.tracks().tracks


@pytest.mark.parametrize("name", INTACT)
def test_mutated_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    check_mutated(name, 0, 40, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTACT)
def test_a_thousand_mutated_files(name: str, tmp_path: Path) -> None:
    check_mutated(name, 1, 1000, tmp_path)
