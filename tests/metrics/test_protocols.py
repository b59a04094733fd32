"""Named protocols on tracks scored by hand, one odd rule at a time, and under transformations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.metrics.helpers import (
    NOTHING,
    OCCLUDER,
    TOY,
    VISIBLE,
    WHOLE,
    Object,
    clip_of,
    close,
    columns,
    count,
    count_behind,
    everything,
    random_objects,
    rles,
    seeds,
)
from tests.metrics.properties import check_invariance, check_perfect_scores, mapped
from vidamodal.metrics import protocols, tables
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.evaluate import score_counts
from vidamodal.metrics.protocols import load_protocols, score_protocols
from vidamodal.types import Track

Pair = tuple[float | None, float | None]


def pair_of_scores(video: VideoCounts, name: str) -> Pair:
    scores = score_protocols([video])[name]
    return scores.full, scores.occ


EXPECTED: dict[str, dict[str, Pair]] = {
    "savos": {"perfect": (1, 1), "copy": (0.625, 0), "half": (0.8125, 0.5), "misses two": (0.875, 0.75)},
    "c2f-video": {"perfect": (1, 5 / 9), "copy": (0.75, 0), "half": (0.875, 2.5 / 9), "misses two": (7.75 / 9, 3 / 9)},
    "c2f-image": {"perfect": (1, 1), "copy": (0.75, 0), "half": (0.875, 0.5), "misses two": (7.75 / 9, 0.6)},
    "eoras": {"perfect": (1, 0), "copy": (0.75, 0), "half": (0.875, 2.5 / 9), "misses two": (7.75 / 9, 0)},
    "diffusion-vas": {"perfect": (1, 1), "copy": (0.675, None), "half": (0.8375, 0.5), "misses two": (0.875, 1)},
    "tabe": {"perfect": (1, 1), "copy": (0.675, 0), "half": (0.8375, 0.5), "misses two": (0.875, 4 / 6)},
    "cumulative-iou": {"perfect": (1, 1), "copy": (0.675, 0), "half": (0.8375, 0.5), "misses two": (0.875, 2 / 3.25)},
}
EXPECTED["c2f-video-post"] = EXPECTED[
    "c2f-video"
]  # nothing here is predicted over background  # nothing here is predicted over background


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("prediction", TOY)
def test_every_rule_scores_the_toy_track_as_its_code_does(name: str, prediction: str) -> None:
    video = count_behind([(TOY[prediction], [WHOLE] * 10, VISIBLE)], OCCLUDER)
    if name == "diffusion-vas":  # the table was made without its erosion, which has a test of its own
        (track,) = video.tracks
        areas = [track.pixels(p=1, v=0), track.pixels(a=1, v=0), track.pixels(p=1, a=1, v=0)]
        video = replace(video, tracks=(replace(track, eroded=np.stack(areas, axis=1)),))
    scores = score_protocols([video])[name]
    for value, expected in zip((scores.full, scores.occ), EXPECTED[name][prediction], strict=True):
        assert value == (None if expected is None else pytest.approx(expected, abs=1e-6))
    assert (scores.ceiling_full, scores.ceiling_occ) == pytest.approx(EXPECTED[name]["perfect"])


# The rules' odd cases, one at a time


def test_every_protocol_is_discovered_and_says_what_it_hides() -> None:
    rules = load_protocols()
    assert list(rules) == PROTOCOLS
    assert all(rule.HIDES and "\n" not in rule.HIDES and len(rule.HIDES) < 92 for rule in rules.values())


PROTOCOLS = [
    "primary",
    *("c2f-image", "c2f-video", "c2f-video-post", "coco", "cumulative-iou"),
    *("diffusion-vas", "eoras", "hota", "layered", "mosev2", "savos", "tabe"),
]
SCALE_FREE = ["primary", "c2f-image", "c2f-video", "c2f-video-post", "cumulative-iou", "tabe"]
"""The others have sizes in pixels: a 5 x 5 erosion, 32 bits, 16 shared pixels, a millionth of a pixel."""


TOY_PROTOCOL = """
ID = "toy"
HIDES = "everything"

def score(videos):
    return {"full": float(len(videos)), "occ": None}
