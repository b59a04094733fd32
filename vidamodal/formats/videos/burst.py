"""BURST (Athar et al., WACV 2023): masks of TAO's videos in one JSON, see ANNOTATION_FORMAT.md of BURST-benchmark.

``sequences``: width, height, seq_name, dataset, fps, ``all_image_paths``, ``annotated_image_paths``, ``segmentations``
(for every annotated frame an object: track id -> ``rle``, COCO's counts without the size, ``is_gt``, ``score``) and
``track_category_ids`` (track id -> category). Read, and written. A clip has all images as frames, whose rate is assumed
to be ``fps``; in those that are not annotated nothing is known. Masks may overlap.

It does not say whether masks are visible or amodal. Written files keep the rest of a clip in a key "vidamodal" of each
sequence, and read back as they were; frames in which no mask is known are not annotated, a category "object" stands for
no label, names of pictures are made up, and ``score`` is the confidence, or 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from vidamodal.formats.annotation_files import (
    Picture,
    Record,
    annotation_files,
    checked_picture,
    find_pictures,
    read_document,
    read_labels,
)
from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import (
    KEY,
    Categories,
    assembled,
    fps_of,
    keyed,
    kind_of,
    mark,
    masks_of,
    naming,
    packed,
    picture_names,
    plain_keys,
    record_of,
    write_json,
)
from vidamodal.formats.tracks.check import check_video
from vidamodal.formats.tracks.parse import parse_rle
from vidamodal.media.json_records import FieldError, check_type, excerpt, optional, required
from vidamodal.types import ClipTracks, Rle, VideoInfo

NAME = "BURST"
SIGN = 'a JSON with "sequences" and "annotated_image_paths"'
ID = "burst"
HOLDS = frozenset({"visible", "amodal", "confidence"})
SINGLE_MASK = IS_FILE = True
_FOLDERS = ("frames/train", "frames/val", "frames/test", "frames", "images", "train", "val", "test", "")
_DATASET = "vidamodal"
_FPS = 30.0


def recognise(path: Path) -> Fit:
    """Whether it is an annotation file with these keys, or a folder with one in it."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each sequence; its key is its name, after its data set's where two have the same."""
    file, document = read_document(path, _files(path))
    with naming(file):
        labels = read_labels(document)
        entries = [check_type(s, dict, f"sequences[{k}]") for k, s in enumerate(required(document, "sequences", list))]
        places = [f"sequences[{k}]." for k in range(len(entries))]
        names = [_name(entry, at) for entry, at in zip(entries, places, strict=True)]
        records = [record_of(entry, at) for entry, at in zip(entries, places, strict=True)]
        keys = [
            name if record is None else required(record, "key", str, f"{KEY}.")
            for name, record in zip(plain_keys(names), records, strict=True)
        ]
        frames = [_pictures(entry, name, at) for entry, name, at in zip(entries, names, places, strict=True)]
    return keyed(
        (
            Clip(
                key,
                partial(_tracks, file, key, entry, pictures, record, labels),
                partial(find_pictures, file, pictures, _FOLDERS),
                kind_known=record is not None,
            )
            for key, entry, pictures, record in zip(keys, entries, frames, records, strict=True)
        ),
        file,
    )


def _files(path: Path) -> list[Path]:
    found = annotation_files(path, ("sequences", "segmentations", "annotated_image_paths"))
    return found or annotation_files(path, (mark(ID),))


def _name(entry: Record, where: str) -> str:
    return f"{required(entry, 'dataset', str, where)}/{required(entry, 'seq_name', str, where)}"


def _pictures(entry: Record, name: str, where: str) -> list[Picture]:
    paths = required(entry, "all_image_paths", list, where)
    height, width = (required(entry, side, int, where) for side in ("height", "width"))
    if not paths:
        raise FieldError(f"{where}all_image_paths is empty; list the frames")
    pictures = []
    for t, path in enumerate(paths):
        at = f"{where}all_image_paths[{t}]"
        pictures.append(checked_picture(t, f"{name}/{check_type(path, str, at)}", height, width, at))
    return pictures


