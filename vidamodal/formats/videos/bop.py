"""Scenes of BOP, the benchmark for poses of rigid objects, in its format by scene. Read only.

A scene holds ``mask_visib/000003_000001.png`` and ``mask/000003_000001.png``, the visible and the amodal mask of the
second object of image 3; ``scene_gt.json`` with the models (``obj_id``) of the objects of each image; optionally
``scene_gt_info.json`` with their pixels, and ``rgb/`` or ``gray/`` with the images. A path is a scene, a split with
scenes, or a data set with splits. Based on docs/bop_datasets_format.md of thodan/bop_toolkit.

An object is a track, with its model's number as id. If images hold several objects of a model, these are identified by
their order in the image, tracks are numbered from 1, and that is reported. Without ``scene_gt.json`` the place in the
image is the id. An image's number is paired with a frame like the name of a mask (see ``frame_files``). Masks are
unknown in images that ``scene_gt.json`` does not list, and where the file of the mask is missing, unless
``scene_gt_info.json`` counts no pixel of it. An object that is not among those of a listed image is not in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vidamodal.formats.annotation_files import errors_in
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import MaskCollector, unite_visible
from vidamodal.formats.json_layouts import load_json
from vidamodal.formats.masks.folder_layout import image_video
from vidamodal.formats.masks.frame_files import pair_with_frames
from vidamodal.media.images import is_image
from vidamodal.media.json_records import check_type, optional, required
from vidamodal.media.listing import find_in_folder, list_folder, list_folders
from vidamodal.media.pixel_values import read_object_masks
from vidamodal.media.video import open_video
from vidamodal.types import MAX_TRACK_ID, ClipTracks, Frame, InputError, VideoInfo

ID = "bop"
NAME = "BOP"
SIGN = "a scene of mask_visib, mask and scene_gt.json, or folders of scenes"
_GT, _INFO = "scene_gt.json", "scene_gt_info.json"
_KINDS = {"visible": ("mask_visib", "px_count_visib"), "amodal": ("mask", "px_count_all")}
"""Folder and key of the count of pixels, by kind of mask."""
_MASK = re.compile("([0-9]{1,9})_([0-9]{1,9})")


def recognise(path: Path) -> Fit:
    """Match a scene, a split or a data set."""
    return certain_if(path.is_dir() and any(True for _ in _scenes(path)))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each scene; its key is the scene's name, after its split's if there are several splits."""
    scenes = dict(_scenes(path))
    return {
        name: Clip(name, partial(_tracks, folder, video), partial(_frames, folder)) for name, folder in scenes.items()
    }


def _scenes(path: Path) -> Iterator[tuple[str, Path]]:
    if _is_scene(path):
        yield path.absolute().name, path
        return
    for folder in list_folders(path):
        if _is_scene(folder):
            yield folder.name, folder
        else:
            yield from ((f"{folder.name}-{scene.name}", scene) for scene in list_folders(folder) if _is_scene(scene))


def _is_scene(folder: Path) -> bool:
    has_record = (folder / _GT).is_file() or (folder / _INFO).is_file()
    return has_record and all((folder / masks).is_dir() for masks, _ in _KINDS.values())


@dataclass(frozen=True)
class _Object:
    """An object of an image."""

    place: int
    model: int | None
    counts: Mapping[str, int | None]
    """Pixels by kind of mask; None if unknown."""


def _tracks(folder: Path, video: VideoContext | None) -> ClipTracks:
    images = _images(folder)
    stems = {number: folder / f"{number:06d}.png" for number in images}
    if video is None and (pictures := _pictures(folder)) is not None:
        reader = open_video(pictures)
        video = VideoContext(reader.info, reader.stems)
    if video is None:
        first = next(iter(find_in_folder(folder, "mask_visib/*.png")), None)
        if first is None:
            raise InputError(f"{folder / 'mask_visib'}: no masks in this folder; pass the whole scene")
        video = VideoContext(image_video(first, folder.absolute().name, max(images) + 1))
    pairs = pair_with_frames(list(stems.values()), video)
    frames = {number: pairs.frames[path] for number, path in stems.items()}
    ids, note = _ids(images)
    notes = [text for text in (pairs.note, note) if text is not None]
    clips = {kind: _masks(folder, kind, images, frames, ids, video.info) for kind in _KINDS}
    labels = {ids[key]: None if key[0] is None else f"obj_{key[0]:06d}" for key in ids}
    tracks = [
        replace(seen, amodal=whole.visible, label=labels[seen.id])
        for seen, whole in zip(clips["visible"].tracks, clips["amodal"].tracks, strict=True)
    ]
    name = folder.absolute().name
    all_notes = (*(f"{name}: {text}" for text in notes), *clips["visible"].notes, *clips["amodal"].notes)
    return unite_visible(ClipTracks(video.info, tuple(tracks), notes=all_notes), NAME)