"""


def test_a_new_protocol_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_protocol.py").write_text(TOY_PROTOCOL)
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    load_protocols.cache_clear()
    try:
        result = score_counts([count([([WHOLE], [WHOLE], [WHOLE])])])
    finally:
        load_protocols.cache_clear()
    assert result.record()["protocols"]["toy"] == {"full": 1.0, "occ": None, "ceiling_full": 1.0, "ceiling_occ": None}
    assert "toy" in tables.format_protocols(result.protocols)


def test_c2f_image_weighs_object_frames_alike_and_pastes_the_visible_mask() -> None:
    half = columns(0, 8)
    nothing = np.zeros_like(half)
    long = ([nothing] * 3, [WHOLE] * 3, [half] * 3)
    short = ([WHOLE, None, None], [WHOLE, None, None], [WHOLE, None, None])
    scores = score_protocols([count([long, short])])["c2f-image"]
    assert scores.full == pytest.approx((3 * 0.5 + 1) / 4)
    assert scores.occ == 0
    assert (scores.ceiling_full, scores.ceiling_occ) == (1, 1)


def test_savos_counts_empty_against_empty_as_one_and_looks_only_under_other_objects() -> None:
    half = columns(0, 8)
    wrong: Object = ([NOTHING] * 3, [WHOLE] * 3, [half] * 3)
    assert pair_of_scores(count_behind([wrong]), "savos") == pytest.approx((0.5, 1))  # hidden by what is not listed
    partly = count_behind([(([columns(0, 10)] * 3), [WHOLE] * 3, [half] * 3)], [columns(8, 12)] * 3)
    assert pair_of_scores(partly, "savos") == pytest.approx((10 / 16, 0.5))


def test_savos_drops_the_first_frame_and_the_last_of_an_object_that_fills_the_video() -> None:
    half, good, bad = columns(0, 8), columns(0, 16), columns(0, 8)
    occluder = [columns(8, 16)] * 3
    assert pair_of_scores(count_behind([([bad, good, bad], [WHOLE] * 3, [half] * 3)], occluder), "savos")[1] == 1
    late = count_behind([([bad, bad, good], [WHOLE] * 3, [NOTHING, half, half])], occluder)
    assert pair_of_scores(late, "savos")[1] == 1


def test_savos_keeps_what_is_hidden_by_more_than_a_tenth_and_less_than_seven_tenths() -> None:
    whole = columns(0, 20)
    for visible, kept in ((18, False), (17, True), (7, True), (6, False)):
        video = count_behind([([whole] * 3, [whole] * 3, [columns(0, visible)] * 3)], [columns(visible, 20)] * 3)
        assert (pair_of_scores(video, "savos")[1] == 1) == kept and (
            kept or pair_of_scores(video, "savos") == (None, None)
        )


def test_savos_means_go_over_the_objects_of_a_frame_and_then_over_frames() -> None:
    half, occluder = columns(0, 8), [columns(8, 16)] * 4
    often: Object = ([half] * 4, [WHOLE] * 4, [half] * 4)  # scored in frames 1 and 2
    once: Object = ([NOTHING, NOTHING, WHOLE, NOTHING], [WHOLE] * 4, [NOTHING, half, half, NOTHING])  # in frame 2
    assert pair_of_scores(count_behind([often, once], occluder), "savos")[1] == pytest.approx((0 + 0.5) / 2, abs=1e-5)


def test_eoras_keeps_what_is_exactly_right_up_to_31_pixels() -> None:
    for rows, kept in ((1, True), (2, False)):
        visible = columns(0, 8)
        amodal = visible.copy()
        amodal[:rows, 8:24] = True  # 16 or 32 hidden pixels
        occ = pair_of_scores(count_behind([([amodal], [amodal], [visible])]), "eoras")[1]
        assert occ == (pytest.approx(1, abs=1e-6) if kept else None)


def test_diffusion_vas_erodes_by_two_pixels_on_each_side_but_not_at_the_border() -> None:
    video = count_behind([([columns(0, 14)], [WHOLE], [columns(0, 8)])])
    assert video.tracks[0].eroded.tolist() == [[2 * 16, 4 * 16, 2 * 16]]
    assert pair_of_scores(video, "diffusion-vas") == pytest.approx((14 / 16, 0.5))
    missed = count_behind([([columns(0, 8)] * 2, [WHOLE] * 2, [columns(0, 8)] * 2)])
    assert pair_of_scores(missed, "diffusion-vas")[1] is None


def test_tabe_takes_missing_visible_pixels_for_wrong_hidden_ones() -> None:
    assert pair_of_scores(count_behind([([columns(4, 16)], [WHOLE], [columns(0, 8)])]), "tabe")[1] == pytest.approx(
        8 / 12
    )


def test_c2f_video_post_removes_errors_over_background() -> None:
    video = count_behind([([columns(0, 20)], [WHOLE], [columns(0, 8)])], [columns(8, 12)])
    assert pair_of_scores(video, "c2f-video-post") == pytest.approx((12 / 16, 4 / 8))
    assert pair_of_scores(video, "c2f-video") == pytest.approx((16 / 20, 8 / 12))


def test_cumulative_iou_is_one_ratio_over_all_videos() -> None:
    large: Object = ([columns(0, 8)], [WHOLE], [columns(0, 8)])
    small: Object = ([columns(0, 4)], [columns(0, 4)], [columns(0, 2)])
    scores = score_protocols([count_behind([large]), count_behind([small], key="second")])["cumulative-iou"]
    assert (scores.full, scores.occ) == pytest.approx((12 / 20, 2 / 10))


def test_coco_ranks_by_confidence_and_counts_extra_tracks_as_false_positives() -> None:
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


def test_tabe_has_figures_of_occluded_and_of_fully_occluded_frames() -> None:
    half, gone = columns(0, 8), [NOTHING, NOTHING]
    masks = [WHOLE, half, NOTHING], [WHOLE] * 3, [WHOLE, half, NOTHING]
    assert score_protocols([count([masks])])["tabe"].more["any_occlusion"] == pytest.approx((0.5 + 0) / 2)
    assert score_protocols([count([masks])])["tabe"].more["fully_occluded"] == 0
    left = [WHOLE, *gone], [WHOLE, *gone], [WHOLE, *gone]  # TABE counts an empty mask of an absent object as a miss
    assert score_protocols([count([left])])["tabe"].more["fully_occluded"] == 0


def moving_boxes(seed: int) -> VideoCounts:
    """Three moving boxes with gaps against jittered ones, of which two swap their ids halfway for an odd seed."""
    rng = np.random.default_rng(seed)
    frames, size = 12, (160, 200)
    true, predicted = np.zeros((2, 3, frames, *size), dtype=bool)

    def draw(masks: np.ndarray, t: int, top: int, left: int, height: int, width: int) -> None:
        masks[t, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True

    for k in range(3):
        top, left = rng.integers(0, 20), rng.integers(0, 20)
        height, width = rng.integers(8, 20, 2) * (3 if k == 0 else 1)
        down, right = rng.integers(-1, 3, 2)
        for t in range(frames):
            if not (k == 1 and t in (4, 5, 6)) and not (k == 2 and t >= 10):
                draw(true[k], t, top + down * t, left + right * t, height, width)
        for t in range(frames):
            if k == 0 and t == 3:
                continue
            dy, dx = rng.integers(-3, 4, 2)
            if k != 1 or t != 5:
                draw(predicted[k], t, top + down * t + dy, left + right * t + dx, height, width)
    if seed % 2:
        predicted[[0, 1], 6:] = predicted[[1, 0], 6:]
    return count([(list(predicted[k]), list(true[k]), list(true[k])) for k in range(3)])


TRACKEVAL = {
    (1,): (0.4519992964325061, 0.5587009810137665, 0.37280051813521214, 0.792141878268278, 34 / 65, 34 / 62, 34 / 68),
    (2,): (0.6062605043251184, 0.5802664259502592, 0.6363645366490809, 0.7890377717267573, 52 / 65, 52 / 62, 52 / 68),
    (1, 2): (0.5355996961648026, 0.569032083269641, 0.5098285416180839, 0.7896780378351407, 43 / 65, 43 / 62, 43 / 68),
}
"""HOTA, DetA, AssA, LocA, IDF1, IDR and IDP that TrackEval's HOTA and Identity return for ``moving_boxes``."""