def _tracks(
    file: Path,
    key: str,
    entry: Record,
    pictures: Sequence[Picture],
    record: Record | None,
    labels: Mapping[int, str],
) -> ClipTracks:
    with naming(file, f"sequence {key}: "):
        height, width = pictures[0].height, pictures[0].width
        info = VideoInfo(key, height, width, len(pictures), fps_of(entry, _FPS, ""))
        check_video(info)
        annotated = _annotated(entry)
        categories = optional(entry, "track_category_ids", dict) or {}
        names = {_number(text): labels.get(optional(categories, text, int)) for text in categories}
        seen: dict[int, dict[int, Rle]] = {number: {} for number in names}
        for t, frame in zip(annotated, required(entry, "segmentations", list), strict=True):
            for text, mask in check_type(frame, dict, f"segmentations, frame {t}").items():
                where = f"frame {t}, track {text}"
                counts = required(check_type(mask, dict, where), "rle", str, f"{where}: ")
                rle = parse_rle({"size": [height, width], "counts": counts}, height, width, where)
                names.setdefault(_number(text), None)
                of_track = seen.setdefault(_number(text), {})
                if rle.area():
                    of_track[t] = rle
        return assembled(info, record, {kind_of(record): seen}, names, set(annotated), NAME)


def _annotated(entry: Record) -> list[int]:
    """The frames that are annotated."""
    frames = {path: t for t, path in enumerate(entry["all_image_paths"])}
    paths = [check_type(p, str, "annotated_image_paths[]") for p in required(entry, "annotated_image_paths", list)]
    strange = [path for path in paths if path not in frames]
    if strange:
        raise FieldError(f"annotated_image_paths: {excerpt(strange[0])} is not in all_image_paths; add it there")
    if len(paths) != len(required(entry, "segmentations", list)) or len(set(paths)) < len(paths):
        raise FieldError("annotated_image_paths and segmentations must be lists of one length, without a double image")
    return [frames[path] for path in paths]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise FieldError(f"the track id {excerpt(text)} is no integer; number the tracks")
    return int(text)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Writes the JSON; every clip fits."""
    sequences: list[Record] = []
    categories = Categories()
    for number, source in enumerate(clips):
        clip = source.tracks()
        video, ids = clip.video, [track.id for track in clip.tracks]
        paths = [name.rpartition("/")[2] for name in picture_names(source.key, video.frames)]
        masks = [masks_of(track, kind) for track in clip.tracks]
        annotated = [t for t in range(video.frames) if any(mask[t] is not None for mask in masks)]
        sequences.append(
            {
                "id": number,
                "dataset": _DATASET,
                "seq_name": source.key,
                "width": video.width,
                "height": video.height,
                "fps": video.fps,
                "all_image_paths": paths,
                "annotated_image_paths": [paths[t] for t in annotated],
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
                "track_category_ids": {str(track.id): categories[track.label] for track in clip.tracks},
                "segmentations": [_frame(clip, masks, t) for t in annotated],
                KEY: packed(source.key, clip, ids, kind),
            }
        )
    records = [{**record, "synset": "unknown", "def": "", "synonyms": []} for record in categories.records()]
    write_json(out, ID, {"sequences": sequences, "categories": records, "split": "test"})


def _frame(clip: ClipTracks, masks: Sequence[Sequence[Rle | None]], t: int) -> Record:
    found: Record = {}
    for track, of_track in zip(clip.tracks, masks, strict=True):
        mask = of_track[t]
        if mask is not None and mask.area():
            score = None if track.confidence is None else track.confidence[t]
            found[str(track.id)] = {
                "rle": mask.counts,
                "is_gt": score is None,
                "score": 1.0 if score is None else score,
            }
    return found
