"""TAO-Amodal (Hsieh et al., 2023): amodal boxes of tracks, in TAO's variant of COCO's JSON. Read and written.

``videos``, ``images`` (video_id, frame_index), ``tracks`` (id, category_id, video_id) and ``annotations``: image_id,
track_id, category_id, video_id, ``bbox`` and ``area`` of the visible part, ``amodal_bbox`` (x, y, width, height; it may
leave the image), ``amodal_is_uncertain``, ``visibility`` (0 to 1) and ``out_of_frame``; see the data set's card and the
toolkit in its repository.

Its own files have no masks: the amodal boxes are read, and visible masks are unknown (those of its videos are in
BURST's files). ``segmentation`` is read as the visible mask where it is run lengths; TAO's polygons are outlines of
boxes and are not read. ``frame_annotations`` says how images become frames. The frame rate is assumed to be 1 frame per
second, the rate of TAO's annotations.

Written files have masks: ``segmentation`` is the visible mask in COCO's run lengths, as in BURST's converter to TAO;
``amodal_segmentation`` and, on a padded canvas, ``amodal_full_segmentation`` are keys of this project. ``visibility``
is the share of the amodal pixels (on the canvas, if there is one) that is visible; ``bbox`` is zeros if nothing is
visible. Files carry a record of each video (see ``clip_record``) and round-trip unchanged; file names are generated,
and "object" is the category of tracks without a label. Tracks without amodal masks, or visible where the amodal mask is
unknown, are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.annotation_files import ImageEntry, Record, read_annotations
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import KEY
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.formats.videos.frame_annotations import FrameFormat, FrameVideo, add_frames, frame_clips
from vidamodal.formats.videos.writing import Categories, box_record, write_json
from vidamodal.media.json_records import optional, required
from vidamodal.tracks.check import DECIMALS
from vidamodal.tracks.parse import parse_box, parse_rle, parse_video
from vidamodal.tracks.write import rle_record
from vidamodal.types import Box, InputError, Rle, Track, VideoInfo

ID = "tao-amodal"
NAME = "TAO-Amodal"
SIGN = 'a JSON with "tracks" and "amodal_bbox"'
HOLDS = FRAME_VALUES | {"visible", "amodal", "amodal_full"}
SINGLE_MASK, IS_FILE = False, True


def recognise(path: Path) -> Fit:
    """Match a file with ``tracks`` and ``amodal_bbox`` in its annotations, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if(layout.keys >= {"images", "videos", "tracks"} and layout.has("annotations", "amodal_bbox"))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the last part of its name, or all of it where two end alike."""
    annotations = read_annotations(path, ID, _fit)
    records = [record for of_image in annotations.records.values() for record in of_image]
    if records and not any("amodal_segmentation" in record for record in records):
        annotations = annotations.note(
            "it has amodal boxes and no masks; visible masks of its videos are in BURST's files"
        )
    form = FrameFormat(NAME, ("frames", "images", ""), _masks, fps=1.0, read_box=_box)
    return frame_clips(annotations, form, kind_known=True, video=video)


def _masks(record: Record, picture: ImageEntry, video: FrameVideo, where: str) -> Mapping[str, Rle | None]:
    size = picture.height, picture.width
    sizes = {"segmentation": size, "amodal_segmentation": size, "amodal_full_segmentation": _canvas_size(video.record)}
    kinds = ("visible", "amodal", "amodal_full")
    return {
        kind: parse_rle(mask, *sizes[key], f"{where}{key}")
        for kind, key in zip(kinds, sizes, strict=True)
        if isinstance(mask := record.get(key), dict)  # TAO's polygons are the outlines of its boxes
    }


def _box(record: Record, where: str) -> Box | None:
    """The amodal box of an annotation; None if it has no area."""
    entry = optional(record, "amodal_bbox", list, where)
    if entry is None:
        return None
    x, y, width, height = parse_box(entry, f"{where}amodal_bbox")
    if not all(math.isfinite(value) for value in (x, y, x + width, y + height)):
        return None
    x0, y0, x1, y1 = (round(value, DECIMALS) for value in (x, y, x + width, y + height))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _canvas_size(record: Record | None) -> tuple[int, int]:
    return (0, 0) if record is None else parse_video(required(record, "video", dict, f"{KEY}.")).canvas_size


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the JSON."""
    document: dict[str, list[Record]] = {"videos": [], "images": [], "tracks": [], "annotations": []}
    categories = Categories()
    for number, source in enumerate(clips, 1):
        clip = source.tracks()
        start = len(document["tracks"]) + 1
        first = add_frames(document, source.key, clip, number, range(start, start + len(clip.tracks)))
        document["videos"][-1] |= {"neg_category_ids": [], "not_exhaustive_category_ids": [], "metadata": {}}
        for place, track in enumerate(clip.tracks, start):
            of_track = {"category_id": categories[track.label], "video_id": number}
            document["tracks"].append({"id": place, **of_track})
            for t in range(clip.video.frames):
                masks = _masks_in_frame(source.key, track, t)
                if masks is not None:
                    annotation = {"id": len(document["annotations"]) + 1, "image_id": first + t, "track_id": place}
                    document["annotations"].append({**annotation, **of_track, **_annotation(*masks, clip.video)})
    records = [{**record, "synset": "unknown"} for record in categories.records()]
    write_json(out, ID, {"licenses": [], **document, "categories": records})


def _masks_in_frame(key: str, track: Track, t: int) -> tuple[Rle | None, Rle, Rle | None] | None:
    """The visible, amodal and padded amodal masks of a frame; None if there is nothing to annotate."""
    seen = track.visible[t]
    whole = None if track.amodal is None else track.amodal[t]
    full = None if track.amodal_full is None else track.amodal_full[t]
    if track.amodal is None or (whole is None and seen is not None and seen.area()):
        raise InputError(
            f"clip {key}: the amodal mask of track {track.id} in frame {t} is unknown, and TAO-Amodal annotates amodal "
            "boxes; choose the format burst or coco"
        )
    return (seen, whole, full) if whole is not None and (full or whole).area() else None


def _annotation(seen: Rle | None, whole: Rle, full: Rle | None, video: VideoInfo) -> Record:
    top, left, _, _ = video.canvas or (0, 0, 0, 0)
    outer = full or whole
    x, y, width, height = box_record(outer)
    x, y = (x - left, y - top) if full else (x, y)
    visible = seen or Rle.empty(video.height, video.width)
    return {
        "bbox": box_record(visible),
        "area": visible.area(),
        "iscrowd": 0,
        "amodal_bbox": [x, y, width, height],
        "amodal_is_uncertain": False,
        "visibility": round(visible.area() / outer.area(), 4),
        "out_of_frame": outer.area() > whole.area(),
        "segmentation": rle_record(visible),
        "amodal_segmentation": rle_record(whole),
        **({} if full is None else {"amodal_full_segmentation": rle_record(full)}),
    }
