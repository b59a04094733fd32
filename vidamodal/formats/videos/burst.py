"""BURST (Athar et al., WACV 2023): masks of TAO's videos in one JSON. Read and written.

``sequences``: width, height, seq_name, dataset, fps, ``all_image_paths``, ``annotated_image_paths``, ``segmentations``
(for every annotated frame an object: track id -> ``rle``, COCO's counts without the size, ``is_gt``, ``score``) and
``track_category_ids`` (track id -> category); see ANNOTATION_FORMAT.md of BURST-benchmark. All images are frames of a
clip; with a video, ``frame_places`` finds the frame of each. Frames that are not annotated are unknown. Masks may
overlap. The format does not state whether masks are visible or amodal. ``fps`` is assumed to be the rate of all images.

Written files carry a record of each sequence (see ``clip_record``) and round-trip unchanged. Frames in which no mask is
known are not annotated, "object" is the category of tracks without a label, file names are generated, and ``score`` is
the confidence, or 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vidamodal.formats.annotation_files import (
    ImageEntry,
    Record,
    checked_image,
    errors_in,
    find_images,
    outside_note,
    read_document,
    read_labels,
)
from vidamodal.formats.base import FRAME_VALUES, Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.clip_record import KEY, build_clip, clips_by_key, find_record, make_record, masks_of, stored_kind
from vidamodal.formats.json_layouts import Layout, match_files
from vidamodal.formats.videos.frame_annotations import GAPS, choose_videos, clip_keys, read_fps
from vidamodal.formats.videos.frame_places import FramePlaces, has_gaps, numbers_in_names, place_frames
from vidamodal.formats.videos.writing import Categories, frame_names, write_json
from vidamodal.media.json_records import (
    FieldError,
    Identity,
    check_type,
    excerpt,
    optional,
    optional_identity,
    required,
    required_integer,
)
from vidamodal.tracks.check import check_video
from vidamodal.tracks.parse import parse_rle
from vidamodal.types import ClipTracks, Rle, VideoInfo

ID = "burst"
NAME = "BURST"
SIGN = 'a JSON with "sequences" and "annotated_image_paths"'
HOLDS = FRAME_VALUES | {"visible", "amodal"}
SINGLE_MASK = IS_FILE = True
_FOLDERS = ("frames/train", "frames/val", "frames/test", "frames", "images", "train", "val", "test", "")
_FPS = 30.0


def recognise(path: Path) -> Fit:
    """Match a file whose ``sequences`` have segmentations and annotated_image_paths, or a folder with one in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if(layout.has("sequences", "segmentations", "annotated_image_paths"))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each sequence; its key is its name, after that of its data set where two have the same."""
    file, document = read_document(path, ID, _fit)
    with errors_in(file):
        labels = read_labels(document)
        entries = required(document, "sequences", list)
        sequences = [_sequence(file, entry, labels, f"sequences[{k}]") for k, entry in enumerate(entries)]
        keys = clip_keys([s.name for s in sequences], [s.record for s in sequences])
        notes = outside_note(picture for sequence in sequences for picture in sequence.pictures)
        pairs = choose_videos(keys, sequences, video, notes)
        if video is not None and len(pairs) == 1:
            pairs = [(key, sequence.placed(video)) for key, sequence in pairs]
        elif any(s.record is None and has_gaps(numbers_in_names(s.image_names)) for s in sequences):
            notes.append(GAPS)
    lines = tuple(f"{file.name}: {note}" for note in notes)
    return clips_by_key(
        (
            Clip(
                key,
                partial(_tracks, key, sequence, lines),
                partial(find_images, file, sequence.pictures, _FOLDERS),
                kind_known=sequence.record is not None,
            )
            for key, sequence in pairs
        ),
        file,
    )


@dataclass(frozen=True)
class _Sequence:
    file: Path
    entry: Record
    name: str
    pictures: Sequence[ImageEntry]
    places: FramePlaces
    """The frame of each image."""
    length: int
    """Number of frames."""
    record: Record | None
    labels: Mapping[Identity, str]

    @property
    def image_names(self) -> list[str]:
        return [picture.name for picture in self.pictures]

    def placed(self, video: VideoContext) -> _Sequence:
        """Return the sequence with its images at the frames of a video that they show."""
        if self.record is not None:
            return self
        places = place_frames(self.image_names, None, video)
        return replace(self, places=places, length=video.info.frames)


def _sequence(file: Path, entry: Record, labels: Mapping[Identity, str], where: str) -> _Sequence:
    check_type(entry, dict, where)
    name = f"{required(entry, 'dataset', str, f'{where}.')}/{required(entry, 'seq_name', str, f'{where}.')}"
    record, pictures = find_record(entry, f"{where}."), _pictures(entry, name, f"{where}.")
    places = FramePlaces(tuple(range(len(pictures))))
    return _Sequence(file, entry, name, pictures, places, len(pictures), record, labels)


def _pictures(entry: Record, name: str, where: str) -> list[ImageEntry]:
    paths = required(entry, "all_image_paths", list, where)
    height, width = (required_integer(entry, side, where) for side in ("height", "width"))
    if not paths:
        raise FieldError(f"{where}all_image_paths is empty; list the frames")
    pictures = []
    for t, path in enumerate(paths):
        place = f"{where}all_image_paths[{t}]"
        pictures.append(checked_image(t, f"{name}/{check_type(path, str, place)}", height, width, place))
    return pictures


def _tracks(key: str, sequence: _Sequence, notes: tuple[str, ...]) -> ClipTracks:
    entry, record = sequence.entry, sequence.record
    with errors_in(sequence.file, f"sequence {key}: "):
        height, width = sequence.pictures[0].height, sequence.pictures[0].width
        info = VideoInfo(key, height, width, sequence.length, read_fps(entry, _FPS, ""))
        check_video(info)
        annotated = [sequence.places.frames[place] for place in _annotated_images(entry)]
        categories = optional(entry, "track_category_ids", dict) or {}
        labels = {_number(text): _label(sequence, categories, text) for text in categories}
        masks: dict[int, dict[int, Rle]] = {number: {} for number in labels}
        for t, frame in zip(annotated, required(entry, "segmentations", list), strict=True):
            for text, mask in check_type(frame, dict, f"segmentations, frame {t}").items():
                where = f"frame {t}, track {text}"
                counts = required(check_type(mask, dict, where), "rle", str, f"{where}: ")
                rle = parse_rle({"size": [height, width], "counts": counts}, height, width, where)
                labels.setdefault(_number(text), None)
                of_track = masks.setdefault(_number(text), {})
                if rle.area():
                    of_track[t] = rle
        clip = build_clip(info, record, {stored_kind(record): masks}, labels, set(annotated), NAME)
    placed = sequence.places.note
    return replace(clip, notes=notes if placed is None else (*notes, f"{sequence.file.name}: {placed}"))


def _label(sequence: _Sequence, categories: Record, text: str) -> str | None:
    category = optional_identity(categories, text, "track_category_ids.")
    return None if category is None else sequence.labels.get(category)


def _annotated_images(entry: Record) -> list[int]:
    """The places of the annotated images among all."""
    frames = {path: t for t, path in enumerate(entry["all_image_paths"])}
    paths = [check_type(p, str, "annotated_image_paths[]") for p in required(entry, "annotated_image_paths", list)]
    unknown = [path for path in paths if path not in frames]
    if unknown:
        raise FieldError(f"annotated_image_paths: {excerpt(unknown[0])} is not in all_image_paths; add it there")
    if len(paths) != len(required(entry, "segmentations", list)) or len(set(paths)) < len(paths):
        raise FieldError("annotated_image_paths and segmentations must be lists of one length without a repeated image")
    return [frames[path] for path in paths]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise FieldError(f"the track id {excerpt(text)} is not an integer; number the tracks")
    return int(text)


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the JSON; every clip fits."""
    categories = Categories()
    sequences = [_written(number, clip.key, clip.tracks(), kind, categories) for number, clip in enumerate(clips)]
    records = [{**record, "synset": "unknown", "def": "", "synonyms": []} for record in categories.records()]
    write_json(out, ID, {"sequences": sequences, "categories": records, "split": "test"})


def _written(number: int, key: str, clip: ClipTracks, kind: MaskKind, categories: Categories) -> Record:
    video = clip.video
    paths = [name.rpartition("/")[2] for name in frame_names(key, video.frames)]
    masks = [masks_of(track, kind) for track in clip.tracks]
    annotated = [t for t in range(video.frames) if any(mask[t] is not None for mask in masks)]
    return {
        "id": number,
        "dataset": "vidamodal",
        "seq_name": key,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "all_image_paths": paths,
        "annotated_image_paths": [paths[t] for t in annotated],
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {str(track.id): categories[track.label] for track in clip.tracks},
        "segmentations": [_frame(clip, masks, t) for t in annotated],
        KEY: make_record(key, clip, [track.id for track in clip.tracks], kind),
    }


def _frame(clip: ClipTracks, masks: Sequence[Sequence[Rle | None]], t: int) -> Record:
    frame: Record = {}
    for track, of_track in zip(clip.tracks, masks, strict=True):
        mask = of_track[t]
        if mask is not None and mask.area():
            score = None if track.confidence is None else track.confidence[t]
            frame[str(track.id)] = {
                "rle": mask.counts,
                "is_gt": score is None,
                "score": 1.0 if score is None else score,
            }
    return frame
