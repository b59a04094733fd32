"""Named protocols, measures of time and strata against tracks scored by hand, and against slower definitions."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scripts.experiments.probes import PROBES
from tests.metrics.test_metrics import (
    PROTOCOLS,
    Masks,
    Object,
    clip_of,
    close,
    columns,
    count,
    pair,
    random_objects,
    rles,
)
from vidamodal.cli import main
from vidamodal.formats.tracks import write_tracks
from vidamodal.metrics import tables
from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import IouTable, VideoCounts
from vidamodal.metrics.evaluate import score_counts
from vidamodal.metrics.primary import paired_differences, score_video
from vidamodal.metrics.protocols import load_protocols, score_protocols
from vidamodal.metrics.shapes import boundary_f, boundary_tolerance, erode
from vidamodal.metrics.strata import score_strata
from vidamodal.metrics.temporal import hidden_spells, score_temporal
from vidamodal.occlusion.layers import layers_from_order
from vidamodal.occlusion.order import order_from_visible
from vidamodal.rle import overlaps, pack, shared_area
from vidamodal.types import ClipTracks, Rle, Track

seeds = st.integers(0, 2**32 - 1)
WHOLE, NOTHING = columns(0, 16), columns(0, 0)
Pair = tuple[float | None, float | None]


def behind(objects: Sequence[Object], occluder: Masks = (), key: str = "clip") -> VideoCounts:
    """Counts objects in a scene with one more, which is visible but not scored."""
    prediction, truth = pair(objects)
    others = (Track(9, rles(occluder)),) if len(occluder) else ()
    return count_video(key, prediction, replace(truth, tracks=truth.tracks + others))


def scored(video: VideoCounts, name: str) -> Pair:
    scores = score_protocols([video])[name]
    return scores.full, scores.occ


# One toy track under every rule: 9 visible frames, 4 unoccluded, 1 fully hidden. An occluder shows where it is hidden.

EIGHTHS = [0, 0, 6, 4, 8, 4, 2, 2, 0, 0]
VISIBLE = [columns(0, 16 - 2 * n) for n in EIGHTHS]
OCCLUDER = [columns(16 - 2 * n, 16) for n in EIGHTHS]
TOY: dict[str, Masks] = {
    "perfect": [WHOLE] * 10,
    "copy": VISIBLE,
    "half": [columns(0, 16 - n) for n in EIGHTHS],
    "misses two": [v if t in (2, 3) else WHOLE for t, v in enumerate(VISIBLE)],
}
EXPECTED: dict[str, dict[str, Pair]] = {
    "savos": {"perfect": (1, 1), "copy": (0.625, 0), "half": (0.8125, 0.5), "misses two": (0.875, 0.75)},
    "c2f-video": {"perfect": (1, 5 / 9), "copy": (0.75, 0), "half": (0.875, 2.5 / 9), "misses two": (7.75 / 9, 3 / 9)},
    "c2f-image": {"perfect": (1, 1), "copy": (0.75, 0), "half": (0.875, 0.5), "misses two": (7.75 / 9, 0.6)},
    "eoras": {"perfect": (1, 0), "copy": (0.75, 0), "half": (0.875, 2.5 / 9), "misses two": (7.75 / 9, 0)},
    "diffusion-vas": {"perfect": (1, 1), "copy": (0.675, None), "half": (0.8375, 0.5), "misses two": (0.875, 1)},
    "tabe": {"perfect": (1, 1), "copy": (0.675, 0), "half": (0.8375, 0.5), "misses two": (0.875, 4 / 6)},
    "cumulative-iou": {"perfect": (1, 1), "copy": (0.675, 0), "half": (0.8375, 0.5), "misses two": (0.875, 2 / 3.25)},
}
EXPECTED["c2f-video-post"] = EXPECTED["c2f-video"]  # nothing here is predicted over background


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("prediction", TOY)
def test_every_rule_scores_the_toy_track_as_its_code_does(name: str, prediction: str) -> None:
    video = behind([(TOY[prediction], [WHOLE] * 10, VISIBLE)], OCCLUDER)
    if name == "diffusion-vas":  # the table was made without its erosion, which has a test of its own
        (track,) = video.tracks
        areas = [track.pixels(p=1, v=0), track.pixels(a=1, v=0), track.pixels(p=1, a=1, v=0)]
        video = replace(video, tracks=(replace(track, eroded=np.stack(areas, axis=1)),))
    scores = score_protocols([video])[name]
    for value, expected in zip((scores.full, scores.occ), EXPECTED[name][prediction], strict=True):
        assert value == (None if expected is None else pytest.approx(expected, abs=1e-6))
    assert (scores.ceiling_full, scores.ceiling_occ) == pytest.approx(EXPECTED[name]["perfect"])


# The odd rules, one at a time


def test_every_protocol_is_found_and_says_what_it_hides() -> None:
    protocols = load_protocols()
    assert list(protocols) == PROTOCOLS
    assert all(rule.HIDES and "\n" not in rule.HIDES and len(rule.HIDES) < 92 for rule in protocols.values())


def test_savos_counts_empty_against_empty_as_one_and_looks_only_under_other_objects() -> None:
    half = columns(0, 8)
    wrong: Object = ([NOTHING] * 3, [WHOLE] * 3, [half] * 3)
    assert scored(behind([wrong]), "savos") == (pytest.approx(0.5), 1)  # hidden by what is not listed
    partly = behind([(([columns(0, 10)] * 3), [WHOLE] * 3, [half] * 3)], [columns(8, 12)] * 3)
    assert scored(partly, "savos") == (pytest.approx(10 / 16), pytest.approx(0.5))


def test_savos_drops_the_first_frame_and_the_last_of_an_object_that_fills_the_video() -> None:
    half, good, bad = columns(0, 8), columns(0, 16), columns(0, 8)
    occluder = [columns(8, 16)] * 3
    assert scored(behind([([bad, good, bad], [WHOLE] * 3, [half] * 3)], occluder), "savos")[1] == 1
    late = behind([([bad, bad, good], [WHOLE] * 3, [NOTHING, half, half])], occluder)
    assert scored(late, "savos")[1] == 1


def test_savos_keeps_what_is_hidden_by_more_than_a_tenth_and_less_than_seven_tenths() -> None:
    whole = columns(0, 20)
    for visible, kept in ((18, False), (17, True), (7, True), (6, False)):
        video = behind([([whole] * 3, [whole] * 3, [columns(0, visible)] * 3)], [columns(visible, 20)] * 3)
        assert (scored(video, "savos")[1] == 1) == kept and (kept or scored(video, "savos") == (None, None))


def test_savos_means_go_over_the_objects_of_a_frame_and_then_over_frames() -> None:
    half, occluder = columns(0, 8), [columns(8, 16)] * 4
    often: Object = ([half] * 4, [WHOLE] * 4, [half] * 4)  # scored in frames 1 and 2
    once: Object = ([NOTHING, NOTHING, WHOLE, NOTHING], [WHOLE] * 4, [NOTHING, half, half, NOTHING])  # in frame 2
    assert scored(behind([often, once], occluder), "savos")[1] == pytest.approx((0 + 0.5) / 2, abs=1e-5)


def test_eoras_keeps_what_is_exactly_right_up_to_31_pixels() -> None:
    for rows, kept in ((1, True), (2, False)):
        visible = columns(0, 8)
        amodal = visible.copy()
        amodal[:rows, 8:24] = True  # 16 or 32 hidden pixels
        occ = scored(behind([([amodal], [amodal], [visible])]), "eoras")[1]
        assert occ == (pytest.approx(1, abs=1e-6) if kept else None)


def test_diffusion_vas_erodes_by_two_pixels_on_each_side_but_not_at_the_border() -> None:
    video = behind([([columns(0, 14)], [WHOLE], [columns(0, 8)])])
    assert video.tracks[0].eroded.tolist() == [[2 * 16, 4 * 16, 2 * 16]]
    assert scored(video, "diffusion-vas") == (pytest.approx(14 / 16), pytest.approx(0.5))
    missed = behind([([columns(0, 8)] * 2, [WHOLE] * 2, [columns(0, 8)] * 2)])
    assert scored(missed, "diffusion-vas")[1] is None


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_erosion_is_the_minimum_of_five_by_five_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < 0.9
    expected = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        expected[y, x] = mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all()
    assert (erode(mask) == expected).all()


def test_tabe_takes_missing_visible_pixels_for_wrong_hidden_ones() -> None:
    assert scored(behind([([columns(4, 16)], [WHOLE], [columns(0, 8)])]), "tabe")[1] == pytest.approx(8 / 12)


def test_c2f_video_post_takes_away_what_lies_over_background() -> None:
    video = behind([([columns(0, 20)], [WHOLE], [columns(0, 8)])], [columns(8, 12)])
    assert scored(video, "c2f-video-post") == (pytest.approx(12 / 16), pytest.approx(4 / 8))
    assert scored(video, "c2f-video") == (pytest.approx(16 / 20), pytest.approx(8 / 12))


def test_cumulative_iou_is_one_ratio_over_all_videos() -> None:
    large: Object = ([columns(0, 8)], [WHOLE], [columns(0, 8)])
    small: Object = ([columns(0, 4)], [columns(0, 4)], [columns(0, 2)])
    scores = score_protocols([behind([large]), behind([small], key="second")])["cumulative-iou"]
    assert (scores.full, scores.occ) == (pytest.approx(12 / 20), pytest.approx(2 / 10))


# Average precision


def images(seed: int) -> list[IouTable]:
    """Frames of a few boxes, half of them found; every score is different."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        true = [_box(rng) for _ in range(rng.integers(0, 5))]
        found = [_shifted(mask, rng) for mask in true if rng.random() < 0.8] + [_box(rng) for _ in range(2)]
        iou = overlaps([Rle.encode(m) for m in found], [Rle.encode(m) for m in true])[0]
        ones = np.ones(len(found), dtype=int), np.ones(len(true), dtype=int)
        ids = tuple(range(len(found))), tuple(range(len(true)))
        frames.append(IouTable(*ids, iou, rng.random(len(found)), np.zeros(len(true), dtype=bool), *ones))
        MASKS[id(frames[-1])] = found, true
    return frames


