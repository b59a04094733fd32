"""Baselines: what each completes, and the rules that they keep as every prediction does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.baselines.helpers import clip_of, picture, seeds
from vidamodal import baselines
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.types import ClipTracks, InputError


def amodal(clip: ClipTracks, number: int, frame: int) -> np.ndarray | None:
    masks = {track.id: track.amodal for track in clip.tracks}[number]
    assert masks is not None
    mask = masks[frame]
    return None if mask is None else mask.decode()


def random_masks(seed: int, frames: int = 4) -> dict[int, list[np.ndarray | None]]:
    """Disjoint visible masks of three objects; some frames empty or unknown, one object never visible."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 20, size=2))
    owners = rng.integers(4, size=(frames, height // 4 + 1, width // 4 + 1)).repeat(4, axis=1).repeat(4, axis=2)
    owners = owners[:, :height, :width] * (rng.random((frames, height, width)) < 0.8)
    masks: dict[int, list[np.ndarray | None]] = {
        number: [None if rng.random() < 0.2 else frame == number for frame in owners] for number in (1, 2, 3)
    }
    masks[7] = [np.zeros((height, width), dtype=bool)] * frames
    return masks


def test_each_baseline_completes_what_its_name_says() -> None:
    ring = picture("####", "#..#", "####")
    other = picture("....", ".#..", "....")
    clip = clip_of({1: [ring], 2: [other]})
    expected = {
        "copy-visible": ring,
        "hull": picture("####", "####", "####"),
        "hull-under-occluders": picture("####", "##.#", "####"),
    }
    assert set(load_baselines()) == {*expected, "last-complete-shape"}
    for name, mask in expected.items():
        completed = amodal(predict_baseline(name, clip), 1, 0)
        assert completed is not None and (completed == mask).all()


def test_null_and_empty_frames() -> None:
    seen, nothing = picture("##", "#."), picture("..", "..")
    clip = clip_of({1: [None, nothing, seen, None, seen, None], 2: [nothing] * 6})
    for name in load_baselines():
        tracks = {track.id: track for track in predict_baseline(name, clip).tracks}
        masks = tracks[1].amodal
        assert masks is not None
        remembers = name == "last-complete-shape"
        assert [m and m.area() > 0 for m in masks] == [None, remembers, True, remembers, True, None]
        assert tracks[1].confidence == (None, 1.0, 1.0, 1.0, 1.0, None)
        assert tracks[2].amodal == (None,) * 6 == tracks[2].confidence


@given(seeds, st.sampled_from(sorted(load_baselines())))
@settings(max_examples=40)
def test_predictions_keep_the_format_s_rules(seed: int, name: str) -> None:
    visible = random_masks(seed)
    clip = clip_of(visible)
    predicted = predict_baseline(name, clip)
    assert loads_tracks(dumps_tracks(predicted), "predicted") == predicted  # the writer and the reader check it
    for before, after in zip(clip.tracks, predicted.tracks, strict=True):
        assert (after.id, after.visible, after.label) == (before.id, before.visible, before.label)
        span = before.span if before.ever_visible else None
        assert after.amodal is not None
        for t, mask in enumerate(after.amodal):
            assert (mask is not None) == (span is not None and span[0] <= t < span[1])
            seen = visible[after.id][t]
            if mask is None or seen is None:
                continue
            completed = mask.decode()
            assert not (seen & ~completed).any()
            if predicted.exhaustive:
                others = [masks[t] for number, masks in visible.items() if number != after.id]
                under = np.any([m for m in others if m is not None], axis=0)
                assert not (completed & ~seen & ~under).any()


TOY_BASELINE = """
from vidamodal.types import Rle

ID = "toy"
ADDS_ONLY_UNDER_OCCLUDERS = True

def complete(visible, covered):
    return list(covered)
"""


def test_a_new_baseline_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_baseline.py").write_text(TOY_BASELINE)
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    load_baselines.cache_clear()
    try:
        predicted = predict_baseline("toy", clip_of({1: [picture("#.")], 2: [picture(".#")]}))
    finally:
        load_baselines.cache_clear()
    assert [[mask and mask.area() for mask in track.amodal or ()] for track in predicted.tracks] == [[2], [2]]
    assert predicted.provenance == {"baseline": "toy"}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="copy-visible"):
        predict_baseline("best", clip_of({1: [picture("#")]}))
