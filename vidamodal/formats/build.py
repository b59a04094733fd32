"""Tracks built from what a format states: absent masks, visible pixels outside the amodal mask."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from pycocotools import mask as coco

from vidamodal.rle import pack
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

MasksByFrame = Mapping[int, Rle]
"""The masks of an object that have a pixel, by frame."""


def tracks_from_masks(
    video: VideoInfo, annotated: Container[int], masks: Mapping[int, MasksByFrame]
) -> tuple[Track, ...]:
    """Return the tracks of objects whose masks are known in some frames.

    In an annotated frame, an object without a mask is known to be fully occluded or absent (an empty mask), but only
    after its first mask; before, and in other frames, it is unknown (None).

    Args:
        video: The video.
        annotated: The frames that are annotated for all objects.
        masks: The masks with a pixel, by object id.
    """
    empty = Rle.empty(video.height, video.width)

    def track(number: int) -> Track:
        known = masks[number]
        first = min(known, default=video.frames)
        absent = [empty if t in annotated and t > first else None for t in range(video.frames)]
        return Track(number, tuple(known.get(t, other) for t, other in enumerate(absent)))

    return tuple(track(number) for number in sorted(masks))


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
                amodal[t] = united = _union(seen, whole)
                added = united.area() - whole.area()
                masks, pixels = masks + (added > 0), pixels + added
        tracks.append(track if track.amodal is None else replace(track, amodal=tuple(amodal)))
    counts = {"united": {"masks": masks, "pixels": pixels}} if pixels else {}
    return replace(clip, tracks=tuple(tracks), provenance={**clip.provenance, "layout": format_name, **counts})


def _union(one: Rle, other: Rle) -> Rle:
    merged = coco.merge([pack(one), pack(other)], intersect=False)
    return Rle(one.height, one.width, merged["counts"].decode("ascii"))
