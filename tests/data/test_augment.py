"""Degraded visible masks."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool

from vidamodal.data.augment import AugmentConfig, Degradation, _signed_depth, degrade
from vidamodal.types import InputError

KINDS = [f.name for f in fields(Degradation)]
SHARES = st.floats(0, 1)
STRENGTHS = st.builds(Degradation, **dict.fromkeys(KINDS, SHARES))


def test_fixed_objects_neither_merge_nor_lose_pieces() -> None:
    masks, fixed = squares(), np.array([True, False, True])
    for seed in range(10):
        out = degrade(masks, Degradation(merged=1.0, pieces=1.0), np.random.default_rng(seed), fixed).visible
        assert (out[0] >= masks[0]).all() and (out[2] == masks[2]).all()
        assert not out[1].any()  # it became part of its neighbour


def squares(frames: int = 6, size: int = 40) -> Bool[np.ndarray, "3 t h w"]:
    """Two touching squares and one by itself that moves and is gone in the second frame."""
    masks = np.zeros((3, frames, size, size), dtype=bool)
    masks[0, :, 8:20, 8:20] = True
    masks[1, :, 10:18, 20:32] = True
    for t in range(frames):
        masks[2, t, 26:36, 2 + t : 14 + t] = t != 1
    return masks


@st.composite
def clips(draw: st.DrawFn) -> Bool[np.ndarray, "n t h w"]:
    """Objects that hide each other: boxes anywhere, the later ones in front, some of them empty."""
    objects, frames = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks = np.zeros((objects, frames, height, width), dtype=bool)
    for k in range(objects):
        for t in range(frames):
            top, left = rng.integers(0, (height, width))
            high, wide = rng.integers(0, (height, width))
            masks[:k, t, top : top + high, left : left + wide] = False
            masks[k, t, top : top + high, left : left + wide] = True
    return masks


@settings(max_examples=60)
@given(clips(), STRENGTHS, st.integers(0, 1000))
def test_degraded_masks_stay_disjoint_and_depend_on_the_seed_alone(
    masks: Bool[np.ndarray, "n t h w"], how: Degradation, seed: int
) -> None:
    before = masks.copy()
    degraded = degrade(masks, how, np.random.default_rng(seed))
    assert (masks == before).all()
    assert degraded.visible.shape == masks.shape and degraded.visible.dtype == bool
    assert degraded.known.shape == masks.shape[:2] and degraded.listed.shape == masks.shape[:1]
    assert degraded.visible.sum(axis=0).max(initial=0) <= 1
    assert not degraded.visible[~degraded.known].any()
    again = degrade(masks, how, np.random.default_rng(seed))
    assert all((getattr(degraded, f.name) == getattr(again, f.name)).all() for f in fields(degraded))


@settings(max_examples=20)
@given(clips(), st.integers(0, 1000))
def test_zero_strengths_change_nothing(masks: Bool[np.ndarray, "n t h w"], seed: int) -> None:
    degraded = degrade(masks, Degradation(), np.random.default_rng(seed))
    assert (degraded.visible == masks).all() and degraded.known.all() and degraded.listed.all()


@settings(max_examples=30)
@given(clips(), st.sampled_from(["pieces", "dropped", "unknown", "gaps"]), SHARES, st.integers(0, 1000))
def test_lost_masks_gain_no_pixels(masks: Bool[np.ndarray, "n t h w"], kind: str, share: float, seed: int) -> None:
    degraded = degrade(masks, Degradation(**{kind: share}), np.random.default_rng(seed))
    assert not (degraded.visible & ~masks).any() and degraded.listed.all()
    if kind != "pieces":  # a frame is lost as a whole, or not at all
        kept = degraded.visible.any(axis=(2, 3))
        assert (degraded.visible[kept] == masks[kept]).all()
    assert degraded.known.all() or kind in ("unknown", "gaps")
    if kind == "gaps":
        assert (degraded.known == degraded.known[:1]).all()


@settings(max_examples=30)
@given(clips(), st.floats(0, 0.5), st.integers(0, 1000))
def test_edges_move_at_most_by_their_strength(masks: Bool[np.ndarray, "n t h w"], amount: float, seed: int) -> None:
    degraded = degrade(masks, Degradation(edge=amount), np.random.default_rng(seed)).visible
    for before, after in zip(masks, degraded, strict=True):
        push = amount * np.sqrt(before.sum(axis=(1, 2)).max())
        reach = int(np.ceil(push))
        depth = _signed_depth(before, reach)
        assert not (after & (depth < -push)).any()
        # What is deeper inside than that is kept, unless a neighbour pushed in.
        lost = before & ~after & (depth > push)
        assert not (lost & ~degraded.any(axis=0)).any()


def test_depth_is_the_distance_to_the_outline() -> None:
    mask = np.zeros((1, 1, 9), dtype=bool)
    mask[..., 3:] = True  # an object that leaves the image goes on beyond it
    assert _signed_depth(mask, 3).ravel().tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 3.5, 3.5]
    disc = np.hypot(*np.mgrid[-20:21, -20:21])[None]
    assert np.abs(_signed_depth(disc < 10, 6) - np.clip(10 - disc, -6, 6)).max() < 1.3


def test_edges_move_in_and_out_and_change_between_frames() -> None:
    masks = np.zeros((1, 12, 64, 64), dtype=bool)
    masks[0, :, 16:48, 16:48] = True
    degraded = degrade(masks, Degradation(edge=0.1), np.random.default_rng(0)).visible
    assert (degraded & ~masks).any() and (masks & ~degraded).any()
    assert (degraded[0, 1:] != degraded[0, :-1]).any(axis=(1, 2)).all()
    wider = degrade(masks, Degradation(edge=0.2), np.random.default_rng(0)).visible
    assert (wider != masks).sum() > 1.5 * (degraded != masks).sum() > 0


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("kind", ["pieces", "dropped", "unknown", "gaps", "missing", "merged"])
def test_the_configured_share_is_degraded(kind: str, share: float) -> None:
    masks = np.repeat(squares(), 50, axis=1)
    rng = np.random.default_rng(0)
    degraded = [degrade(masks, Degradation(**{kind: share}), rng) for _ in range(20)]
    seen = np.asarray(masks.any(axis=(2, 3)))
    if kind == "missing":
        measured = np.mean([~s.listed for s in degraded])
    elif kind in ("unknown", "gaps"):
        measured = np.mean([~s.known for s in degraded])
    elif kind == "merged":  # the two that touch: one of them can go at a time
        gone = np.mean([seen[:2] & ~s.visible[:2].any(axis=(2, 3)) for s in degraded])
        assert gone == pytest.approx(share - share**2 / 2, abs=0.06)
        return
    else:
        measured = np.mean([(s.visible != masks).any(axis=(2, 3))[seen] for s in degraded])
    assert measured == pytest.approx(share, abs=0.15 if kind == "missing" else 0.06)


def test_merged_masks_go_to_the_neighbour() -> None:
    masks = squares()
    degraded = degrade(masks, Degradation(merged=1.0), np.random.default_rng(3)).visible
    assert (degraded[2] == masks[2]).all()  # it touches nobody
    assert (degraded[:2].any(axis=0) == masks[:2].any(axis=0)).all()
    assert (degraded[:2].any(axis=(2, 3)).sum(axis=0) == 1).all()


def test_a_missing_piece_has_a_constant_place() -> None:
    masks = squares()
    degraded = degrade(masks, Degradation(pieces=1.0), np.random.default_rng(1)).visible
    lost = (masks & ~degraded)[0]
    assert 0.05 < lost[0].sum() / masks[0, 0].sum() < 0.3
    assert (lost == lost[:1]).all()


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_strengths_outside_0_to_1_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="edge"):
        Degradation(edge=value)


def test_clips_that_are_not_partial_have_only_unknown_frames() -> None:
    rng, config = np.random.default_rng(0), AugmentConfig(unknown=0.5, noise=0.5)
    clean = [config.sample_degradation(rng, partial=False) for _ in range(50)]
    assert all(replace(how, unknown=0, gaps=0) == Degradation() for how in clean)
    assert any(how.unknown for how in clean) and any(how.gaps for how in clean)
    partial = [config.sample_degradation(rng, partial=True) for _ in range(50)]
    assert all(how.missing for how in partial) and 10 < sum(how.edge > 0 for how in partial) < 40
