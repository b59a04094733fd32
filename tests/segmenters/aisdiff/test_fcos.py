"""Training targets of FCOS."""

from __future__ import annotations

from tests.segmenters.aisdiff.helpers import (
    ground_truth_of_squares,
    segmenter,
)


def test_locations_are_assigned_to_objects_near_their_centres() -> None:
    detector, truth = segmenter().detector, ground_truth_of_squares(1)
    targets = detector.targets(truth.boxes, truth.valid)
    points, found = detector.locations.points, targets.object[0]
    assert set(found.tolist()) == {-1, 0, 1}
    for place in range(len(points)):
        at = found[place]
        if at >= 0:
            left, top, right, bottom = truth.boxes[0, at].tolist()
            x, y = points[place].tolist()
            assert left < x < right and top < y < bottom and 0 < targets.centerness[0, place] <= 1
            assert (
                max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) < 1.5 * detector.locations.strides[place]
            )
