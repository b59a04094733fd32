"""The primary protocol on a toy track, and against a slow reference written from the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    TOY,
    VISIBLE,
    WHOLE,
    Object,
    columns,
    count,
    numbers,
    random_objects,
    score,
    seeds,
)
from tests.metrics.properties import check_bounds
from vidamodal.metrics.primary import MEASURES, mean_scores, paired_differences, score_video


@pytest.mark.parametrize(
    ("name", "full", "occ", "hidden", "flicker", "track_iou"),
    [
        ("perfect", 1, 1, 1, 0, 1),
        ("copy", 0.75, 0, 0, (6 + 2 + 4 + 4 + 2 + 0 + 2) / 8 / 9, 5.4 / 8),
        ("half", 0.875, 0.5, 0.5, (6 + 2 + 4 + 4 + 2 + 0 + 2) / 16 / 9, 6.7 / 8),
        ("misses two", 7.75 / 9, 0.6, 1, (6 + 2 + 4) / 8 / 9, 7 / 8),
    ],
)
def test_primary_scores_the_toy_track(
    name: str, full: float, occ: float, hidden: float, flicker: float, track_iou: float
) -> None:
    scores = score([(TOY[name], [WHOLE] * 10, VISIBLE)])
    assert scores.object_frames == 10
    assert scores.full == pytest.approx(full)
    assert scores.occ == pytest.approx(occ)
    assert scores.hidden == pytest.approx(hidden)
    assert scores.false_completion == 0
    assert scores.flicker == pytest.approx(flicker)
    assert scores.track_iou == pytest.approx(track_iou)


def test_means_go_over_frames_then_objects_then_videos() -> None:
    half = columns(0, 8)
    good = ([WHOLE] * 4, [WHOLE] * 4, [WHOLE] * 4)
    once = ([half, None, None, None], [WHOLE, None, None, None], [WHOLE, None, None, None])
    first, second = score([good, once]), score([once])
    assert (first.full, second.full) == pytest.approx((0.75, 0.5))
    both = mean_scores([first, second])
    assert both.full == pytest.approx(0.625)
    assert (both.object_frames, both.videos) == (6, 2)
    assert both.hidden is None  # a mean over nothing is no 0


def test_a_video_without_hidden_frames_does_not_count_in_the_mean_of_hidden() -> None:
    hidden = score([([WHOLE] * 2, [WHOLE] * 2, [WHOLE, WHOLE & False])])
    plain = score([([WHOLE] * 2, [WHOLE] * 2, [WHOLE] * 2)])
    assert mean_scores([hidden, plain]).hidden == 1


def reference(objects: Sequence[Object]) -> dict[str, float | None]:
    """The primary protocol of one video, word by word, on full frames."""
    gathered: dict[str, list[float]] = {name: [] for name in MEASURES}
    for predicted, amodal, visible in objects:
        if not any(v is not None and v.any() for v in visible):
            continue
        frames: dict[str, list[float]] = {name: [] for name in MEASURES}
        common = united = 0
        before = None
        for p, a, v in zip(predicted, amodal, visible, strict=True):
            if a is not None and v is not None and not a.any():
                frames["ghosts"].append(0 if p is None else p.sum() * (256 / a.shape[0]) ** 2 >= 64)
            if a is None or v is None or a.sum() * (256 / a.shape[0]) ** 2 < 64:
                before = None
                continue
            p = np.zeros_like(a) if p is None else p
            error = p ^ a
            iou = (p & a).sum() / (p | a).sum()
            common, united = common + (p & a).sum(), united + (p | a).sum()
            frames["full" if v.any() else "hidden"].append(iou)
            if v.any() and (a & ~v).sum() / a.sum() >= 0.05:
                frames["occ"].append((p & a & ~v).sum() / ((p | a) & ~v).sum())
            if v.any() and not (a & ~v).any():
                frames["false_completion"].append((p & ~a).sum() / a.sum())
            if before is not None:
                frames["flicker"].append((error ^ before).sum() / a.sum())
            before = error
        if united:
            frames["track_iou"].append(common / united)
        for name, values in frames.items():
            if values:
                gathered[name].append(sum(values) / len(values))
    return {name: sum(values) / len(values) if values else None for name, values in gathered.items()}


@given(seeds)
@settings(max_examples=60)
def test_equals_the_reference_written_from_the_definitions(seed: int) -> None:
    objects = random_objects(seed)
    assert numbers(score(objects)) == pytest.approx(reference(objects))


@given(seeds)
@settings(max_examples=25)
def test_scores_are_fractions_but_for_false_completion_and_flicker(seed: int) -> None:
    check_bounds(random_objects(seed))


def test_differences_are_paired_by_video() -> None:
    easy: Object = ([columns(0, 12)] * 2, [WHOLE] * 2, [columns(0, 12)] * 2)
    hard: Object = ([columns(0, 4)] * 2, [WHOLE] * 2, [columns(0, 4)] * 2)
    first = [score_video(count([each])) for each in (easy, hard)]
    better = [replace(scores, full=(scores.full or 0) + 0.1) for scores in first]
    gap = paired_differences(better, first)["full"]
    assert gap.mean == pytest.approx(0.1) and gap.interval == pytest.approx((0.1, 0.1))
    assert paired_differences(first, first)["occ"].mean == 0
