"""Visible masks from points, boxes or the masks of a few frames, by SAM 2 or EdgeTAM in transformers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from vidamodal.inference.finders.base import Finder
from vidamodal.inference.finders.sam_follow import MODEL, Mark, Masks, follow_backward, group
from vidamodal.inference.finders.sam_stream import SamStream, disjoint_masks
from vidamodal.inference.runtime import FrameRanges, Runtime, Timings, open_frames
from vidamodal.media.prompts import Prompt
from vidamodal.progress import progress
from vidamodal.types import ClipTracks, InputError, Track, VideoInfo


class Sam2Finder(Finder):
    """SAM 2 or EdgeTAM on a device. It follows each object from its first prompt on, and back to the first frame.

    The two directions are independent and meet at the prompted frame. If an object has several prompts, the frames
    between them are followed forward.
    """

    ID = "sam2"

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Prompt] = (),
        known: ClipTracks | None = None,
        device: str = "auto",
        memory: int | None = None,
    ) -> None:
        """Move the model to a device.

        Args:
            model: A ``Sam2VideoModel`` or ``EdgeTamVideoModel``; it is switched to evaluation mode.
            prompts: Points or boxes that mark objects.
            known: Tracks with some known visible masks, which are kept and prompt the other frames.
            device: "auto", "cpu", "cuda" or "mps".
            memory: Number of frames that are remembered besides the prompted ones; None for as many as the model
                attends to. Fewer frames take less memory and change the masks.

        Raises:
            InputError: If ``memory`` is less than 1, or if the device is not available.
        """
        self.runtime = Runtime.choose(device)
        self.model = model.to(self.runtime.device).eval()
        if memory is not None and memory < 1:
            raise InputError(f"memory must be at least 1 frame, not {memory}")
        self.memory = memory
        self.prompts, self.known_tracks = tuple(prompts), known.tracks if known is not None else ()
        self.exhaustive = known is not None and known.exhaustive
        self.notes = known.notes if known is not None else ()
        self.timings = Timings()

    @classmethod
    def create(cls, device: str, seed: int) -> Sam2Finder:
        """SAM 2 needs prompts, so there is no default.

        Raises:
            InputError: Always.
        """
        raise InputError("SAM 2 follows objects that are marked. Pass points=, boxes= or masks= instead of detect=.")

    @property
    def size(self) -> int:
        """Side in pixels of the square that the model reads."""
        return int(self.model.config.image_size)

    def find(self, video: VideoInfo, frames: FrameRanges, quiet: bool = True) -> ClipTracks:
        """Return a track with visible masks for each prompt; a pixel belongs to the object with the largest logit."""
        ids = [prompt.id for prompt in self.prompts] + [track.id for track in self.known_tracks]
        visible: Masks = {key: [None] * video.frames for key in ids}
        marks, began = self._marks(), time.perf_counter()
        self._follow_forward(video, frames, marks, visible, quiet)
        first = [marks[0] for marks in group(marks, lambda mark: mark.key).values()]
        backward = SamStream(self.model, self.runtime, self.memory, backward=True)
        follow_backward(backward, video, frames, first, visible, quiet=quiet)
        self.timings.add("model", began)
        for track in self.known_tracks:
            pairs = zip(track.visible, visible[track.id], strict=True)
            visible[track.id] = [known or predicted for known, predicted in pairs]
        labels = {track.id: track.label for track in self.known_tracks}
        tracks = tuple(Track(key, tuple(masks), label=labels.get(key)) for key, masks in visible.items())
        return ClipTracks(video, tracks, exhaustive=self.exhaustive, notes=self.notes)

    def _follow_forward(
        self, video: VideoInfo, frames: FrameRanges, marks: Sequence[Mark], visible: Masks, quiet: bool
    ) -> None:
        """Add the masks from the first mark of each object on."""
        stream = SamStream(self.model, self.runtime, self.memory)
        marked = group(marks, lambda mark: mark.frame)
        opened = open_frames(frames, MODEL)
        for t, frame in enumerate(progress(opened, video.frames, "follow", "frame", quiet)):
            if not stream.ids and t not in marked:
                continue
            pixels = stream.prepare(frame)
            for mark in marked.get(t, ()):
                stream.follow(mark.key, stream.look(t, pixels, mark.prompt, video.height, video.width))
            for key, mask in disjoint_masks(stream.step(t, pixels), video.height, video.width).items():
                visible[key][t] = mask

    def _marks(self) -> list[Mark]:
        """All prompts, in the order of their frames."""
        marks = [Mark(prompt.id, prompt.frame, prompt) for prompt in self.prompts]
        for track in self.known_tracks:
            masks = enumerate(track.visible)
            marks += [Mark(track.id, t, mask) for t, mask in masks if mask is not None and mask.area()]
        return sorted(marks, key=lambda mark: mark.frame)
