"""MOViD-A as C2F-Seg publishes it: Kubric scenes with the amodal mask of every object. Read and written.

A scene is a folder ``<split>/<video>/``, for example ``test/17/``, with these files:

- ``metadata.json``: ``metadata.num_frames``, ``height`` and ``width`` are required. ``instances[k]`` describes object
  k: ``category`` is its label, ``bboxes`` are boxes of the visible part as shares of the image, [top, left, bottom,
  right] with exclusive ends, for the frames in ``bbox_frames``, and ``visibility`` counts visible pixels.
- ``rgba_full_00000.png``: the frames.
- ``segmentation_full_00000.png``: the visible masks; 0 is background and k + 1 is object k.
- ``segmentation_<k>_00000.png``: the amodal mask of object k, with the value k + 1 inside.

The published loaders need two lists beside the splits: ``<split>_instance.txt`` has a line ``video_k_value`` for each
object that is ever visible, and ``<split>_frame_list.txt`` has ``video_k_frame`` wherever its amodal mask has a pixel.

All objects of a scene are assumed to be listed, so it is exhaustive. If metadata has no ``frame_rate``, the frame rate
is assumed to be 12 frames per second, Kubric's default. The id of a track is its pixel value, k + 1. The reader follows
the published loaders and was not tested on the published archive.

Written sets store ids, keys, labels, order, provenance and exhaustiveness under a key "vidamodal" of metadata.json,
which those loaders ignore, and read back unchanged. The writer rejects unknown masks (null), visible masks that
overlap, more than 255 objects, and clips without images. ``convert`` puts all clips into the split "test".
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vidamodal.formats.base import Clip, Fit, MaskKind, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.media.files import temporary_folder, write_text
from vidamodal.media.images import read_image, write_image
from vidamodal.media.json_records import FieldError, check_type, optional, required
from vidamodal.media.listing import list_folders
from vidamodal.media.mask_images import read_id_map, write_id_map
from vidamodal.tracks.check import check_video
from vidamodal.types import MAX_TRACK_ID, ClipTracks, Frame, FrameOrder, InputError, Rle, Track, VideoInfo

ID = "movid-a"
NAME = "MOViD-A"
SIGN = "a folder of metadata.json and segmentation_full_00000.png, or folders of such folders (train/0, test/0, ...)"
HOLDS = frozenset({"visible", "amodal"})
SINGLE_MASK = IS_FILE = False
_FPS = 12.0
_MAX_OBJECTS = 255
_METADATA = "metadata.json"
_SPLIT = "[A-Za-z]+"
_KEY = "[A-Za-z0-9][A-Za-z0-9._-]*"
"""Keys that may become part of a path."""


# Reading


def recognise(path: Path) -> Fit:
    """Match the folder of a video, of a split or of a whole data set."""
    return certain_if(path.is_dir() and any(True for _ in _videos(path)))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each video.

    Its key is the one it had when it was written, else its folder's name, after its split's ("test-0") if ``path``
    holds splits.
    """
    clips: dict[str, Clip] = {}
    for name, folder in _videos(path):
        document = _metadata(folder)
        with _metadata_errors(folder):
            key = optional(_own(document), "key", str, "vidamodal.") or name
            if not re.fullmatch(_KEY, key) or key in clips:
                raise FieldError(f"the key {key!r} is not a plain name, or is used twice")
        clips[key] = Clip(key, partial(_tracks, folder), partial(_frames, folder))
    return clips


