"""The masks of one video from its folder: maps of ids, or a folder of masks for each object.

Folders named by a number, as in 000, have it as their id. The one number in another name, as in obj_1 and 002_dog, is
the id, and the rest the label, if no other folder has this number. Objects of all other names get the ids that are
left, from 1, and their names as labels.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from vidamodal.formats.annotation_files import count
from vidamodal.formats.base import VideoContext
from vidamodal.formats.build import MaskCollector, clip_from_id_maps
from vidamodal.formats.masks.folder_layout import Content, image_video, mask_folders
from vidamodal.formats.masks.frame_files import FramePairs, mask_files, pair_with_frames, single_frame_note
from vidamodal.media.image_kinds import split_numbers
from vidamodal.media.pixel_values import read_id_maps, read_object_masks
from vidamodal.types import MAX_TRACK_ID, ClipTracks, InputError, VideoInfo


@dataclass(frozen=True)
class ObjectFolder:
    """The folder, or the file, with the masks of one object."""

    path: Path
    id: int
    label: str | None = None


@dataclass(frozen=True)
class MaskFolder:
    """The mask files of one video, not yet read."""

    folder: Path
    files: tuple[Path, ...]
    objects: tuple[ObjectFolder, ...] | None
    """The folders of objects; None for maps of ids."""
    notes: tuple[str, ...]
    """What was assumed, without the name of the folder."""

    def own_video(self) -> VideoInfo:
        """Return a video that ends with the last mask, for masks whose video is unknown."""
        length = pair_with_frames(self.files, None).length
        return image_video(self.files[0], self.folder.absolute().name, length)

    def read(self, video: VideoContext) -> ClipTracks:
        """Return the masks as visible ones.

        Raises:
            InputError: A mask cannot be read, or belongs to no frame of the video.
        """
        pairs = pair_with_frames(self.files, video)
        clip = self._read_maps(pairs, video.info) if self.objects is None else self._read_objects(pairs, video.info)
        notes = [*self.notes, *(() if pairs.note is None else (pairs.note,))]
        if len(frames := set(pairs.frames.values())) == 1 and video.info.frames > 1:
            notes.append(single_frame_note(frames.pop(), video.info.frames))
        name = self.folder.absolute().name
        return replace(clip, notes=(*(f"{name}: {note}" for note in notes), *clip.notes))

    def _read_maps(self, pairs: FramePairs, video: VideoInfo) -> ClipTracks:
        files = pairs.in_folder(self.folder)
        maps = read_id_maps(files, video, self.folder)
        return clip_from_id_maps(video, maps.maps, self.folder.absolute().name, notes=maps.notes)

    def _read_objects(self, pairs: FramePairs, video: VideoInfo) -> ClipTracks:
        objects = self.objects or ()
        collector, notes = MaskCollector(video), list[str]()
        for thing in objects:
            masks = read_object_masks(pairs.in_folder(thing.path), video, thing.path)
            notes += masks.notes
            for frame, mask in masks.masks:
                collector.add(thing.id, frame, mask)
        labels = {thing.id: thing.label for thing in objects}
        tracks = tuple(replace(track, label=labels[track.id]) for track in collector.clip().tracks)
        more = (f"{self.folder.absolute().name}: the same holds for {count(len(notes) - 3, 'more folder')}",)
        return ClipTracks(video, tracks, notes=tuple(notes) if len(notes) <= 3 else (*notes[:3], *more))


def open_mask_folder(folder: Path, content: Content, video: VideoContext | None) -> MaskFolder:
    """Return the mask files of one video.

    Raises:
        InputError: The folder holds both maps and folders of objects, or the ids of objects are not clear.
    """
    files, note = mask_files(folder, video)
    folders = mask_folders(folder)[0]
    if files and folders:
        raise InputError(f"{folder}: contains both images and folders ({folders[0].name}); pass one or the other")
    if content == "maps":
        return MaskFolder(folder, tuple(files), None, () if note is None else (note,))
    objects, naming = name_objects(folders)
    found = {thing.path.name: mask_files(thing.path, video) for thing in objects}
    notes = [naming, *(f"{name}: {note}" for name, (_, note) in found.items() if note is not None)]
    inside = tuple(file for files, _ in found.values() for file in files)
    return MaskFolder(folder, inside, tuple(objects), tuple(note for note in notes if note is not None))


def name_objects(paths: Sequence[Path]) -> tuple[list[ObjectFolder], str | None]:
    """Return the objects of folders or files, and how their names were understood; None for plain ids.

    Raises:
        InputError: Two names stand for one id, or an id is too large.
    """
    names = {path: path.name if path.is_dir() else path.stem for path in paths}
    plain = {path: int(name) for path, name in names.items() if name.isascii() and name.isdecimal()}
    _check_ids(plain)
    others = {path: name for path, name in names.items() if path not in plain}
    own = _own_numbers(others, set(plain.values()))
    free = (number for number in itertools.count(1) if number not in {*plain.values(), *own.values()})
    objects = [
        ObjectFolder(path, plain[path])
        if path in plain
        else ObjectFolder(path, own[path], _label(name))
        if path in own
        else ObjectFolder(path, next(free), name)
        for path, name in names.items()
    ]
    if not others:
        return objects, None
    listed = ", ".join(f"{thing.path.name} is {thing.id}" for thing in objects[:5])
    kind = "folder" if paths[0].is_dir() else "file"
    return objects, f"a {kind} for each of {len(objects)} objects: {listed}{', ...' if len(objects) > 5 else ''}"


def _own_numbers(names: Mapping[Path, str], taken: Set[int]) -> dict[Path, int]:
    """The numbers in names that hold a single one, which is neither taken nor in another of the names."""
    found = {path: split_numbers(name)[1] for path, name in names.items()}
    numbers = {path: int(digits[0]) for path, digits in found.items() if len(digits) == 1}
    counts = Counter(numbers.values())
    return {
        path: number
        for path, number in numbers.items()
        if number not in taken and counts[number] == 1 and number <= MAX_TRACK_ID
    }


def _label(name: str) -> str | None:
    """The text around the number in the name of an object's folder."""
    texts = (text.strip(" _-.") for text in split_numbers(name)[0])
    return " ".join(text for text in texts if text) or None


def _check_ids(ids: Mapping[Path, int]) -> None:
    names: dict[int, str] = {}
    for folder, number in ids.items():
        if number > MAX_TRACK_ID:
            raise InputError(f"{folder}: the folder of an object must be named by its id, such as 000; rename it")
        if number in names:
            raise InputError(f"{folder}: {names[number]} has the same id; give every object a different one")
        names[number] = folder.name
