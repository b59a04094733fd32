"""COCO's average precision and recall on amodal masks, as KINS, COCOA and D2SA have it: pycocotools' COCOeval."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.detection import average_precision

HIDES = "what is hidden is a small part of a mask; ids and time count for nothing, confidences much"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """``ap`` over IoU 0.5:0.95, ``ap50``, ``ap75``, ``ar``; every frame is an image, all objects one class.

    Objects with nothing visible need not be found. A mask is ranked by its confidence, or 1 where none is given.
    """
    return average_precision(frame for video in videos for frame in video.frames)
