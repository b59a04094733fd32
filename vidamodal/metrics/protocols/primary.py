"""The project's own protocol: see `vidamodal.metrics.region` and `vidamodal.metrics.temporal`."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.primary import mean_scores, score_video

HIDES = "objects under 64 px at a height of 256; frames with nothing visible, which are 'hidden'"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """full and occ; the other four measures stand in the first table."""
    scores = mean_scores([score_video(video) for video in videos])
    return {"full": scores.full, "occ": scores.occ}
