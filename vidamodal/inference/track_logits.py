"""Logits of a track in the frames of a chunk: of its masks, and of any of it being inside the image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit

from vidamodal.inference.unlisted import HOLE_LOGIT
from vidamodal.occlusion.parts import PartJudge, TrackWindows

CERTAIN = np.float32(30.0)
"""Logit of what is certain: of the presence in frames in which the object is visible, for instance."""


@dataclass(frozen=True)
class FrameLogits:
    """Logits of k hypotheses in one frame; the fields are those of `TrackLogits`."""

    masks: Float[np.ndarray, "k s s"]
    judged: Float[np.ndarray, "k s s"] | None
    presence: np.float32 | None


@dataclass(frozen=True)
class TrackLogits:
    """Logits of k hypotheses in t frames; -inf in frames outside the track's span."""

    masks: Float[np.ndarray, "k t s s"]
    presence: Float[np.ndarray, " t"] | None
    """None if the model does not predict presence."""
    judged: Float[np.ndarray, "k t s s"] | None = None
    """Logits of pixels that may show an occluder without a mask; None if they are the same."""

    def at(self, place: int) -> FrameLogits:
        """Return the logits of one frame of the chunk."""
        judged = None if self.judged is None else self.judged[:, place]
        presence = None if self.presence is None else self.presence[place]
        return FrameLogits(self.masks[:, place], judged, presence)

    def after(self, old: TrackLogits) -> TrackLogits:
        """Return the logits, cross-faded in the first frames with those of the chunk before.

        Args:
            old: The last frames of the chunk before, which are the first frames of this one.
        """
        count = old.masks.shape[1]
        masks = self.masks.copy()
        masks[:, :count] = cross_fade(old.masks, masks[:, :count], axis=1)
        if self.presence is None or old.presence is None:
            return replace(self, masks=masks)
        presence = self.presence.copy()
        presence[:count] = cross_fade(old.presence, presence[:count], axis=0)
        return TrackLogits(masks, presence)

    def since(self, frame: int) -> TrackLogits:
        """Return the logits from a frame of the chunk on."""
        return TrackLogits(self.masks[:, frame:], None if self.presence is None else self.presence[frame:])

    def decide_presence(self, seen: Bool[np.ndarray, " t"], threshold: float) -> TrackLogits:
        """Return the logits with certain presence where the object is visible, and empty masks where it is gone.

        Args:
            seen: Frames in which any of the object is visible.
            threshold: Probability of presence below which the object is gone.
        """
        if self.presence is None:
            return self
        presence = np.where(seen, CERTAIN, self.presence)
        gone = (presence < logit(threshold)) & ~np.isneginf(self.masks[0].max(axis=(1, 2)))
        masks = np.where(gone[:, None, None], -CERTAIN, self.masks)
        return TrackLogits(masks, presence)

    def judge_parts(self, judge: PartJudge, window: TrackWindows, since: int = 0) -> TrackLogits:
        """Return the logits with those that remain when a judge has chosen among the completed parts.

        Args:
            judge: The judge.
            window: What the windows of the track show in these frames.
            since: First frame that is judged.
        """
        judged = np.stack([judge.without_rejected(values, window, float(HOLE_LOGIT), since) for values in self.masks])
        return replace(self, judged=judged)


def cross_fade(old: Float[np.ndarray, "*shape"], new: Float[np.ndarray, "*shape"], axis: int) -> np.ndarray:
    """Return logits that change from those of one chunk to those of the next over their shared frames.

    Frames outside a track's span, -inf in both, stay -inf.

    Args:
        old: Logits of the chunk before.
        new: Logits of this chunk in the same frames.
        axis: The axis of the frames.
    """
    count = old.shape[axis]
    weight = np.arange(1, count + 1) / (count + 1)
    weight = weight.reshape([-1 if k == axis else 1 for k in range(old.ndim)])
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(old), old, (1 - weight) * old + weight * new).astype(np.float32)
