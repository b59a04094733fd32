"""From logits to masks: partial scenes, and confidences of detected tracks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tests.inference.helpers import behind_a_bar
from vidamodal.geometry import Window, paste
from vidamodal.inference.compose import (
    NEGLIGIBLE,
    MaskRules,
    ObjectContext,
    WindowLogits,
    compose_object,
    measure_extent,
)
from vidamodal.inference.predictor import Predictor
from vidamodal.models.amodal import AmodalModel
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.runs import LabelRuns, Runs
from vidamodal.types import Rle


def test_the_confidence_of_a_detection_multiplies_that_of_the_prediction(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    disc_track, bar_track = clip.tracks
    known = tuple(None if t == 3 else 0.1 + 0.1 * t for t in range(6))
    amodal = tuple(None if value is None else mask for value, mask in zip(known, disc_track.visible, strict=True))
    detected = replace(clip, tracks=(replace(disc_track, amodal=amodal, confidence=known), bar_track))
    plain, weighted = (Predictor(model).predict(each) for each in (clip, detected))
    assert plain.tracks[1] == weighted.tracks[1]
    before, after = (np.array(clip.tracks[0].confidence, dtype=float) for clip in (plain, weighted))
    mean = float(np.mean([value for value in known if value is not None]))
    factors = np.array([mean if value is None else value for value in known])
    np.testing.assert_allclose(after, before * factors)
    several = Predictor(model, hypotheses=2).predict(detected).tracks[0]
    best = max(hypothesis.score for hypothesis in several.hypotheses)
    assert best == pytest.approx(np.mean(np.array(several.confidence, dtype=float)))


STRICT = MaskRules(0.5, PartialDecision(temperature=2.0, shift=-1.0, threshold=0.6), presence=0.5, all_sampled=False)
"""Rules under which a logit of 2 is enough elsewhere, and not at a pixel that may show an occluder without a mask."""


def scene(visible: bool, partial: bool) -> ObjectContext:
    """An object in the left third of an image; another listed one in the right third."""
    labels = np.zeros((12, 12), dtype=np.uint16)
    labels[:, 8:] = 2
    mask = np.zeros((12, 12), dtype=bool)
    if visible:
        mask[:, :4] = True
        labels[:, :4] = 1
    weights = np.array([float(partial), 0.0, 1.0])
    return ObjectContext(Window.around(12, 12), Runs.of_mask(mask), LabelRuns.of_map(labels), weights)


def columns_of(context: ObjectContext, logit: float, rules: MaskRules = STRICT) -> list[int]:
    prediction = compose_object(WindowLogits(np.full((1, 12, 12), logit, dtype=np.float32), context), rules)
    mask = prediction.masks[0].decode()
    assert (mask == mask[:1]).all()
    return np.flatnonzero(mask[0]).tolist()


def test_pixels_that_may_show_an_unlisted_occluder_need_a_higher_probability() -> None:
    assert columns_of(scene(visible=True, partial=True), 2.0) == [0, 1, 2, 3, 8, 9, 10, 11]
    assert columns_of(scene(visible=True, partial=True), 4.0) == list(range(12))


def test_an_object_of_which_nothing_is_visible_keeps_the_ordinary_threshold() -> None:
    assert columns_of(scene(visible=False, partial=True), 0.5) == list(range(12))


def test_an_exhaustive_scene_keeps_the_ordinary_threshold() -> None:
    assert columns_of(scene(visible=True, partial=False), 0.5) == [0, 1, 2, 3, 8, 9, 10, 11]


def test_without_settings_for_partial_scenes_all_pixels_are_decided_alike() -> None:
    rules = MaskRules(0.5, PartialDecision(), presence=0.5, all_sampled=False)
    assert columns_of(scene(visible=True, partial=True), 0.5, rules) == list(range(12))


def test_the_confidence_follows_the_calibrated_probabilities() -> None:
    context = scene(visible=True, partial=True)
    logits = np.full((1, 12, 12), 2.0, dtype=np.float32)
    plain, strict = (
        compose_object(
            WindowLogits(logits, context), MaskRules(0.0, decision, presence=0.5, all_sampled=False)
        ).confidence[0]
        for decision in (PartialDecision(threshold=0.0), PartialDecision(shift=-2.0, threshold=0.0))
    )
    assert strict < plain


def test_judged_logits_count_where_an_occluder_may_have_no_mask() -> None:
    context = scene(visible=True, partial=True)
    values = np.full((1, 12, 12), 5.0, dtype=np.float32)
    rejected = WindowLogits(values, context, np.full_like(values, -10.0))
    mask = compose_object(rejected, STRICT).masks[0].decode()
    assert np.flatnonzero(mask[0]).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def plain_mask(logits: WindowLogits, rules: MaskRules) -> tuple[np.ndarray, float, float]:
    """The mask, its confidence computed on all pixels of the image, and that without negligible pixels."""
    context, partial = logits.context, rules.partial
    size, labels = context.size, context.labels.decode()
    rows, columns, values = paste(logits.values[0], context.window, *size)
    unknown = context.visible is None
    visible = np.zeros(size, dtype=bool) if context.visible is None else context.visible.decode()
    uncertain = (labels == 0) & context.possible
    probability, inside = np.zeros(size), np.zeros(size, dtype=bool)
    probability[rows, columns], inside[rows, columns] = values, True
    counted = probability > NEGLIGIBLE
    probability = expit(np.where(uncertain, probability / partial.temperature + partial.shift, probability))
    weights = context.weights[labels]
    if context.open is not None:
        weights = np.where((labels > 0) | context.open.decode(), weights, 0)
    probability = np.where(visible, 1.0, probability * (1 if unknown else weights)) * (inside | visible)
    mask = visible | (probability > np.where(uncertain, partial.threshold, rules.threshold))
    both = probability[mask].sum() + 1
    missed = (probability * ~mask).sum(), (probability * ~mask * counted).sum()
    low, high = (float(both / (mask.sum() + each + 1)) for each in missed)
    return mask, low, high


@st.composite
def contexts(draw: st.DrawFn) -> ObjectContext:
    """An object with any visible mask among labels in blocks, in a window anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    blocks = rng.integers(0, 4, (height // 7 + 1, width // 7 + 1)).astype(np.uint16)
    labels = np.kron(blocks, np.ones((7, 7), dtype=np.uint16))[:height, :width]
    visible = Runs.of_mask((labels == 1) & (rng.random(labels.shape) < draw(st.sampled_from([0, 0.9]))))
    center = draw(st.floats(-10, 50)), draw(st.floats(-10, 50))
    side = draw(st.floats(2, 70))
    weights = np.append([draw(st.sampled_from([0.0, 1.0])), 0.0], rng.choice([0.0, 0.4, 0.7, 1.0], 2))
    opened = Runs.of_mask((labels == 0) & (rng.random(labels.shape) < 0.5))
    unknown, depth = draw(st.booleans()), draw(st.booleans())
    return ObjectContext(
        Window(center, (side, side)),
        None if unknown else visible,
        LabelRuns.of_map(labels),
        weights,
        opened if depth else None,
    )


@settings(max_examples=200)
@given(contexts(), st.integers(0, 2**32 - 1), st.floats(-12, 6))
def test_masks_and_extents_are_those_computed_on_all_pixels(context: ObjectContext, seed: int, mean: float) -> None:
    values = np.random.default_rng(seed).normal(mean, 3, (1, 16, 16)).astype(np.float32)
    logits = WindowLogits(values, context)
    for rules in (STRICT, MaskRules(0.5, PartialDecision(), presence=0.5, all_sampled=False)):
        mask, low, high = plain_mask(logits, rules)
        prediction = compose_object(logits, rules)
        np.testing.assert_array_equal(prediction.masks[0].decode(), mask)
        assert prediction.masks == (Rle.encode(mask),)
        assert low - 1e-6 <= prediction.confidence[0] <= high + 1e-6
        kept = compose_object(logits, replace(rules, keep_probabilities=True))
        assert kept.masks == prediction.masks and kept.confidence[0] == pytest.approx(low, abs=1e-6)
    extent = measure_extent(logits, 0.5)
    whole = Rle.encode(mask)
    assert (None if extent is None else (extent.box, extent.area)) == (
        (whole.box(), whole.area()) if mask.any() else None
    )


def test_the_confidence_of_a_large_object_is_estimated_on_some_of_its_pixels() -> None:
    side, cells = 1000, 16
    labels = np.ones((side, side), dtype=np.uint16)
    labels[:, 450:] = 2
    visible = labels == 1
    distance = np.hypot(*(np.mgrid[:cells, :cells] - (cells - 1) / 2))
    values = (5 - distance).astype(np.float32)[None]
    context = ObjectContext(
        Window.around(side, side), Runs.of_mask(visible), LabelRuns.of_map(labels), np.array([0.0, 0.0, 1.0])
    )
    some = compose_object(WindowLogits(values, context), STRICT)
    every = compose_object(WindowLogits(values, context), replace(STRICT, keep_probabilities=True))
    assert some.masks == every.masks
    assert some.confidence[0] == pytest.approx(every.confidence[0], abs=0.003)
