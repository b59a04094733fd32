"""Lists of results, as detectors and trackers write them for COCO's and YouTube-VIS's evaluation. Read only.

- COCO: ``[{image_id, category_id, segmentation, score}, ...]``. Images are in the order of their ids. With track ids
  (see ``track_ids``) they are the frames of one video; with a video, a numeric image id is the number of a frame.
- YouTube-VIS: ``[{video_id, category_id, segmentations, score}, ...]``, one entry per object, with a mask for each
  frame. Objects are numbered from 1 in each video.

The list names no images, so the size is that of the run lengths, or that of the video for polygons. The rest is as in
``coco`` and ``youtube_vis``. Scores are not read, and categories have no names. Polygons without a video are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vidamodal.formats.annotation_files import Record, count, errors_in, mask_size
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.json_layouts import ROOT, Layout, load_json, match_files, one_file
from vidamodal.formats.videos.coco import read_coco
from vidamodal.formats.videos.youtube_vis import read_youtube_vis
from vidamodal.media.json_records import FieldError, Identity, check_type, required, required_identity
from vidamodal.media.listing import natural_key
from vidamodal.types import ClipTracks

ID = "coco-results"
NAME = "COCO or YouTube-VIS results"
SIGN = 'a JSON list of objects with "image_id" and "segmentation", or "video_id" and "segmentations"'


def recognise(path: Path) -> Fit:
    """Match a file with such a list, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if(layout.has(ROOT, "image_id", "segmentation") or layout.has(ROOT, "video_id", "segmentations"))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each image or video; its key is the id."""
    file = one_file(path, match_files(path, ID, _fit)[1])
    with errors_in(file):
        results = [check_type(entry, dict, f"[{k}]") for k, entry in enumerate(load_json(file))]
        of_videos = any("segmentations" in entry for entry in results)
        document = _videos(results, video) if of_videos else _images(results)
    clips = (read_youtube_vis if of_videos else read_coco)(file, document, video)
    note = f"{file.name}: {count(len(results), 'result')}; scores are not read, and categories have no names"
    return {key: replace(clip, tracks=partial(_with_note, clip, note)) for key, clip in clips.items()}


def _with_note(clip: Clip, note: str) -> ClipTracks:
    tracks = clip.tracks()
    return replace(tracks, notes=(note, *tracks.notes))


def _images(results: list[Record]) -> Record:
    """A document in COCO's layout."""
    ids = {required_identity(entry, "image_id", f"[{k}].") for k, entry in enumerate(results)}
    images = [{"id": number, "file_name": str(number)} for number in sorted(ids, key=_order)]
    return {"images": images, "annotations": results}


def _order(number: Identity) -> tuple[bool, Any]:
    return isinstance(number, str), natural_key(str(number))


def _videos(results: list[Record], video: VideoContext | None) -> Record:
    """A document in the layout of YouTube-VIS; nothing is known of the names of frames."""
    videos: dict[Identity, Record] = {}
    annotations: list[Record] = []
    counts: dict[Identity, int] = {}
    for k, entry in enumerate(results):
        number = required_identity(entry, "video_id", f"[{k}].")
        masks = required(entry, "segmentations", list, f"[{k}].")
        counts[number] = counts.get(number, 0) + 1
        annotations.append({**entry, "id": counts[number]})
        size = next((mask_size(mask, f"[{k}]") for mask in masks if isinstance(mask, dict)), None)
        if size is None and video is not None:
            size = video.info.height, video.info.width
        if number not in videos and size is not None:
            sides = dict(zip(("height", "width"), size, strict=True))
            videos[number] = {"id": number, **sides, "file_names": [""] * len(masks)}
    missing = next((number for number in counts if number not in videos), None)
    if missing is not None:
        raise FieldError(f"video {missing} has no run lengths, so its size is unknown; pass the video")
    return {"videos": list(videos.values()), "annotations": annotations}
