"""Amodal boxes and ghosts, on masks and boxes that can be checked by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.helpers import NOTHING, Masks, clip_of, columns, rles
from vidamodal.cli import main
from vidamodal.metrics.boxes import BoxEvaluation, count_boxes, score_boxes
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.evaluate import evaluate
from vidamodal.tracks import write_tracks
from vidamodal.types import Box, ClipTracks, Track

BoxList = Sequence[Box | None]


def box(first: float, last: float) -> Box:
    """The box of ``columns(first, last)``."""
    return (first, 0, last, 16)


def boxes_only(boxes: BoxList, **annotations: Any) -> ClipTracks:
    track = Track(3, (None,) * len(boxes), boxes=tuple(boxes))
    return clip_of([replace(track, **annotations)], len(boxes), 16, 32)


def masks_of(masks: Masks, visible: Masks | None = None) -> ClipTracks:
    return clip_of([Track(3, rles(masks if visible is None else visible), rles(masks))], len(masks), 16, 32)


def scored(prediction: ClipTracks | None, truth: ClipTracks) -> BoxEvaluation:
    result = score_boxes([count_video("clip", prediction, truth)])
    assert result is not None
    return result


def test_the_box_of_the_amodal_mask_is_compared() -> None:
    result = scored(masks_of([columns(0, 8), columns(0, 16)], [columns(0, 4)] * 2), boxes_only([box(0, 16)] * 2))
    group = result.groups["all"]
    assert group.iou == pytest.approx(0.75) and group.copied_iou == pytest.approx(0.25)
    assert (group.ap25, group.ap50, group.ap75, group.object_frames) == (1, 0.5, 0.5, 2)  # 0.5 is not above 0.5


def test_a_missing_or_empty_mask_and_a_missing_track_score_zero() -> None:
    truth = boxes_only([box(0, 16)] * 3)
    assert scored(masks_of([columns(0, 16), NOTHING, None]), truth).groups["all"].iou == pytest.approx(1 / 3)
    assert scored(None, truth).groups["all"].iou == 0


def test_boxes_are_cut_to_the_image_and_count_as_truncated() -> None:
    truth = boxes_only([box(-16, 16), (-9, -9, -1, -1)], truncated=(None, False))
    result = scored(masks_of([columns(0, 16)] * 2), truth)
    assert result.groups["truncated"].object_frames == 2
    assert result.groups["all"].iou == pytest.approx(0.5)  # nothing of the second box is in the image


def test_groups_follow_the_annotated_levels() -> None:
    truth = boxes_only([box(0, 16)] * 4, occlusion=(0, 1, 2, None), truncated=(True, False, None, None))
    result = scored(masks_of([columns(0, 16), columns(0, 8), columns(0, 4), NOTHING]), truth)
    ious = {name: group.iou for name, group in result.groups.items()}
    assert ious == {
        "all": pytest.approx((1 + 0.5 + 0.25) / 4),
        "not occluded": 1,
        "partly occluded": 0.5,
        "largely occluded": 0.25,
        "occlusion unknown": 0,
        "truncated": 1,
    }


def test_frames_without_a_box_count_only_outside_the_boxes_of_the_object() -> None:
    truth = boxes_only([None, box(0, 16), None, box(0, 16), None, None, None])
    whole = columns(0, 16)
    result = scored(masks_of([None, whole, whole, whole, whole, NOTHING, whole]), truth)
    assert (result.gone, result.ghosts) == (3, 2)
    assert result.groups["all"].object_frames == 2 and result.groups["all"].iou == 1


def test_a_small_mask_is_no_ghost() -> None:
    def last(pixels: int) -> Masks:
        masks = np.zeros((2, 256, 32), dtype=bool)
        masks[:, :2] = True
        masks[1] = np.arange(256 * 32).reshape(256, 32) < pixels
        return list(masks)

    truth = clip_of([Track(3, (None, None), boxes=((0, 0, 32, 2), None))], 2, 256, 32)
    for pixels, ghosts in ((63, 0), (64, 1)):
        prediction = clip_of([Track(3, rles(last(pixels)), rles(last(pixels)))], 2, 256, 32)
        assert scored(prediction, truth).ghosts == scored(prediction, truth).copied_ghosts == ghosts


def test_predicted_boxes_stand_in_for_masks() -> None:
    assert scored(boxes_only([box(0, 8)]), boxes_only([box(0, 16)])).groups["all"].iou == pytest.approx(0.5)


def test_a_ground_truth_of_masks_has_no_box_scores() -> None:
    clip = masks_of([columns(0, 16)])
    assert score_boxes([count_video("clip", clip, clip)]) is None


coordinates = st.floats(-40, 70, allow_nan=False)


@settings(max_examples=40)
@given(coordinates, coordinates, st.integers(0, 31), st.integers(1, 32))
def test_the_iou_is_that_of_the_drawn_boxes(left: float, width: float, first: int, last: int) -> None:
    left, right = round(left), round(left) + max(1, round(abs(width)))
    (counts,) = count_boxes(masks_of([columns(first, last)]), boxes_only([box(left, right)]))
    true = np.zeros(32, dtype=bool)
    true[np.clip(left, 0, 32) : np.clip(right, 0, 32)] = True
    predicted = columns(first, last)[0]
    union = np.count_nonzero(true | predicted)
    assert counts.iou[0] == pytest.approx(np.count_nonzero(true & predicted) / union if union else 0)


def test_evaluate_accepts_a_ground_truth_of_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(tmp_path / "truth.json", boxes_only([box(0, 16), None], occlusion=(2, None)))
    write_tracks(tmp_path / "pred.json", masks_of([columns(0, 8)] * 2))
    record = evaluate(tmp_path / "pred.json", tmp_path / "truth.json").record()
    assert record["boxes"]["groups"]["largely occluded"]["iou"] == pytest.approx(0.5)
    assert record["boxes"]["ghosts"] == 1 and record["primary"]["object_frames"] == 0
    files = ["--pred", str(tmp_path / "pred.json"), "--truth", str(tmp_path / "truth.json")]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *files, "--out", str(tmp_path / "m.json"), "--report", str(tmp_path / "r.html")])
    out = capsys.readouterr().out
    assert left.value.code == 0 and "largely occluded" in out and "ghosts: 1 masks in 1 object-frames" in out
    assert max(map(len, out.splitlines())) <= 120
    assert "Amodal boxes" in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "m.json").read_text())["boxes"]["gone"] == 1


def test_a_box_truth_without_its_prediction_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(tmp_path / "truth.json", boxes_only([box(0, 16)]))
    write_tracks(tmp_path / "pred.json", clip_of([], 1, 16, 32))
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--pred", str(tmp_path / "pred.json"), "--truth", str(tmp_path / "truth.json")])
    assert left.value.code == 2 and "no amodal masks for track 3" in capsys.readouterr().err
