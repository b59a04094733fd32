"""The line about CPU time."""

from __future__ import annotations

from dataset_gen.timing import summary


def test_summary() -> None:
    line = summary(2, 24, {"all": 140.0, "blender": 130.0, "cycles": 126.0, "truth": 2.0, "write": 1.0, "own": 1.0})
    assert line == (
        "70.5 CPU-s per scene (2.94 per frame): Cycles 63.0, rest of Blender 2.0, ground truth and writing 2.0, "
        "start-up and physics 3.5; the total is 1.12 x Cycles, ground truth and writing are 3.2% of it; "
        "838 such videos take 16.4 core-hours"
    )
