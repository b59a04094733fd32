"""Anchors: true masks that are kept, and from which the other frames of a track are completed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.inference.helpers import H, W, bar, behind_a_bar, check_prediction, clip_of, disc
from vidamodal.inference.anchors import RECALLED, Anchors, read_anchors
from vidamodal.inference.completion import Completion
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.scene import Scene
from vidamodal.models.amodal import AmodalModel, KnownMasks
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, InputError, Rle
from vidamodal.windows import WindowConfig

NOTHING = np.zeros((H, W), dtype=bool)


def anchored(clip: ClipTracks, masks: Mapping[int, Mapping[int, np.ndarray]]) -> ClipTracks:
    """Return the clip with amodal masks by track and frame; all others are null."""
    return replace(
        clip,
        tracks=tuple(
            replace(
                track,
                amodal=tuple(
                    Rle.encode(masks[track.id][t]) if t in masks.get(track.id, {}) else None
                    for t in range(clip.video.frames)
                ),
            )
            for track in clip.tracks
        ),
    )


@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize("hypotheses", [1, 2])
def test_anchors_come_back_unchanged_and_change_the_other_frames(
    model: AmodalModel, exhaustive: bool, hypotheses: int
) -> None:
    """Also where an anchor is larger than an exhaustive scene allows."""
    clip = behind_a_bar(40, exhaustive=exhaustive)
    hidden = replace(
        clip.tracks[0], visible=(*clip.tracks[0].visible[:30], Rle.encode(NOTHING), *clip.tracks[0].visible[31:])
    )
    clip = replace(clip, tracks=(hidden, clip.tracks[1]))
    odd, whole = disc(24.75, 24, 15), disc(24 + 0.25 * 9, 24, 12)
    predictor = Predictor(model, hypotheses=hypotheses)
    plain = predictor.predict(clip)
    result = predictor.predict(clip, anchors=anchored(clip, {1: {3: odd, 9: whole, 30: NOTHING}}))
    for amodal in (result.tracks[0].amodal or (), *(h.amodal for h in result.tracks[0].hypotheses)):
        assert [amodal[t] for t in (3, 9, 30)] == [Rle.encode(m) for m in (odd, whole, NOTHING)]
    confidence, before = result.tracks[0].confidence or (), plain.tracks[0].confidence or ()
    assert confidence[3] == confidence[9] == confidence[30] == 1
    changed = {t for t in range(40) if confidence[t] != before[t]} - {3, 9, 30}
    assert {2, 4, 8, 10} <= changed  # both ways in time
    assert result.tracks[1].visible == plain.tracks[1].visible
    assert predictor.notes == ["anchors: 3 frames of 1 track"]


def test_a_chunk_is_completed_from_the_nearest_anchors_outside_it(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = behind_a_bar(60, drift=0.0)
    frames = [0, 2, 4, 50, 52, 59]
    shown: list[KnownMasks | None] = []
    run = Completion._run_once
    monkeypatch.setattr(Completion, "_run_once", lambda *given: shown.append(given[2]) or run(*given))  # type: ignore[func-returns-value]
    whole = disc(24, 24, 12)
    result = Predictor(model).predict(clip, anchors=anchored(clip, {1: dict.fromkeys(frames, whole)}))
    known = [int(masks.known.sum()) for masks in shown if masks is not None]
    assert known and max(known) <= RECALLED + 3 and min(known) >= RECALLED  # every chunk is shown some
    masks = next(masks for masks in shown if masks is not None)
    assert masks.masks[masks.known].sum(dim=(1, 2)).min() > 0 and not masks.masks[~masks.known].any()
    check_prediction(clip, replace(result, tracks=tuple(result.tracks)))


def test_anchors_may_lie_outside_the_frames_with_known_masks(model: AmodalModel) -> None:
    """They show an object that no visible mask shows, and prolong the span of a track."""
    clip = clip_of({1: [None] * 6, 2: [None, None, disc(40, 20, 6), None, None, None]})
    given = anchored(clip, {1: {2: disc(20, 24, 9)}, 2: {0: disc(38, 20, 6), 5: NOTHING}})
    result = Predictor(model).predict(clip, anchors=given)
    one, two = (track.amodal or () for track in result.tracks)
    assert [mask is not None for mask in one] == [False, False, True, False, False, False]
    assert all(mask is not None for mask in two) and two[0] == Rle.encode(disc(38, 20, 6))


def test_windows_follow_anchors() -> None:
    """Where an object is unseen, an anchor shows where it is."""
    clip = clip_of({1: [disc(12, 24, 6)] * 4 + [NOTHING] * 8, 2: [bar(40)] * 12})
    anchors = Anchors({1: {11: Rle.encode(disc(52, 24, 6))}})
    config = WindowConfig()
    plain, known = (Scene.from_clip(clip, config, which).windows for which in (None, anchors))
    assert abs(plain.center[0, 11, 0] - 12) < 4 and abs(known.center[0, 11, 0] - 52) < 4
    assert np.array_equal(plain.center[1], known.center[1])


def test_hypotheses_sample_only_the_other_frames(model: AmodalModel) -> None:
    """Also when all frames of a clip are anchors."""
    clip = behind_a_bar(3)
    every = {t: disc(24 + 0.25 * t, 24, 12) for t in range(3)}
    result = Predictor(model, hypotheses=3, seed=1).predict(clip, anchors=anchored(clip, {1: every}))
    assert all(h.amodal == result.tracks[0].amodal for h in result.tracks[0].hypotheses)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda clip: behind_a_bar(5), "anchors for 5 frames of 48 x 64 pixels, but the clip has 4"),
        (lambda clip: replace(clip, tracks=(replace(clip.tracks[0], id=9),)), "track 9 has anchors, but no visible"),
        (lambda clip: clip_of({1: [NOTHING] * 4}), "every amodal mask is null"),
        (lambda clip: anchored(clip, {1: {2: NOTHING}}), "track 1 in frame 2 leaves out pixels of its visible mask"),
        (lambda clip: anchored(clip, {1: {1: disc(50, 24, 12)}}), "track 1 in frame 1 leaves out pixels"),
    ],
)
def test_anchors_that_do_not_fit_are_refused(change: object, words: str) -> None:
    clip = behind_a_bar(4)
    given = change(anchored(clip, {1: {0: disc(24, 24, 12)}}))  # type: ignore[operator]
    if given.video.frames == 5:
        given = anchored(given, {1: {0: disc(24, 24, 12)}})
    with pytest.raises(InputError, match=words):
        read_anchors(given, clip)


def test_anchors_are_read_from_a_file_which_messages_name(tmp_path: Path) -> None:
    clip = behind_a_bar(4)
    write_tracks(tmp_path / "fixed.json", anchored(clip, {1: {0: disc(24, 24, 12)}}))
    assert read_anchors(tmp_path / "fixed.json", clip).of(1) == {0: Rle.encode(disc(24, 24, 12))}
    with pytest.raises(InputError, match=r"fixed\.json: anchors for 4 frames"):
        read_anchors(tmp_path / "fixed.json", behind_a_bar(5))


def test_a_model_without_codes_refuses_anchors() -> None:
    clip = behind_a_bar(4)
    with pytest.raises(InputError, match="does not complete tracks from anchors"):
        Predictor(FramewiseModel(FramewiseConfig(head="conv", crop=16))).predict(clip, anchors=clip)
