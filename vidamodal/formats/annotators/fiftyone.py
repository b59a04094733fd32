"""FiftyOne's COCODetectionDataset: ``labels.json`` in COCO's layout and the frames in ``data/``. Read and written.

FiftyOne's own exports are read as COCO (see ``coco``); objects are linked by ``index`` or another field (see
``track_ids``).

Written folders are imported by ``fiftyone.Dataset.from_dir(..., dataset_type=fiftyone.types.COCODetectionDataset,
label_types="segmentations")``. FiftyOne needs the frames, which are written as JPEG. An annotation has one mask in
COCO's run lengths, and fields that FiftyOne keeps: ``index`` and ``track_id``, the number of the track, counted over
all videos, and for predicted amodal masks ``score``, the confidence. FiftyOne ignores ``videos``, with the record of
each clip (see ``clip_record``), with which the folder round-trips unchanged. Clips without frames are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vidamodal.formats.annotation_files import ImageEntry, Record, read_annotations, read_optional_mask
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext
from vidamodal.formats.clip_record import masks_of, stored_kind
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.formats.videos import coco
from vidamodal.formats.videos.frame_annotations import FrameFormat, FrameVideo, add_frames, frame_clips
from vidamodal.formats.videos.writing import Categories, box_record, write_json
from vidamodal.media.images import encode_image
from vidamodal.tracks.write import rle_record
from vidamodal.types import InputError, Rle, VideoInfo

ID = "fiftyone"
NAME = "FiftyOne"
SIGN = "a folder of labels.json in COCO's layout and data/"
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK, IS_FILE = True, False
_LABELS, _DATA = "labels.json", "data"
_QUALITY = 95
"""JPEG quality of written frames."""


def recognise(path: Path) -> Fit:
    """Match such a folder, or the labels.json of a written one."""
    if path.is_file():
        return match_files(path, ID, _no_other)[0]
    is_folder = (path / _DATA).is_dir() and (path / _LABELS).is_file()
    is_known = is_folder and (coco.recognise(path / _LABELS) == Fit.CERTAIN or recognise(path / _LABELS))
    return Fit.EXACT if is_known else Fit.NONE


def _no_other(layout: Layout) -> Fit:
    return Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video, or what ``coco`` reads."""
    labels = path / _LABELS if path.is_dir() else path
    if not match_files(labels, ID, _no_other)[1]:
        return coco.read(labels, video)
    form = FrameFormat(NAME, (_DATA,), _masks, fps=24.0)
    return frame_clips(read_annotations(labels, ID, _no_other), form, kind_known=False, video=video)


def _masks(record: Record, picture: ImageEntry, video: FrameVideo, where: str) -> Mapping[str, Rle | None]:
    return {stored_kind(video.record): read_optional_mask(record, "segmentation", picture, where)}


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write labels.json and data/."""
    document: dict[str, list[Record]] = {"videos": [], "images": [], "annotations": []}
    categories, tracks = Categories(), 0
    (out / _DATA).mkdir()
    for number, source in enumerate(clips, 1):
        clip = source.tracks()
        names = [f"{source.key}_{t:05d}.jpg" for t in range(clip.video.frames)]
        _write_pictures(out / _DATA, source, clip.video, names)
        places = range(tracks + 1, tracks + 1 + len(clip.tracks))
        first = add_frames(document, source.key, clip, number, places, names, kind)
        tracks += len(clip.tracks)
        for place, track in zip(places, clip.tracks, strict=True):
            links = {"category_id": categories[track.label], "track_id": place, "index": place}
            for t, mask in enumerate(masks_of(track, kind)):
                if mask is not None and mask.area():
                    confidence = None if kind == "visible" or track.confidence is None else track.confidence[t]
                    score = {} if confidence is None else {"score": confidence}
                    shape = {"bbox": box_record(mask), "area": mask.area(), "segmentation": rle_record(mask)}
                    ids = {"id": len(document["annotations"]) + 1, "image_id": first + t}
                    document["annotations"].append({**ids, **links, **score, **shape, "iscrowd": 0})
    write_json(out / _LABELS, ID, {**document, "categories": categories.records()})


def _write_pictures(folder: Path, clip: Clip, video: VideoInfo, names: list[str]) -> None:
    frames = clip.frames()
    if frames is None:
        raise InputError(f"clip {clip.key}: it has no frames, which FiftyOne needs; add its video")
    misfit = InputError(
        f"clip {clip.key}: its frames do not fit its masks ({video.frames} frames of {video.height} x {video.width} "
        "pixels); use the whole video"
    )
    count = 0
    for count, frame in enumerate(frames, 1):
        if count > len(names) or frame.shape[:2] != (video.height, video.width):
            raise misfit
        (folder / names[count - 1]).write_bytes(encode_image(frame, ".jpg", quality=_QUALITY))
    if count < len(names):
        raise misfit
