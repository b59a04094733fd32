"""TAO-Amodal (Hsieh et al., 2023): amodal boxes of tracks, in TAO's variant of COCO's JSON. Read where it has masks.

``videos``, ``images`` (video_id, frame_index), ``tracks`` (id, category_id, video_id) and ``annotations``: image_id,
track_id, category_id, video_id, ``bbox`` and ``area`` of what is visible, ``amodal_bbox`` (x, y, width, height; it may
reach out of the image), ``amodal_is_uncertain``, ``visibility`` (0 to 1) and ``out_of_frame``; see the data set's card
and the toolkit in its repository. It documents boxes, not masks: the visible masks of its videos are those of BURST. A
file of boxes alone is refused.

Written files have masks, too: ``segmentation`` is the visible one in COCO's run lengths, as BURST's converter to TAO
has it, ``amodal_segmentation`` and, on a padded canvas, ``amodal_full_segmentation`` are keys of ours. ``visibility``
is the share of the amodal pixels (on the canvas, if there is one) that is visible; ``bbox`` is zeros where nothing is.
They keep the rest of a clip in a key "vidamodal" of each video, and read back as they were; names of pictures are made
up, and a category "object" stands for no label. A track without amodal masks, or visible where its amodal mask is not
known, is refused. Assumed: 1 frame a second, as TAO is annotated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.annotation_files import Picture, Record, annotation_files, read_annotations
from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import (
    KEY,
    Categories,
    FrameVideo,
    box_json,
    frame_clips,
    mark,
    rle_json,
    write_json,
)
from vidamodal.formats.tracks.parse import parse_rle, parse_video
from vidamodal.formats.videos.coco import add_frames
from vidamodal.media.json_records import FieldError, optional, required
from vidamodal.types import InputError, Rle, Track, VideoInfo

NAME = "TAO-Amodal"
SIGN = 'a JSON with "tracks" and "amodal_bbox"'
ID = "tao-amodal"
HOLDS = frozenset({"visible", "amodal", "amodal_full", "confidence"})
SINGLE_MASK, IS_FILE = False, True
_FOLDERS = ("frames", "images", "")
_FPS = 1.0


def recognise(path: Path) -> Fit:
    """Whether it is an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each video; its key is the last part of its name, or the whole where two are the same."""
    return frame_clips(read_annotations(path, _files(path)), _FOLDERS, _masks, _FPS, NAME, kind_known=True)


def _files(path: Path) -> list[Path]:
    found = annotation_files(path, ("images", "videos", "tracks", "amodal_bbox"))
    return found or annotation_files(path, (mark(ID),))


def _masks(record: Record, picture: Picture, video: FrameVideo, where: str) -> Mapping[str, Rle]:
    if "amodal_segmentation" not in record:
        raise FieldError(
            f"{where}boxes without amodal masks, as TAO-Amodal has them; the visible masks of its videos are BURST's "
            "files, read those"
        )
    sizes = {
        "segmentation": (picture.height, picture.width),
        "amodal_segmentation": (picture.height, picture.width),
        "amodal_full_segmentation": _canvas(video.record),
    }
    kinds = ("visible", "amodal", "amodal_full")
    return {
        kind: parse_rle(mask, *sizes[key], f"{where}{key}")
        for kind, key in zip(kinds, sizes, strict=True)
        if (mask := optional(record, key, dict, where)) is not None
    }


def _canvas(record: Record | None) -> tuple[int, int]:
    return (0, 0) if record is None else parse_video(required(record, "video", dict, f"{KEY}.")).canvas_size


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes the JSON. InputError if an amodal mask is not known."""
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
                masks = _known(source.key, track, t)
                if masks is not None:
                    annotation = {"id": len(document["annotations"]) + 1, "image_id": first + t, "track_id": place}
                    document["annotations"].append({**annotation, **of_track, **_annotation(*masks, clip.video)})
    records = [{**record, "synset": "unknown"} for record in categories.records()]
    write_json(out, ID, {"licenses": [], **document, "categories": records})


def _known(key: str, track: Track, t: int) -> tuple[Rle | None, Rle, Rle | None] | None:
    """The visible, amodal and padded amodal masks of a frame; None if there is nothing to annotate."""
    seen = track.visible[t]
    whole = None if track.amodal is None else track.amodal[t]
    full = None if track.amodal_full is None else track.amodal_full[t]
    if track.amodal is None or (whole is None and seen is not None and seen.area()):
        raise InputError(
            f"clip {key}: the amodal mask of track {track.id} in frame {t} is not known, and TAO-Amodal annotates "
            "amodal boxes; write --to burst or coco"
        )
    return (seen, whole, full) if whole is not None and (full or whole).area() else None


def _annotation(seen: Rle | None, whole: Rle, full: Rle | None, video: VideoInfo) -> Record:
    top, left, _, _ = video.canvas or (0, 0, 0, 0)
    outer = full or whole
    x, y, width, height = box_json(outer)
    x, y = (x - left, y - top) if full else (x, y)
    visible = seen or Rle.empty(video.height, video.width)
    return {
        "bbox": box_json(visible),
        "area": visible.area(),
        "iscrowd": 0,
        "amodal_bbox": [x, y, width, height],
        "amodal_is_uncertain": False,
        "visibility": round(visible.area() / outer.area(), 4),
        "out_of_frame": outer.area() > whole.area(),
        "segmentation": rle_json(visible),
        "amodal_segmentation": rle_json(whole),
        **({} if full is None else {"amodal_full_segmentation": rle_json(full)}),
    }
