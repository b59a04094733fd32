"""The predictions of a clip, collected frame by frame while its video is completed."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vidamodal.inference.compose import FramePrediction, ObjectPrediction
from vidamodal.types import ClipTracks, FrameOrder, Hypothesis, Rle, Track

_BLOCK = 64
"""Masks whose run lengths are joined."""


@dataclass
class CollectedTrack:
    """The predictions of a track in large blocks.

    Small strings between the large, short-lived tensors of a network would leave gaps in memory into which nothing else
    fits: four kilobytes for each mask of a long video instead of one.
    """

    frames: array[int] = field(default_factory=lambda: array("q"))
    """Frame number of each prediction."""
    blocks: deque[str] = field(default_factory=deque)
    """Run lengths of the masks of all hypotheses, prediction after prediction."""
    newest: list[str] = field(default_factory=list)
    """Run lengths of the masks after those in ``blocks``."""
    lengths: array[int] = field(default_factory=lambda: array("q"))
    """Number of characters of each mask."""
    confidence: array[float] = field(default_factory=lambda: array("d"))
    """Confidence of each mask."""
    present: array[float] = field(default_factory=lambda: array("d"))
    """Presence of each prediction; nan if the model does not predict it."""

    def add(self, frame: int, prediction: ObjectPrediction) -> None:
        """Add the prediction of a frame. All have the same number of hypotheses."""
        self.frames.append(frame)
        self.present.append(np.nan if prediction.present is None else prediction.present)
        self.confidence.extend(prediction.confidence)
        for mask in prediction.masks:
            self.newest.append(mask.counts)
            self.lengths.append(len(mask.counts))
        if len(self.newest) >= _BLOCK:
            self._join()

    def compose(self, track: Track, frames: int, height: int, width: int) -> Track:
        """Return the track with its amodal masks, confidences and, if there are several, hypotheses. Call this once.

        The amodal masks are those of the hypothesis with the highest mean confidence. If the track has confidences
        already, it was detected; they multiply those of the prediction, which takes the visible mask for granted.

        Args:
            track: The track with its visible masks.
            frames: Number of frames of the clip.
            height: Height of the masks in pixels.
            width: Width of the masks in pixels.
        """
        track = replace(track, amodal_full=None, present=None)
        if not self.frames:
            return replace(track, amodal=(None,) * frames, confidence=(None,) * frames, hypotheses=())
        places, count = {t: k for k, t in enumerate(self.frames)}, len(self.lengths) // len(self.frames)
        trust = _detection_confidence(track, frames)
        values = np.array(self.confidence).reshape(-1, count)
        masks = [Rle(height, width, text) for text in self._texts()]
        hypotheses = [
            Hypothesis(
                float(np.mean([values[k, h] * trust[t] for t, k in places.items()])),
                tuple(masks[places[t] * count + h] if t in places else None for t in range(frames)),
            )
            for h in range(count)
        ]
        best = max(range(count), key=lambda h: hypotheses[h].score)
        confidence = (float(values[places[t], best]) * trust[t] if t in places else None for t in range(frames))
        present = [self.present[places[t]] if t in places else np.nan for t in range(frames)]
        known = tuple(None if np.isnan(value) else value for value in present)
        return replace(
            track,
            amodal=hypotheses[best].amodal,
            confidence=tuple(confidence),
            present=None if all(value is None for value in known) else known,
            hypotheses=tuple(hypotheses) if count > 1 else (),
        )

    def _join(self) -> None:
        self.blocks.append("".join(self.newest))
        self.newest.clear()

    def _texts(self) -> Iterator[str]:
        """Yield the run lengths of each mask; a block is forgotten when all of its masks are there."""
        self._join()
        block, start = "", 0
        for length in self.lengths:
            while start + length > len(block):
                block, start = self.blocks.popleft(), 0
            yield block[start : start + length]
            start += length


def collect(clip: ClipTracks, predictions: Iterable[FramePrediction]) -> ClipTracks:
    """Return a clip with the predictions of all its frames, in turn, and the order of each."""
    collected = {track.id: CollectedTrack() for track in clip.tracks}
    orders: list[FrameOrder] = []
    for frame in predictions:
        for key, prediction in frame.objects.items():
            collected[key].add(frame.number, prediction)
        orders.append(orders[-1] if orders and orders[-1] == frame.order else frame.order)  # which saves memory
    video = replace(clip.video, canvas=None)  # nothing is predicted beyond the image
    tracks = tuple(
        collected.pop(track.id).compose(track, video.frames, video.height, video.width) for track in clip.tracks
    )
    return replace(clip, video=video, tracks=tracks, order=tuple(orders), provenance={})


def _detection_confidence(track: Track, frames: int) -> list[float]:
    """Confidence of a track's detection in each frame; their mean where it is unknown, 1 if none is known."""
    known = [value for value in track.confidence or () if value is not None]
    mean = float(np.mean(known)) if known else 1.0
    return [mean if value is None else value for value in track.confidence or (None,) * frames]
