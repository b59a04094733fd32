"""Following objects with SAM 2 or EdgeTAM from the frames in which they are marked, forward and backward in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vidamodal.inference.finders.sam_stream import SamStream, disjoint_masks
from vidamodal.inference.runtime import FrameRanges, backward_frames
from vidamodal.media.prompts import Prompt
from vidamodal.progress import progress
from vidamodal.types import Rle, VideoInfo

Masks = dict[int, list[Rle | None]]
"""Visible masks of each object, by id and frame; None where they are unknown."""
MODEL = "SAM 2"
"""What reads the frames, in error messages."""


@dataclass(frozen=True)
class Mark:
    """A prompt in one frame that marks an object."""

    key: int
    frame: int
    prompt: Prompt | Rle


@dataclass
class Patience:
    """Counts for how many frames in a row each object has been out of sight."""

    frames: int
    _unseen: dict[int, int] = field(default_factory=dict)

    def lost(self, masks: Mapping[int, Rle]) -> set[int]:
        """Return the objects that have been out of sight for too long, after the masks of another frame."""
        for key, mask in masks.items():
            self._unseen[key] = 0 if mask.area() else self._unseen.get(key, 0) + 1
        gone = {key for key, count in self._unseen.items() if count >= self.frames}
        for key in gone:
            del self._unseen[key]
        return gone


def group(marks: Sequence[Mark], key: Callable[[Mark], int]) -> dict[int, list[Mark]]:
    """Return the marks by a key, each group in the order of the marks."""
    groups: dict[int, list[Mark]] = {}
    for mark in marks:
        groups.setdefault(key(mark), []).append(mark)
    return groups


def follow_backward(
    stream: SamStream,
    video: VideoInfo,
    frames: FrameRanges,
    marks: Sequence[Mark],
    visible: Masks,
    patience: int | None = None,
    quiet: bool = True,
) -> None:
    """Add the visible masks before the frames in which objects are marked.

    The marked frame begins the pass, as it begins the pass forward, so that both have the same mask there. A pixel that
    already belongs to an object keeps it.

    Args:
        stream: A stream backward in time without objects.
        video: The video.
        frames: Its frames.
        marks: One mark for each object.
        visible: The masks so far; masks before the marks are added.
        patience: Number of frames out of sight after which an object is followed no longer; None for no limit.
        quiet: Show no progress bar.
    """
    starts = [mark for mark in marks if mark.frame > 0]
    if not starts:
        return
    rule = None if patience is None else Patience(patience)
    marked, last = group(starts, lambda mark: mark.frame), max(mark.frame for mark in starts)
    for t, frame in progress(backward_frames(frames, MODEL, last + 1), last + 1, "follow back", "frame", quiet):
        pixels = stream.prepare(frame)
        for mark in marked.get(t, ()):
            stream.follow(mark.key, stream.look(t, pixels, mark.prompt, video.height, video.width))
        masks = disjoint_masks(stream.step(t, pixels), video.height, video.width)
        earlier = {mark.key for mark in starts if mark.frame > t}
        for key, mask in _outside({key: masks[key] for key in masks if key in earlier}, visible, t):
            visible[key][t] = mask
        if rule is not None:
            stream.drop(rule.lost(masks))
        if not stream.ids and all(mark.frame >= t for mark in starts):
            return


def _outside(masks: Mapping[int, Rle], visible: Masks, t: int) -> Iterator[tuple[int, Rle]]:
    """The masks without the pixels of objects that have a mask in the frame already."""
    taken = [track[t] for key, track in visible.items() if key not in masks]
    seen = [mask.decode() for mask in taken if mask is not None and mask.area()]
    union = np.any(seen, axis=0) if seen else None
    for key, mask in masks.items():
        yield key, mask if union is None or not mask.area() else Rle.encode(mask.decode() & ~union)
