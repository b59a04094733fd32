"""TAO-Amodal (Hsieh et al., 2023): amodal boxes of tracks, in TAO's variant of COCO's JSON. Read and written.

``videos``, ``images`` (video_id, frame_index), ``tracks`` (id, category_id, video_id) and ``annotations``: image_id,
track_id, category_id, video_id, ``bbox`` and ``area`` of the visible part, ``amodal_bbox`` (x, y, width, height; it may
leave the image), ``amodal_is_uncertain``, ``visibility`` (0 to 1) and ``out_of_frame``; see the data set's card and the
toolkit in its repository. It documents boxes, not masks: the visible masks of its videos are those of BURST. Only files
with masks are read. Assumed: 1 frame per second, the rate of TAO's annotations.

Written files have masks, too: ``segmentation`` is the visible mask in COCO's run lengths, as in BURST's converter to
TAO; ``amodal_segmentation`` and, on a padded canvas, ``amodal_full_segmentation`` are keys of this project.
``visibility`` is the share of the amodal pixels (on the canvas, if there is one) that is visible; ``bbox`` is zeros if
nothing is visible. Files carry a record of each video (see ``clip_record``) and read back as they were; file names of
pictures are made up, and "object" is the category of tracks without a label. Refused: a track without amodal masks, or
visible where its amodal mask is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.annotation_files import Picture, Record, annotation_files, read_annotations
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import KEY
from vidamodal.formats.videos.frame_annotations import FrameFormat, FrameVideo, add_frames, frame_clips
from vidamodal.formats.videos.writing import Categories, box_record, description, write_json
from vidamodal.media.json_records import FieldError, optional, required
from vidamodal.tracks.parse import parse_rle, parse_video
from vidamodal.tracks.write import rle_record
from vidamodal.types import InputError, Rle, Track, VideoInfo

ID = "tao-amodal"
NAME = "TAO-Amodal"
SIGN = 'a JSON with "tracks" and "amodal_bbox"'
HOLDS = FRAME_VALUES | {"visible", "amodal", "amodal_full"}
SINGLE_MASK, IS_FILE = False, True


def recognise(path: Path) -> Fit:
    """Match an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video; its key is the last part of its name, or all of it where two end alike."""
    form = FrameFormat(NAME, ("frames", "images", ""), _masks, fps=1.0)
    return frame_clips(read_annotations(path, _files(path)), form, kind_known=True)


def _files(path: Path) -> list[Path]:
    found = annotation_files(path, ("images", "videos", "tracks", "amodal_bbox"))
    return found or annotation_files(path, (description(ID),))


def _masks(record: Record, picture: Picture, video: FrameVideo, where: str) -> Mapping[str, Rle]:
    if "amodal_segmentation" not in record:
        raise FieldError(
            f"{where}boxes without amodal masks, as in TAO-Amodal's own files; the visible masks of its videos are in "
            "BURST's files, pass those"
        )
    size = picture.height, picture.width
    sizes = {"segmentation": size, "amodal_segmentation": size, "amodal_full_segmentation": _canvas_size(video.record)}
    kinds = ("visible", "amodal", "amodal_full")
    return {
        kind: parse_rle(mask, *sizes[key], f"{where}{key}")
        for kind, key in zip(kinds, sizes, strict=True)
        if (mask := optional(record, key, dict, where)) is not None
    }


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
