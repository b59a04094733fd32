"""Tracks built from what a format states: absent masks, id maps, visible pixels outside the amodal mask."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from vidamodal.rle import union
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

MasksByFrame = Mapping[int, Rle | None]
"""The masks of an object that have a pixel, by frame; None where it is seen, but its mask is unknown."""


def build_tracks(video: VideoInfo, annotated: Container[int], masks: Mapping[int, MasksByFrame]) -> tuple[Track, ...]:
    """Return the tracks of objects whose masks are known in some frames.

    In an annotated frame, an object without a mask is known to be fully occluded or absent (an empty mask), but only
    after it was first seen; before, and in other frames, it is unknown (None).

    Args:
        video: The video.
        annotated: The frames that are annotated for all objects.
        masks: What is known of each object, by its id.
    """
    return tuple(_build_track(video, number, annotated, masks[number]) for number in sorted(masks))


def _build_track(video: VideoInfo, number: int, annotated: Container[int], known: MasksByFrame) -> Track:
    empty, first = Rle.empty(video.height, video.width), min(known, default=video.frames)
    absent = [empty if t in annotated and t > first else None for t in range(video.frames)]
    return Track(number, tuple(known.get(t, other) for t, other in enumerate(absent)))


def mark_unknown(masks: Iterable[MutableMapping[int, Rle | None]], frames: Collection[int]) -> None:
    """Make the masks of objects unknown in frames in which an annotation was left out that may be theirs.

    Args:
        masks: The masks of each object, by frame. An object is unknown anyway before its first mask.
        frames: The frames.
    """
    for of_object in masks:
        first = min(of_object, default=None)
        for frame in frames:
            if first is not None and frame > first:
                of_object.setdefault(frame, None)


def add_part(masks: MutableMapping[int, Rle | None], frame: int, part: Rle | None) -> None:
    """Add a part to the mask of an object in a frame; None if something is there whose mask is unknown."""
    before = masks.get(frame)
    masks[frame] = union([before, part]) if before and part else before or part


class ObjectLabels(dict[int, str | None]):
    """The label of each object, by its number: the first one that an annotation states."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[int, str] = {}

    def add(self, number: int, label: str | None) -> None:
        """Add the label of one annotation of an object; None if it has none."""
        first = self.get(number)
        if first is None:
            self[number] = label
        elif label not in (None, first):
            self._changed.setdefault(number, f"{label}")

    def notes(self) -> list[str]:
        """Return a note on objects whose labels differ from annotation to annotation, if there are any."""
        if not self._changed:
            return []
        number, label = next(iter(self._changed.items()))
        more = f", and {len(self._changed) - 1} more" if len(self._changed) > 1 else ""
        return [f"object {number} is labelled {self[number]} and {label}{more}; the first label is kept"]


class MaskCollector:
    """The masks of a video's objects, collected in any order.

    An object is known in the frames for which it has a mask, even an empty one, and in those that are annotated for all
    objects. The latter count for nothing if they are a sparse set in which each frame lists only objects that are new
    there, as in the validation set of YouTube-VOS: the others are unknown then.

    Args:
        video: The video.
        ids: The ids of objects that may have no mask; others are added with their masks.
    """

    def __init__(self, video: VideoInfo, ids: Iterable[int] = ()) -> None:
        self.video = video
        self.annotated: set[int] = set()
        """Frames that are annotated for all objects."""
        self._own: dict[int, set[int]] = {}
        self.masks: dict[int, dict[int, Rle]] = {number: {} for number in ids}

    def add(self, number: int, frame: int, mask: Bool[np.ndarray, "h w"]) -> None:
        """Add the mask of one object, which may be empty."""
        of_object = self.masks.setdefault(number, {})
        self._own.setdefault(number, set()).add(frame)
        if mask.any():
            of_object[frame] = Rle.encode(mask)

    @property
    def lists_new_objects(self) -> bool:
        """True if the annotated frames are some of the video's, each with objects that no earlier one has."""
        seen: set[int] = set()
        for frame in sorted(self.annotated):
            present = {number for number, masks in self.masks.items() if frame in masks}
            if not present or present & seen:
                return False
            seen |= present
        return 1 < len(self.annotated) < self.video.frames

    def clip(self) -> ClipTracks:
        """Return everything that was added."""
        for_all = set() if self.lists_new_objects else self.annotated
        tracks = [
            _build_track(self.video, number, for_all | self._own.get(number, set()), self.masks[number])
            for number in sorted(self.masks)
        ]
        return ClipTracks(self.video, tuple(tracks))


def clip_from_id_maps(
    video: VideoInfo,
    maps: Iterable[tuple[int, Int[np.ndarray, "h w"]]],
    name: str,
    ids: Sequence[int] = (),
    notes: Sequence[str] = (),
) -> ClipTracks:
    """Return a clip from maps of ids; 0 is background.

    Args:
        video: The video.
        maps: Pairs of a frame and its map.
        name: The name of the file or folder, for notes.
        ids: The ids of objects that may be in none of the maps.
        notes: How the values of the maps were understood.
    """
    collector = MaskCollector(video, set(ids) - {0})
    for frame, values in maps:
        values = np.asfortranarray(values)
        collector.annotated.add(frame)
        runs = values.ravel(order="F")
        runs = np.append(runs[:-1][runs[1:] != runs[:-1]], runs[-1:])
        for number in set(runs.tolist()) - {0}:
            collector.add(number, frame, values == number)
    note = f"{name}: each frame lists only objects that are new there; the others are unknown"
    return replace(collector.clip(), notes=(*notes, *((note,) if collector.lists_new_objects else ())))


def unite_visible(clip: ClipTracks, format_name: str) -> ClipTracks:
    """Return a clip with every visible mask inside the amodal one.

    Annotators and renderers let visible pixels stick out of the amodal mask. Such pixels are certain, so they are added
    to it; the provenance counts them under "united" and names the format under "layout".
    """
    tracks, masks, pixels = [], 0, 0
    for track in clip.tracks:
        amodal = list(track.amodal or ())
        for t, (seen, whole) in enumerate(zip(track.visible, amodal, strict=False)):
            if seen is not None and whole is not None:
                amodal[t] = united = union([seen, whole])
                added = united.area() - whole.area()
                masks, pixels = masks + (added > 0), pixels + added
        tracks.append(track if track.amodal is None else replace(track, amodal=tuple(amodal)))
    counts = {"united": {"masks": masks, "pixels": pixels}} if pixels else {}
    return replace(clip, tracks=tuple(tracks), provenance={**clip.provenance, "layout": format_name, **counts})
