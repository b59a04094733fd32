"""Anchors: true amodal masks of some frames of a track, from which its other frames are completed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidamodal.tracks import read_tracks
from vidamodal.types import ClipTracks, InputError, Rle, Track

AnchorInput = str | os.PathLike[str] | ClipTracks
"""A tracks.json, or tracks in memory, whose amodal masks are anchors."""

RECALLED = 4
"""Number of anchors outside a chunk of frames from which the chunk is completed: those nearest to it."""


@dataclass(frozen=True)
class Anchors:
    """True amodal masks by track id and frame number. An empty mask says that the object is not in the image."""

    masks: Mapping[int, Mapping[int, Rle]] = field(default_factory=dict)

    def of(self, track: int) -> Mapping[int, Rle]:
        """Return the anchors of a track by frame number."""
        return self.masks.get(track, {})

    def show(self, track: int) -> bool:
        """Return whether an anchor shows any of a track."""
        return any(mask.area() > 0 for mask in self.of(track).values())

    def instead(self, track: Track) -> Sequence[Rle | None]:
        """Return the visible masks of a track, with its anchors in their frames."""
        anchors = self.of(track.id)
        return [anchors.get(t, mask) for t, mask in enumerate(track.visible)]

    def near(self, track: int, frames: range) -> list[int]:
        """Return the frames of the nearest anchors of a track before and after some frames, in order."""
        outside = [t for t in self.of(track) if t not in frames]
        nearest = sorted(outside, key=lambda t: max(frames.start - t, t - frames.stop + 1))[:RECALLED]
        return sorted(nearest)

    @property
    def note(self) -> str:
        """How many anchors there are."""
        frames, tracks = sum(map(len, self.masks.values())), len(self.masks)
        return f"anchors: {frames} frame{'s' * (frames != 1)} of {tracks} track{'s' * (tracks != 1)}"


def read_anchors(source: AnchorInput, clip: ClipTracks) -> Anchors:
    """Return the amodal masks of some tracks as anchors of a clip's tracks of the same ids.

    Args:
        source: A tracks.json, or tracks in memory. Amodal masks that are null are no anchors.
        clip: The tracks to complete.

    Raises:
        InputError: If there is no amodal mask, if size, length or a track's id do not fit the clip, or if an anchor
            leaves out visible pixels of its object.
    """
    given = source if isinstance(source, ClipTracks) else read_tracks(Path(source))
    name = "anchors=" if isinstance(source, ClipTracks) else str(source)
    ours, theirs = clip.video, given.video
    if (theirs.height, theirs.width, theirs.frames) != (ours.height, ours.width, ours.frames):
        raise InputError(
            f"{name}: anchors for {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, but the clip has "
            f"{ours.frames} of {ours.height} x {ours.width}. Pass anchors of this video."
        )
    visible = {track.id: track.visible for track in clip.tracks}
    masks: dict[int, dict[int, Rle]] = {}
    for track in given.tracks:
        anchors = {t: mask for t, mask in enumerate(track.amodal or ()) if mask is not None}
        if anchors and track.id not in visible:
            listed = ", ".join(map(str, sorted(visible))) or "none"
            raise InputError(f"{name}: track {track.id} has anchors, but no visible masks (tracks: {listed}).")
        for t, anchor in anchors.items():
            if _contradicts(anchor, visible[track.id][t]):
                raise InputError(
                    f"{name}: the anchor of track {track.id} in frame {t} leaves out pixels of its visible mask. Add "
                    "them to the anchor, or correct the visible mask."
                )
        if anchors:
            masks[track.id] = anchors
    if not masks:
        raise InputError(f"{name}: every amodal mask is null, so there is no anchor. Leave anchors= out.")
    return Anchors(masks)


def _contradicts(anchor: Rle, visible: Rle | None) -> bool:
    return visible is not None and bool((visible.decode() & ~anchor.decode()).any())