_Key = tuple[int | None, int]
"""The model of an object, if it is known, and which of its objects in the image it is."""


def _keyed(objects: list[_Object]) -> dict[_Key, _Object]:
    """The objects of one image by what identifies them in others."""
    seen: Counter[int] = Counter()
    keyed: dict[_Key, _Object] = {}
    for thing in objects:
        place = thing.place if thing.model is None else seen[thing.model]
        keyed[(thing.model, place)] = thing
        if thing.model is not None:
            seen[thing.model] += 1
    return keyed


def _ids(images: Mapping[int, list[_Object]]) -> tuple[dict[_Key, int], str | None]:
    """The id of every object, and what was assumed; None for nothing."""
    keys = sorted(
        {key for objects in images.values() for key in _keyed(objects)}, key=lambda key: (key[0] or 0, key[1])
    )
    if all(model is None for model, _ in keys):
        return {key: key[1] for key in keys}, f"no {_GT}; objects are identified by their place in the image"
    if all(place == 0 for _, place in keys):
        return {key: key[0] or 0 for key in keys}, None
    note = "objects of the same model are identified by their order in each image; tracks are numbered from 1"
    return {key: number for number, key in enumerate(keys, 1)}, note


def _masks(
    folder: Path,
    kind: str,
    images: Mapping[int, list[_Object]],
    frames: Mapping[int, int],
    ids: Mapping[_Key, int],
    video: VideoInfo,
) -> ClipTracks:
    """The masks of one kind, as visible ones."""
    name = _KINDS[kind][0]
    files: dict[int, dict[int, Path]] = {number: {} for number in ids.values()}
    collector, notes = MaskCollector(video, ids.values()), list[str]()
    nothing = np.zeros((video.height, video.width), dtype=bool)
    masks = {match: file for file in list_folder(folder / name) if is_image(file) and (match := _mask_of(file))}
    for image, objects in images.items():
        keyed = _keyed(objects)
        for key, number in ids.items():
            thing = keyed.get(key)
            file = None if thing is None else masks.get((image, thing.place))
            if file is not None:
                files[number][frames[image]] = file
            elif thing is None or thing.counts.get(kind) == 0:
                collector.add(number, frames[image], nothing)
    for number, of_object in files.items():
        if of_object:
            read = read_object_masks(of_object, video, folder / name)
            notes += [note for note in read.notes if note not in notes]
            for frame, mask in read.masks:
                collector.add(number, frame, mask)
    return replace(collector.clip(), notes=tuple(notes))


def _mask_of(file: Path) -> tuple[int, int] | None:
    match = _MASK.fullmatch(file.stem)
    return None if match is None else (int(match[1]), int(match[2]))


def _images(folder: Path) -> dict[int, list[_Object]]:
    """The objects of each image."""
    models, info = (_records(folder / name) for name in (_GT, _INFO))
    images = {number: _listed_objects(folder, number, models, info) for number in sorted(models or info)}
    if not images:
        raise InputError(f"{folder / _GT}: lists no images; pass the whole scene")
    return images


def _listed_objects(
    folder: Path, image: int, models: Mapping[int, list[Any]], info: Mapping[int, list[Any]]
) -> list[_Object]:
    objects = []
    listed, counted = models.get(image, []), info.get(image, [])
    for place in range(max(len(listed), len(counted))):
        model: int | None = None
        counts: dict[str, int | None] = {}
        if place < len(listed):
            with errors_in(folder / _GT, f"image {image}, object {place}: "):
                model = required(check_type(listed[place], dict, "it"), "obj_id", int)
                if not 0 <= model <= MAX_TRACK_ID:
                    raise InputError(f"{folder / _GT}: obj_id {model} is not between 0 and {MAX_TRACK_ID}")
        if place < len(counted):
            with errors_in(folder / _INFO, f"image {image}, object {place}: "):
                record = check_type(counted[place], dict, "it")
                counts = {kind: optional(record, key, int) for kind, (_, key) in _KINDS.items()}
        objects.append(_Object(place, model, counts))
    return objects


def _records(file: Path) -> dict[int, list[Any]]:
    """The lists of a JSON file by image; empty if there is no such file."""
    if not file.is_file():
        return {}
    with errors_in(file):
        records = check_type(load_json(file), dict, "its content")
        if not all(re.fullmatch("[0-9]{1,7}", key) for key in records):
            raise InputError(f"{file}: its keys must be numbers of images; write the file again")
        return {int(key): check_type(objects, list, f"image {key}") for key, objects in records.items()}


def _pictures(folder: Path) -> Path | None:
    found = (folder / name for name in ("rgb", "gray"))
    return next((f for f in found if f.is_dir() and any(map(is_image, list_folder(f)))), None)


def _frames(folder: Path) -> Iterator[Frame] | None:
    pictures = _pictures(folder)
    return None if pictures is None else open_video(pictures).frames()