def _videos(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of every video: the path itself, or folders one or two levels below it."""
    if _is_video(path):
        yield path.absolute().name, path
        return
    for folder in list_folders(path):
        if _is_video(folder):
            yield folder.name, folder
        elif re.fullmatch(_SPLIT, folder.name):  # other formats have a folder for each image
            yield from ((f"{folder.name}-{video.name}", video) for video in list_folders(folder) if _is_video(video))


def _is_video(folder: Path) -> bool:
    return (folder / _METADATA).is_file() and (folder / "segmentation_full_00000.png").is_file()


def _metadata(folder: Path) -> dict[str, Any]:
    with _metadata_errors(folder):
        document: dict[str, Any] = check_type(json.loads((folder / _METADATA).read_bytes()), dict, "its content")
        return document


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the metadata that only this project writes."""
    return optional(document, "vidamodal", dict) or {}


@contextmanager
def _metadata_errors(folder: Path) -> Iterator[None]:
    """Re-raise ValueErrors from metadata.json as InputError."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        reason = error or "nested too deeply"
        raise InputError(f"{folder / _METADATA}: {reason}; use the video's own metadata.json") from None


def _tracks(folder: Path) -> ClipTracks:
    document = _metadata(folder)
    with _metadata_errors(folder):
        own = _own(document)
        video = _video(document, own, folder)
        objects = _objects(required(document, "instances", list), own)
        order = _order(own, {number for number, _ in objects}, video.frames)
        is_exhaustive = optional(own, "exhaustive", bool) is not False
        provenance = optional(own, "provenance", dict) or {}
    visible: list[list[Rle]] = [[] for _ in objects]
    amodal: list[list[Rle]] = [[] for _ in objects]
    for t in range(video.frames):
        ids = read_id_map(_existing(folder, f"segmentation_full_{t:05d}.png"), video)
        for k in range(len(objects)):
            whole = read_id_map(_existing(folder, f"segmentation_{k}_{t:05d}.png"), video)
            visible[k].append(Rle.encode(ids == k + 1))
            amodal[k].append(Rle.encode(whole == k + 1))
    tracks = tuple(
        Track(number, tuple(visible[k]), tuple(amodal[k]), label=label) for k, (number, label) in enumerate(objects)
    )
    return unite_visible(ClipTracks(video, tracks, is_exhaustive, order, provenance), NAME)


def _video(document: Mapping[str, Any], own: Mapping[str, Any], folder: Path) -> VideoInfo:
    record = required(document, "metadata", dict)
    height, width, frames = (required(record, key, int, "metadata.") for key in ("height", "width", "num_frames"))
    rate = optional(record, "frame_rate", (int, float), "metadata.")
    name = optional(own, "path", str, "vidamodal.") or folder.absolute().name
    video = VideoInfo(name, height, width, frames, _FPS if rate is None else float(rate))
    check_video(video)
    return video


def _objects(instances: list[Any], own: Mapping[str, Any]) -> list[tuple[int, str | None]]:
    """Id and label of every object."""
    count = len(instances)
    if count > _MAX_OBJECTS:
        raise FieldError(f"{count} instances, more than the {_MAX_OBJECTS} that its PNGs can hold")
    ids = optional(own, "ids", list, "vidamodal.") or list(range(1, count + 1))
    if not all(type(k) is int and 0 <= k <= MAX_TRACK_ID for k in ids) or not len(ids) == len(set(ids)) == count:
        raise FieldError(
            f"vidamodal.ids are not {count} different integers from 0 to {MAX_TRACK_ID}, one for each instance"
        )
    return [
        (number, optional(check_type(record, dict, f"instances[{k}]"), "category", str, f"instances[{k}]."))
        for k, (number, record) in enumerate(zip(ids, instances, strict=True))
    ]


def _order(own: Mapping[str, Any], ids: set[int], frames: int) -> tuple[FrameOrder, ...] | None:
    order = optional(own, "order", list, "vidamodal.")
    if order is None:
        return None

    def is_pair(pair: Any) -> bool:
        return type(pair) is list and len(pair) == 2 and all(type(k) is int and k in ids for k in pair)

    pairs = [pair for frame in order for pair in check_type(frame, list, "vidamodal.order[]")]
    if len(order) != frames or not all(map(is_pair, pairs)):
        raise FieldError(f"vidamodal.order is not a list of pairs of ids for each of {frames} frames")
    return tuple(tuple((front, back) for front, back in frame) for frame in order)


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise InputError(f"{folder / name}: this file is missing; pass the whole video")
    return folder / name


def _frames(folder: Path) -> Iterator[Frame] | None:
    if not (folder / "rgba_full_00000.png").is_file():
        return None
    document = _metadata(folder)
    with _metadata_errors(folder):
        frames = _video(document, {}, folder).frames
    return (read_image(_existing(folder, f"rgba_full_{t:05d}.png")) for t in range(frames))


# Writing


def write(out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
    """Write the videos of a split "test"."""
    write_split(out, clips, "test")


def write_split(folder: str | os.PathLike[str], clips: Iterable[Clip], split: str) -> int:
    """Write clips as the videos 0, 1, ... of a new split, atomically.

    Args:
        folder: The data set; it is created if necessary.
        clips: Clips with their frames.
        split: The name of the split, letters only.

    Returns:
        The number of videos.

    Raises:
        InputError: The split exists, a clip has no frames, or holds what the format cannot (see above).
    """
    folder = Path(folder)
    if not re.fullmatch(_SPLIT, split):
        raise InputError(f"split {split!r}: use letters only, such as train or test")
    if (folder / split).exists():
        raise InputError(f"{folder / split}: already exists; choose another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    instances: list[str] = []
    frames: list[str] = []
    count = 0
    with temporary_folder(folder) as temporary:
        beside = temporary / split
        beside.mkdir()
        for count, clip in enumerate(clips, 1):
            video = beside / str(count - 1)
            for k, thing in enumerate(_write_video(video, clip)):
                if any(mask.area() for mask in thing.visible):
                    instances.append(f"{video.name}_{k}_{k + 1}")
                frames += [f"{video.name}_{k}_{t}" for t, mask in enumerate(thing.amodal) if mask.area()]
        if hasattr(os, "sync"):  # once for thousands of small files, before they get their names; not on Windows
            os.sync()
        os.replace(beside, folder / split)
    write_text(folder / f"{split}_frame_list.txt", "".join(f"{line}\n" for line in frames))
    write_text(folder / f"{split}_instance.txt", "".join(f"{line}\n" for line in instances))
    return count


@dataclass(frozen=True)
class _Object:
    """A track whose masks are all known."""

    id: int
    label: str | None
    visible: tuple[Rle, ...]
    amodal: tuple[Rle, ...]


def _write_video(folder: Path, clip: Clip) -> list[_Object]:
    folder.mkdir()
    tracks = clip.tracks()
    objects = _known_objects(clip.key, tracks)
    _write_masks(folder, clip.key, tracks.video, objects)
    _write_frames(folder, clip, tracks.video)
    _write_metadata(folder, clip.key, tracks, objects)
    return objects


def _known_objects(key: str, clip: ClipTracks) -> list[_Object]:
    if not re.fullmatch(_KEY, key):
        raise InputError(f"clip {key!r}: the key is not a plain name; rename the clip")
    if len(clip.tracks) > _MAX_OBJECTS:
        raise InputError(f"clip {key}: {len(clip.tracks)} objects; MOViD-A holds at most {_MAX_OBJECTS}")

    def known(track: Track, kind: str, masks: tuple[Rle | None, ...]) -> tuple[Rle, ...]:
        if None in masks:
            raise InputError(
                f"clip {key}: the {kind} mask of track {track.id} in frame {masks.index(None)} is unknown, which "
                "MOViD-A cannot hold; it needs ground truth for every frame"
            )
        return tuple(mask for mask in masks if mask is not None)

    return [
        _Object(t.id, t.label, known(t, "visible", t.visible), known(t, "amodal", t.amodal or (None,)))
        for t in clip.tracks
    ]


def _write_masks(folder: Path, key: str, video: VideoInfo, objects: Sequence[_Object]) -> None:
    for t in range(video.frames):
        ids = np.zeros((video.height, video.width), dtype=np.uint8)
        for k, thing in enumerate(objects):
            seen = thing.visible[t].decode()
            if ids[seen].any():
                raise InputError(
                    f"clip {key}: the visible masks of the tracks {objects[ids[seen].max() - 1].id} and {thing.id} "
                    f"overlap in frame {t}, which MOViD-A cannot hold; assign each pixel to one of them"
                )
            ids[seen] = k + 1
            write_id_map(folder / f"segmentation_{k}_{t:05d}.png", thing.amodal[t].decode() * np.uint8(k + 1))
        write_id_map(folder / f"segmentation_full_{t:05d}.png", ids)


def _write_frames(folder: Path, clip: Clip, video: VideoInfo) -> None:
    frames = clip.frames()
    if frames is None:
        raise InputError(f"clip {clip.key}: it has no images, which MOViD-A needs; add its video")
    count = 0
    for count, frame in enumerate(frames, 1):
        if frame.shape != (video.height, video.width, 3):
            raise InputError(
                f"clip {clip.key}: frames of {frame.shape[0]} x {frame.shape[1]} pixels, masks of {video.height} x "
                f"{video.width}; they must be of one size"
            )
        rgba = np.pad(frame, ((0, 0), (0, 0), (0, 1)), constant_values=255)
        write_image(folder / f"rgba_full_{count - 1:05d}.png", rgba)
    if count != video.frames:
        raise InputError(f"clip {clip.key}: {count} RGB frames for {video.frames} frames of masks; use the whole video")


def _write_metadata(folder: Path, key: str, clip: ClipTracks, objects: Sequence[_Object]) -> None:
    video = clip.video
    document = {
        "metadata": {
            "video_name": folder.name,
            "num_frames": video.frames,
            "height": video.height,
            "width": video.width,
            "num_instances": len(objects),
            "frame_rate": video.fps,
        },
        "instances": [_instance(thing, video) for thing in objects],
        "vidamodal": {
            "key": key,
            "path": video.path,
            "exhaustive": clip.exhaustive,
            "ids": [thing.id for thing in objects],
            "order": clip.order,
            "provenance": dict(clip.provenance),
        },
    }
    write_text(folder / _METADATA, json.dumps(document, allow_nan=False) + "\n")


def _instance(thing: _Object, video: VideoInfo) -> dict[str, Any]:
    boxes = {t: box for t, mask in enumerate(thing.visible) if (box := mask.box()) is not None}
    sides = (video.height, video.width, video.height, video.width)
    return {
        "category": thing.label,
        "visibility": [mask.area() for mask in thing.visible],
        "bboxes": [[_share(edge, side) for edge, side in zip(box, sides, strict=True)] for box in boxes.values()],
        "bbox_frames": list(boxes),
    }


def _share(edge: int, side: int) -> float:
    """A share of a side from which the published loaders, which truncate, get the pixel back."""
    share = edge / side
    return share if int(side * share) == edge else math.nextafter(share, 1)