@pytest.mark.parametrize("videos", TRACKEVAL)
def test_hota_and_idf1_equal_trackevals(videos: tuple[int, ...]) -> None:
    numbers = score_protocols([moving_boxes(seed) for seed in videos])["hota"].more
    names = ("hota", "deta", "assa", "loca", "idf1", "idr", "idp")
    assert [numbers[name] for name in names] == pytest.approx(TRACKEVAL[videos])
    assert all(numbers["ceiling"][name] == pytest.approx(1) for name in names)


MOSE_API: dict[int, list[tuple[float | None, ...]]] = {
    1: [
        (0.3671537396679262, 0.26135058920714443, None, None),
        (0.26537958189119804, 0.3004383024802764, (0.33627281840859813 + 1 / 3) / 2, 0.026509494183369772),
        (0.5948913939143537, 0.7203703703703704, 0.00546448087431694 / 2, None),
    ],
    2: [
        (0.7303577540850104, 0.4430709035643652, None, None),
        (0.5326443325633201, 0.61, (0.33774834437086093 + 1 / 3) / 2, (0.6059186207492022 + 0.665) / 2),
        (0.652275315887848, 0.7810344827586206, 0.005235602094240838 / 2, None),
    ],
}
"""J, F-dot, and J&F-dot of disappearance and reappearance that MOSE-api returns for each track of ``moving_boxes``."""


