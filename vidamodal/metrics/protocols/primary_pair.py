"""The pair full and occ of our primary protocol (see `vidamodal.metrics.primary`)."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.primary import mean_scores, score_video

ID = "primary"
HIDES = "objects under 64 px at a height of 256; frames with nothing visible, which are 'hidden'"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return full and occ, averaged over an object's frames, then its video's objects, then videos."""
    scores = mean_scores([score_video(video) for video in videos])
    return {"full": scores.full, "occ": scores.occ}