MASKS: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}


def _box(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((40, 50), dtype=bool)
    top, left = rng.integers(0, 20, size=2)
    mask[top : top + rng.integers(6, 20), left : left + rng.integers(6, 25)] = True
    return mask


def _shifted(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(mask, rng.integers(0, 4, size=2), axis=(0, 1))


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_average_precision_is_that_of_cocoeval_on_the_masks(seed: int) -> None:
    frames = images(seed)
    truth, found = [], []
    for number, frame in enumerate(frames):
        for masks, into in zip(MASKS[id(frame)], (found, truth), strict=True):
            for k, mask in enumerate(masks):
                rle = pack(Rle.encode(mask))
                box = coco_mask.toBbox(rle).tolist()
                record = {"id": len(into) + 1, "image_id": number, "category_id": 1, "segmentation": rle, "iscrowd": 0}
                into.append(
                    {
                        **record,
                        "bbox": box,
                        "area": int(mask.sum()),
                        "score": float(frame.score[k]) if into is found else 1.0,
                    }
                )
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (truth, found):
            side = COCO()
            side.dataset = {
                "images": [{"id": k, "height": 40, "width": 50} for k in range(len(frames))],
                "categories": [{"id": 1}],
                "annotations": annotations,
            }
            side.createIndex()
            sides.append(side)
        rule = COCOeval(*sides, "segm")
        rule.evaluate(), rule.accumulate(), rule.summarize()
    expected = [None if value == -1 else pytest.approx(value) for value in rule.stats[[0, 1, 2, 8]]]
    assert [average_precision(frames)[key] for key in ("ap", "ap50", "ap75", "ar")] == expected


def test_coco_ranks_by_confidence_takes_extra_tracks_for_false_alarms_and_does_not_ask_for_what_is_hidden() -> None:
    seen, hidden = columns(0, 10), columns(16, 26)
    truth = clip_of([Track(1, rles([seen]), rles([seen])), Track(2, rles([NOTHING]), rles([hidden]))], 1, 16, 32)
    truth = replace(truth, tracks=(*truth.tracks, Track(3, rles([seen]), rles([seen]))))  # a second one to find
    good = Track(1, rles([seen]), rles([seen]), (0.5,))
    extra = Track(7, rles([NOTHING]), rles([columns(28, 32)]), (0.9,))
    scores = score_protocols([count_video("a", clip_of([good, extra], 1, 16, 32), truth)])["coco"]
    assert (scores.full, scores.occ, scores.ceiling_full, scores.ceiling_occ) == (None,) * 4
    assert scores.more["ap50"] == pytest.approx(51 / 101 / 2)  # half the recall at half the precision, of 101 points
    assert scores.more["ar"] == pytest.approx(0.5)
    assert scores.more["ceiling"]["ap"] == pytest.approx(1)


def test_track_ap_sums_intersections_and_unions_over_frames() -> None:
    predicted = [columns(0, 16), columns(0, 8), NOTHING]
    video = behind([(predicted, [WHOLE] * 3, [WHOLE] * 3)])
    assert video.track_ious is not None and video.track_ious.iou.tolist() == [[pytest.approx(24 / 48)]]
    ranks = score_temporal([video]).track_ap
    assert (ranks["ap50"], ranks["ap75"]) == (pytest.approx(1), 0)
    assert (ranks["ap"], ranks["ar"]) == (pytest.approx(0.1), pytest.approx(0.1))


# Layers


def test_layers_count_what_lies_in_front_and_a_ring_shares_the_next_one() -> None:
    assert layers_from_order([1, 2, 3, 4], ((1, 2), (2, 3), (1, 3))).tolist() == [1, 2, 3, 1]
    assert layers_from_order([1, 2, 3, 4, 5], ((1, 2), (2, 3), (3, 2), (3, 4))).tolist() == [1, 2, 2, 2, 1]
    assert layers_from_order([5, 6], ((9, 5), (5, 6))).tolist() == [1, 2]  # 9 is not in this frame


def test_without_an_order_what_is_seen_to_cover_is_in_front() -> None:
    amodal = {1: Rle.encode(columns(0, 16)), 2: Rle.encode(columns(8, 24)), 3: Rle.encode(columns(24, 30))}
    visible = {1: Rle.encode(columns(0, 8)), 2: amodal[2], 3: amodal[3]}
    assert order_from_visible(amodal, visible) == ((2, 1),)
    assert order_from_visible({}, {}) == ()


def test_a_wrong_layer_counts_only_where_it_is_required() -> None:
    front, back = columns(8, 24), columns(0, 16)
    tracks = [Track(1, rles([front]), rles([front])), Track(2, rles([columns(0, 8)]), rles([back]))]
    truth = replace(clip_of(tracks, 1, 16, 32), order=(((1, 2),),))
    right = score_protocols([count_video("a", truth, truth)])["layered"].more
    assert right["iou_required"] == right["ap_required"] == right["right"] == 1
    wrong = score_protocols([count_video("a", replace(truth, order=(((2, 1),),)), truth)])["layered"].more
    assert (wrong["iou"], wrong["ap"], wrong["right"]) == (1, pytest.approx(1), 0)
    assert (wrong["iou_required"], wrong["ap_required"]) == (0, 0)
    assert wrong["layers"]["1"]["ap_required"] == 0 and wrong["ceiling"]["layers"]["2"]["ap_required"] == pytest.approx(
        1
    )
    assert set(wrong["layers"]) == {"1", "2"}


# Pixels


def slow_outline(mask: np.ndarray) -> list[tuple[int, int]]:
    height, width = mask.shape
    points = []
    for y, x in np.ndindex(height, width):
        neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if y == height - 1 or x == width - 1:  # at the border only along it
            neighbours = [(y, x + 1)] if y == height - 1 else [(y + 1, x)]
        if any(i < height and j < width and mask[i, j] != mask[y, x] for i, j in neighbours):
            points.append((y, x))
    return points


def slow_boundary_f(predicted: np.ndarray, true: np.ndarray, reach: int) -> float:
    ours, theirs = (np.array(slow_outline(mask)).reshape(-1, 2) for mask in (predicted, true))
    if not len(ours) or not len(theirs):
        return float(len(ours) == len(theirs))
    near = ((ours[:, None] - theirs[None]) ** 2).sum(axis=2) <= reach**2
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@given(seeds)
@settings(deadline=None, max_examples=25)
def test_boundary_f_is_that_of_davis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.zeros((40, 120), dtype=bool)
    top, left = rng.integers(-5, 35), rng.integers(-5, 110)
    true[max(top, 0) : top + 15, max(left, 0) : left + 20] = True
    predicted = np.roll(true, rng.integers(-3, 4, size=2), axis=(0, 1)) & (
        rng.random(true.shape) < rng.choice([0.8, 1])
    )
    reach = boundary_tolerance(*true.shape)
    assert reach == 2
    expected = slow_boundary_f(predicted, true, reach)
    assert boundary_f(predicted, true, reach) == pytest.approx(expected, abs=1e-6)
    if true.any():
        track = count([([predicted], [true], [true])]).tracks[0]  # counted in a box around the object
        assert track.boundary_f[0] == pytest.approx(expected, abs=1e-6)


DISCS = [  # size, predicted and true (y, x, radius), F and J as davis2017-evaluation has them
    ((120, 160), (60, 70, 30), (63, 74, 33), 0.4271863117870722, 0.7861454440931303),
    ((256, 256), (10, 250, 60), (14, 244, 55), 1.0, 0.9621403331650682),
    ((480, 854), (240, 400, 150), (250, 420, 140), 0.2853055235300283, 0.8050445873789722),
    ((480, 854), (240, 853, 99), (243, 849, 101), 1.0, 0.9133774521389743),
]


@pytest.mark.parametrize(("size", "predicted", "true", "f", "j"), DISCS)
def test_f_and_j_are_the_values_of_the_davis_evaluation(
    size: tuple[int, int], predicted: tuple[int, int, int], true: tuple[int, int, int], f: float, j: float
) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    ours, theirs = ((y - row) ** 2 + (x - column) ** 2 < radius**2 for row, column, radius in (predicted, true))
    track = count([([ours], [theirs], [theirs])]).tracks[0]
    assert track.boundary_f[0] == pytest.approx(f, abs=1e-6)
    assert track.iou[0] == pytest.approx(j, abs=1e-6)


def test_boundary_f_of_nothing() -> None:
    assert boundary_f(NOTHING, NOTHING, 1) == 1
    assert boundary_f(NOTHING, WHOLE, 1) == boundary_f(WHOLE, NOTHING, 1) == 0
    assert boundary_tolerance(480, 854) == 8


def test_any_number_of_masks_may_be_compared() -> None:
    many = [np.arange(400).reshape(20, 20) < k for k in range(1, 301)]
    iou, shared, rows, columns = overlaps([Rle.encode(mask) for mask in many], [Rle.encode(many[9])])
    assert rows.tolist() == list(range(1, 301)) and columns.tolist() == [10]
    assert shared[:, 0].tolist() == [min(k, 10) for k in range(1, 301)] and iou[9, 0] == 1


@given(seeds)
@settings(deadline=None, max_examples=25)
def test_areas_and_iou_of_run_lengths_are_those_of_pixels_and_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((13, 17)) < rng.random() for _ in range(5)]
    masks = [mask | (np.arange(13 * 17).reshape(13, 17) == 3) for mask in masks]
    one, other = [Rle.encode(m) for m in masks[:2]], [Rle.encode(m) for m in masks[2:]]
    iou, shared, rows, columns_ = overlaps(one, other)
    assert (iou == coco_mask.iou([pack(m) for m in one], [pack(m) for m in other], [0] * 3)).all()
    assert shared.tolist() == [[(a & b).sum() for b in masks[2:]] for a in masks[:2]]
    assert [*rows, *columns_] == [m.sum() for m in masks]
    assert shared_area(*(pack(m) for m in one)) == (masks[0] & masks[1]).sum()


# Time


def test_drift_and_identity_through_a_hidden_spell() -> None:
    def at(left: int) -> np.ndarray:
        return columns(left, left + 8)

    amodal = [at(0), at(2), at(4), at(6)]
    visible = [at(0), NOTHING, NOTHING, at(6)]
    stays = behind([([at(0), at(0), at(0), at(6)], amodal, visible)])
    assert list(hidden_spells(stays.tracks[0])) == [(1, 3)]
    time = score_temporal([stays])
    size = (16 * 8) ** 0.5
    assert (time.spells, time.lost) == (1, 0)
    assert time.drift == {
        "1": pytest.approx(2 / size),
        "2-3": pytest.approx(4 / size),
        "4-7": None,
        "8-15": None,
        "16+": None,
    }
    assert time.identity_hidden == time.identity_after == 1
    lost = score_temporal([behind([([at(0), NOTHING, NOTHING, at(20)], amodal, visible)])])
    assert (lost.lost, lost.identity_hidden, lost.identity_after) == (1, 0, 0)
    assert set(lost.drift.values()) == {None}


def test_the_identity_is_lost_where_another_object_fits_better() -> None:
    one, other = columns(0, 12), columns(10, 22)
    visible = [one, NOTHING, one]
    taken = [one, other, other]
    video = behind([(taken, [one] * 3, visible), ([other] * 3, [other] * 3, [other] * 3)])
    time = score_temporal([video])
    assert (time.spells, time.identity_hidden, time.identity_after) == (1, 0, 0)


def test_a_spell_before_the_first_sight_is_none() -> None:
    video = behind([([WHOLE] * 3, [WHOLE] * 3, [NOTHING, WHOLE, WHOLE])])
    assert score_temporal([video]).spells == 0


def test_what_each_measure_fails_to_notice() -> None:
    amodal = [columns(t, t + 12) for t in range(8)]
    visible = [mask & ~columns(8, 12) if 2 <= t < 5 else mask for t, mask in enumerate(amodal)]
    visible[3] = NOTHING
    truth = clip_of([Track(1, rles(visible), rles(amodal))], 8, 16, 32)
    scores = {name: score_video(count_video("a", probe(truth), truth)) for name, probe in PROBES.items()}
    assert scores["perfect"].full == 1 and scores["perfect"].flicker == 0
    assert scores["constant error"].flicker == 0 and (scores["constant error"].full or 0) < 0.75
    assert (scores["constant mask"].flicker or 0) > 0 and (scores["constant mask"].hidden or 0) > 0
    assert scores["copied visible mask"].false_completion == scores["copied visible mask"].hidden == 0


# Strata


def test_strata_take_their_frames_and_no_others() -> None:
    eighths = [0, 1, 3, 4, 6, 8, 0, 0, 0, 0]
    amodal = [columns(4, 20)] * 10
    visible = [columns(4, 20 - 2 * n) for n in eighths]
    predicted = [v if n == 6 else a for n, a, v in zip(eighths, amodal, visible, strict=True)]
    strata = score_strata([behind([(predicted, amodal, visible)])])
    frames = {name: scores.object_frames for name, scores in strata.items()}
    assert list(frames.values()) == [5, 1, 1, 1, 1, 1, 3, 10]
    assert (strata["70-100 % hidden"].full, strata["70-100 % hidden"].occ) == (pytest.approx(0.25), 0)
    assert strata["unoccluded (< 5 %)"].occ is None and strata["fully hidden"].full == 1
    assert strata["fully hidden"].full_interval is None  # one video


def test_an_object_leaves_the_frame_where_it_touches_the_border_or_goes_on_beyond_it() -> None:
    inside = np.zeros((16, 32), dtype=bool)
    inside[4:12, 4:12] = True
    touching = np.roll(inside, -4, axis=1)
    video = behind([([inside, touching],) * 3])
    assert video.tracks[0].leaving.tolist() == [False, True]
    canvas = replace(clip_of([], 1, 16, 32).video, canvas=(0, 8, 0, 0))
    for full, leaves in (
        (np.pad(touching, ((0, 0), (8, 0))), False),
        (np.pad(touching, ((0, 0), (8, 0)), mode="edge"), True),
    ):
        track = Track(1, rles([touching]), rles([touching]), amodal_full=rles([full]))
        assert count_video("a", None, ClipTracks(canvas, (track,))).tracks[0].leaving.tolist() == [leaves]


# Properties


@given(seeds)
@settings(deadline=None, max_examples=15)
def test_other_ids_change_nothing_not_even_among_equal_confidences(seed: int) -> None:
    prediction, truth = pair(random_objects(seed))
    rename = dict(enumerate(np.random.default_rng(seed).permutation(len(truth.tracks)).tolist()))

    def renamed(clip: ClipTracks) -> ClipTracks:
        tracks = [replace(track, id=rename[track.id]) for track in clip.tracks]
        return replace(clip, tracks=tuple(sorted(tracks, key=lambda track: track.id)))

    before = score_counts([count_video("a", prediction, truth)])
    after = score_counts([count_video("a", renamed(prediction), renamed(truth))])
    assert close(before.record()["protocols"], after.record()["protocols"])
    assert close(before.strata, after.strata) and close(before.primary, after.primary)
    assert close(before.time, after.time)


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_the_same_video_twice_changes_no_mean_and_narrows_the_interval(seed: int) -> None:
    prediction, truth = pair(random_objects(seed))
    once = [count_video("a", prediction, truth)]
    twice = [*once, count_video("b", prediction, truth)]
    single, double = score_counts(once), score_counts(twice)
    assert close(single.record()["protocols"], double.record()["protocols"])
    for name, interval in double.interval.items():
        value = getattr(single.primary, name)
        assert interval is None if value is None else interval == (pytest.approx(value), pytest.approx(value))


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_splitting_a_video_changes_only_the_protocols_that_weigh_objects(seed: int) -> None:
    objects = [([p[0], *p], [a[0], *a], [a[0], *v]) for p, a, v in random_objects(seed) if a[0] is not None]
    half = len(objects[0][0]) // 2
    for p, a, v in objects:  # every object is seen in both parts
        p[half], a[half], v[half] = p[0], a[0], a[0]
    parts = [[(p[s], a[s], v[s]) for p, a, v in objects] for s in (slice(0, half), slice(half, None))]
    whole = score_protocols([count(objects)])
    split = score_protocols([count(part, key) for part, key in zip(parts, "ab", strict=True)])
    for name in ("c2f-image", "cumulative-iou", "eoras", "diffusion-vas", "coco"):
        assert close(whole[name], split[name]), name


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_predictions_cropped_to_nothing_score_nothing(seed: int) -> None:
    objects = random_objects(seed)
    video = count([([None] * len(a), a, v) for _, a, v in objects])
    result = score_counts([video])
    assert all(getattr(result.primary, name) in (0, None) for name in ("full", "occ", "hidden", "track_iou"))
    assert result.primary.false_completion in (0, None)
    for name in ("primary", "c2f-video", "eoras", "tabe", "cumulative-iou"):
        assert result.protocols[name].full in (0, None) and result.protocols[name].occ in (0, None)
    assert result.protocols["coco"].more["ap"] in (0, None)
    json.loads(result.to_json())


# Several methods


def test_differences_are_paired_by_video() -> None:
    easy: Object = ([columns(0, 12)] * 2, [WHOLE] * 2, [columns(0, 12)] * 2)
    hard: Object = ([columns(0, 4)] * 2, [WHOLE] * 2, [columns(0, 4)] * 2)
    first = [score_video(count([each])) for each in (easy, hard)]
    better = [replace(scores, full=(scores.full or 0) + 0.1) for scores in first]
    gap = paired_differences(better, first)["full"]
    assert gap.mean == pytest.approx(0.1) and gap.interval == pytest.approx((0.1, 0.1))
    assert paired_differences(first, first)["occ"].mean == 0


def toy(masks: Masks) -> ClipTracks:
    merged = [m | v for m, v in zip(masks, VISIBLE, strict=True) if m is not None]
    return clip_of([Track(4, rles(VISIBLE), rles(merged))], 10, 16, 32)


def written(folder: Path, masks: Mapping[str, Masks]) -> Path:
    for key, each in masks.items():
        write_tracks(folder / f"{key}.tracks.json", toy(each))
    return folder


def test_evaluate_compares_several_predictions_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = written(tmp_path / "truth", {"a": TOY["perfect"], "b": TOY["perfect"]})
    first = written(tmp_path / "one" / "run", {"a": TOY["half"], "b": TOY["copy"]})
    second = written(tmp_path / "two" / "run", {"a": TOY["perfect"], "b": TOY["misses two"]})
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--truth", str(truth), "--out", str(out), "--quiet"]
    for paths in ([first], [first, second]):
        with pytest.raises(SystemExit) as left:
            main([*command, *(word for path in paths for word in ("--pred", str(path)))])
        assert left.value.code == 0
        record = json.loads(out.read_text())
        assert ("others" in record) == (len(paths) == 2)
        assert record["primary"]["occ"] == pytest.approx(0.25)
        assert {"strata", "time", "coco", "layered", "hides", "baselines", "videos"} <= record.keys()
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 110
    gap = record["others"]["two/run"]["difference"]["occ"]
    assert gap["mean"] == pytest.approx(0.8 - 0.25) and gap["interval"] == pytest.approx([0.5, 0.6])
    with pytest.raises(SystemExit) as left:
        main([*command, "--pred", str(first), "--pred", str(first)])
    assert left.value.code == 2 and "given twice" in capsys.readouterr().err


def test_tables_show_what_is_missing() -> None:
    empty = score_counts([])
    for text in (
        tables.format_strata(empty.strata),
        tables.format_protocols(empty.protocols),
        tables.format_ranked(empty.protocols, empty.time),
        tables.format_temporal(empty.time),
    ):
        assert "-" in text
