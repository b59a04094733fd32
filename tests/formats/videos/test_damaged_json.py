"""Damaged files of the video formats are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.video_data import FRONT, H, W, _rle, burst, coco_video, put, refusal, tao_amodal, youtube_vis
from vidamodal.formats import find_dataset

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
