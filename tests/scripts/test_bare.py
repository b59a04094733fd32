"""Tests of the experiment on bare videos: scores of detected tracks, and the page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.experiments.bare import __main__ as bare
from scripts.experiments.bare.track_detections import count_detections, score_detections
from tests.helpers import ToyClip
from tests.segmenters.cumulative.helpers import saved_segmenter
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

SIZE, FRAMES = 40, 9
VIDEO = VideoInfo("v.mp4", SIZE, SIZE, FRAMES, 12.0)
Masks = Sequence[np.ndarray | None]


def square(left: int, top: int = 10, side: int = 10) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[top : top + side, max(left, 0) : left + side] = True
    return mask


def track(number: int, amodal: Masks, visible: Masks | None = None) -> Track:
    told = [None if m is None else Rle.encode(m) for m in amodal]
    shown = told if visible is None else [None if m is None else Rle.encode(m) for m in visible]
    return Track(number, tuple(shown), tuple(told))


def scene() -> ClipTracks:
    """A small square passes behind a large one and is fully occluded in frames 3 to 6."""
    large, small = square(10, 5, 20), [square(4 * t, 10, 6) for t in range(FRAMES)]
    hidden = [m & ~large for m in small]
    assert [not m.any() for m in hidden].index(True) == 3
    order = tuple(((1, 2),) if (m & large).any() else () for m in small)
    return ClipTracks(VIDEO, (track(1, [large] * FRAMES), track(2, small, hidden)), True, order)


def renumbered(clip: ClipTracks, names: dict[int, int]) -> ClipTracks:
    order = tuple(tuple((names[a], names[b]) for a, b in pairs) for pairs in clip.order or ())
    return replace(clip, tracks=tuple(replace(t, id=names[t.id]) for t in clip.tracks), order=order)


def test_a_perfect_prediction_of_other_ids_is_perfect() -> None:
    truth = scene()
    never = track(7, [square(0, 30, 5)] * FRAMES, [square(0, 0, 0)] * FRAMES)  # never visible, so not scored
    truth = replace(truth, tracks=(*truth.tracks, never))
    found = replace(truth, tracks=truth.tracks[:2])
    for names in ({1: 2, 2: 1}, {1: 7, 2: 30}):
        scores = score_detections([count_detections(renumbered(found, names), truth)])
        assert scores.track_ap["ap"] == scores.found == scores.iou == scores.order == 1
        assert (scores.kept, scores.switched, scores.switches) == (scores.occlusions, 0, 0)
        assert scores.occlusions == 1


def cut(clip: ClipTracks, number: int, at: int, after: int | None) -> ClipTracks:
    """End a track before frame ``at``; it continues under the id ``after``, or not at all."""
    old = next(t for t in clip.tracks if t.id == number)
    amodal = [m.decode() if m else None for m in old.amodal or ()]
    nothing: list[np.ndarray | None] = [None] * FRAMES
    parts = [track(number, [*amodal[:at], *nothing[at:]])]
    if after is not None:
        parts.append(track(after, [*nothing[:at], *amodal[at:]]))
    return replace(clip, tracks=tuple(t for t in clip.tracks if t.id != number) + tuple(parts))


def test_a_track_with_another_id_after_an_occlusion_has_switched() -> None:
    truth = scene()
    occlusion = count_detections(truth, truth)
    assert (occlusion.occlusions, occlusion.kept) == (1, 1)
    switched = count_detections(cut(truth, 2, 5, 9), truth)
    assert (switched.occlusions, switched.kept, switched.switched, switched.switches) == (1, 0, 1, 1)
    lost = count_detections(cut(truth, 2, 5, None), truth)
    assert (lost.occlusions, lost.kept, lost.switched, lost.switches) == (1, 0, 0, 0)
    seen = count_detections(cut(truth, 1, 4, 9), truth)  # in full sight
    assert (seen.switched, seen.switches) == (0, 1)


def test_found_share_iou_and_order() -> None:
    truth = scene()
    alone = count_detections(replace(truth, tracks=truth.tracks[:1], order=((),) * FRAMES), truth)
    assert (alone.found, alone.iou, alone.ordered) == (0.5, 1.0, 0)
    half = [m if t % 2 else None for t, m in enumerate([square(10, 5, 20)] * FRAMES)]
    few = count_detections(replace(truth, tracks=(track(1, half), truth.tracks[1]), order=None), truth)
    assert few.found == 0.5 and few.track_ious.iou.max() == 1  # its track IoU is 4 / 9
    most = [None, *[square(10, 5, 20)] * (FRAMES - 1)]
    good = count_detections(replace(truth, tracks=(track(1, most), truth.tracks[1])), truth)
    assert good.found == 1 and good.iou == pytest.approx((8 / 9 + 1) / 2)
    pairs = sum(len(pairs) for pairs in truth.order or ())
    assert good.ordered == good.right == pairs > 3
    turned = tuple(tuple((b, a) for a, b in told) for told in truth.order or ())
    half_right = (*turned[:5], *(truth.order or ())[5:])
    mixed = count_detections(replace(truth, order=half_right), truth)
    assert 0 < mixed.right < mixed.ordered
    assert count_detections(replace(truth, order=None), truth).right == 0
    nothing = score_detections([count_detections(replace(truth, tracks=(), order=None), truth)])
    assert (nothing.found, nothing.iou, nothing.order, nothing.track_ap["ar"]) == (0, None, None, 0)


# The table


@pytest.fixture
def data(clip: ToyClip, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(clip.video, folder / "clip.mp4")
    shutil.copy(clip.truth, folder / "clip.tracks.json")
    return folder


def test_the_page_has_a_row_per_method(data: Path, model_folder: Path, tmp_path: Path) -> None:
    segmenter = saved_segmenter(tmp_path / "seg", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    page = bare.render_page({"toy": str(data)}, {"rough": str(segmenter)}, str(model_folder), 3, "cpu")
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in page.splitlines()}
    assert {"rough alone", "rough + small", "true visible masks + small", "true instances, joined"} <= rows.keys()
    assert {"regions of motion", "regions of colour"} <= rows.keys()
    right, rough, colour = (rows[name] for name in ("true instances, joined", "rough alone", "regions of colour"))
    assert (
        float(right[0]) > 90 and float(right[3]) == 100 and float(right[4]) > 95 and float(right[0]) > float(rough[0])
    )
    assert float(colour[3]) > 0  # each toy is of one colour
    assert all(float(row[-1]) > 0 for row in (right, rough, colour)) and "1 clips" in page


def test_invalid_arguments_are_refused(data: Path, model_folder: Path) -> None:
    with pytest.raises(InputError, match="number of clips must be at least 1"):
        bare.render_page({"toy": str(data)}, {}, str(model_folder), 0)
    with pytest.raises(InputError, match="is not a segmenter"):
        bare.render_page({"toy": str(data)}, {"x": str(model_folder)}, str(model_folder), 1)
    with pytest.raises(InputError, match="no such file"):
        bare.render_page({"toy": "nosuch"}, {}, str(model_folder), 1)