@pytest.mark.parametrize("seed", MOSE_API)
def test_mosev2_equals_its_own_code(seed: int) -> None:
    video = moving_boxes(seed)
    for track, expected in zip(video.tracks, MOSE_API[seed], strict=True):
        numbers = load_protocols()["mosev2"].score([replace(video, tracks=(track,))])
        for name, value in zip(("j", "f", "jf_disappear", "jf_reappear"), expected, strict=True):
            assert numbers[name] == (None if value is None else pytest.approx(value))


def test_mosev2_skips_the_ends_and_an_absence_at_the_start() -> None:
    absent = [NOTHING, NOTHING, NOTHING, WHOLE, WHOLE, WHOLE]
    late = ([WHOLE, NOTHING, NOTHING, WHOLE, WHOLE, NOTHING], absent, absent)
    numbers = load_protocols()["mosev2"].score([count([late])])
    assert numbers["jf"] == 1 and numbers["jf_reappear"] == 1 and numbers["jf_disappear"] is None
    short = load_protocols()["mosev2"].score([count([([WHOLE], [WHOLE], [WHOLE])])])
    assert set(short.values()) == {None}


# Properties


@given(seeds)
@settings(max_examples=25)
def test_a_perfect_prediction_scores_one_and_reaches_every_ceiling(seed: int) -> None:
    check_perfect_scores(random_objects(seed))


@given(seeds)
@settings(max_examples=25)
def test_flips_padding_at_the_side_and_the_order_of_objects_change_nothing(seed: int) -> None:
    check_invariance(random_objects(seed))


@given(seeds)
@settings(max_examples=25)
def test_transposing_a_square_changes_nothing(seed: int) -> None:
    objects = mapped(
        random_objects(seed), lambda mask: np.pad(mask, ((0, 40 - mask.shape[0]), (0, 40 - mask.shape[1])))
    )
    assert close(everything(mapped(objects, np.transpose)), everything(objects))


@given(seeds)
@settings(max_examples=25)
def test_doubling_the_resolution_changes_nothing(seed: int) -> None:
    objects = random_objects(seed)
    doubled = mapped(objects, lambda mask: mask.repeat(2, axis=0).repeat(2, axis=1))
    (scores, scaled), (expected, unscaled) = everything(doubled), everything(objects)
    assert scores == expected
    assert {name: scaled[name] for name in SCALE_FREE} == {name: unscaled[name] for name in SCALE_FREE}


@given(seeds)
@settings(max_examples=10)
def test_splitting_a_video_changes_only_the_protocols_that_weigh_objects(seed: int) -> None:
    objects = [
        ([p[0], *p], [a[0], *a], [a[0], *v]) for p, a, v in random_objects(seed) if a[0] is not None and a[0].any()
    ]
    half = len(objects[0][0]) // 2
    for p, a, v in objects:  # every object is seen in both parts
        p[half], a[half], v[half] = p[0], a[0], a[0]
    parts = [[(p[s], a[s], v[s]) for p, a, v in objects] for s in (slice(0, half), slice(half, None))]
    whole = score_protocols([count(objects)])
    split = score_protocols([count(part, key) for part, key in zip(parts, "ab", strict=True)])
    for name in ("c2f-image", "cumulative-iou", "eoras", "diffusion-vas", "coco"):
        assert close(whole[name], split[name]), name
