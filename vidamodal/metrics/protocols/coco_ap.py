"""COCO's average precision and recall on amodal masks, by pycocotools' COCOeval, as KINS, COCOA and D2SA use it."""

from __future__ import annotations

from collections.abc import Sequence

from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.counts import VideoCounts

ID = "coco"
HIDES = "what is hidden is a small part of a mask; ids and time count for nothing, confidences much"


def score(videos: Sequence[VideoCounts]) -> dict[str, float | None]:
    """Return ``ap`` over IoU 0.5:0.95, ``ap50``, ``ap75`` and ``ar``, with every frame an image and one class.

    Fully occluded objects are ignored. Masks are ranked by their confidence, or 1 if they have none. Predicted tracks
    that the ground truth does not have count as false positives.
    """
    return average_precision(table for video in videos for table in video.frame_ious)
