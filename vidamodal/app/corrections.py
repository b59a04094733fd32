"""Corrections of a result: true amodal masks of some frames, which become anchors of the next completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vidamodal.rle import union
from vidamodal.types import ClipTracks, InputError, Mask, Rle, Track


@dataclass(frozen=True)
class Corrections:
    """Corrected amodal masks by track id and frame; an empty mask says that the object is gone."""

    masks: Mapping[int, Mapping[int, Rle]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of corrected object-frames."""
        return sum(map(len, self.masks.values()))

    def with_mask(self, track: Track, frame: int, painted: Mask) -> tuple[Corrections, str | None]:
        """Return the corrections with one more, and a note if the mask was completed.

        Visible pixels are certain, so those that were left out are added.

        Args:
            track: The track.
            frame: Number of the frame, from 0.
            painted: The corrected amodal mask.

        Raises:
            InputError: If the mask is empty; an object that is gone is marked as such.
        """
        mask, visible = Rle.encode(painted), track.visible[frame]
        if not mask.area():
            raise InputError(f"object {track.id}: nothing is painted in frame {frame}. Paint it, or mark it as gone.")
        whole = mask if visible is None else union([mask, visible])
        added = whole.area() - mask.area()
        note = f"object {track.id}: {added} visible pixels were added to the painted mask" if added else None
        return self._with(track.id, frame, whole), note

    def with_gone(self, track: Track, frame: int) -> Corrections:
        """Return the corrections with an object that is not in the image of a frame.

        Raises:
            InputError: If some of the object is visible there.
        """
        visible = track.visible[frame]
        if visible is not None and visible.area():
            raise InputError(f"object {track.id} is visible in frame {frame}, so it cannot be gone there. Paint it.")
        height, width = next((m.height, m.width) for m in track.amodal or track.visible if m is not None)
        return self._with(track.id, frame, Rle.empty(height, width))

    def without(self, track: int, frame: int) -> Corrections:
        """Return the corrections without that of a frame.

        Raises:
            InputError: If there is none.
        """
        if frame not in self.masks.get(track, {}):
            raise InputError(f"object {track} has no correction in frame {frame}.")
        left = {t: mask for t, mask in self.masks[track].items() if t != frame}
        others = {number: masks for number, masks in self.masks.items() if number != track}
        return Corrections({**others, track: left} if left else others)

    def as_tracks(self, clip: ClipTracks) -> ClipTracks:
        """Return the corrections as a tracks.json: the visible masks of a clip, and amodal masks where corrected."""
        tracks = tuple(
            Track(
                track.id,
                track.visible,
                tuple(self.masks.get(track.id, {}).get(t) for t in range(clip.video.frames)),
                label=track.label,
            )
            for track in clip.tracks
        )
        return replace(clip, tracks=tracks, order=None, provenance={}, notes=())

    def _with(self, track: int, frame: int, mask: Rle) -> Corrections:
        return Corrections({**self.masks, track: {**self.masks.get(track, {}), frame: mask}})
