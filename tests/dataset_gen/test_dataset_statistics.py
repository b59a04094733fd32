"""Statistics of clips."""

from __future__ import annotations

from dataset_gen.dataset_statistics import DatasetStatistics
from tests.dataset_gen.helpers import two_object_clip


def test_statistics_of_a_clip() -> None:
    statistics = DatasetStatistics()
    statistics.add(two_object_clip())
    assert (statistics.full_occlusions, statistics.bridged, statistics.never_visible) == ([2], 1, 0)
    assert statistics.copy_visible_iou == [0.75] and statistics.occluded == [0, 1, 1, 0.5]
    assert statistics.sizes == [15.625] * 4 and statistics.labels == {"box": 1, "ball": 1}
