"""The predictor: what it promises for any clip, however short, long, crowded or full of gaps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vidamodal.inference.predictor as predictor_module
from vidamodal.data.crops import FrameCrops
from vidamodal.formats.tracks import dumps_tracks, loads_tracks
from vidamodal.hub import find_model
from vidamodal.inference.api import predict
from vidamodal.inference.predictor import Chunk, Predictor
from vidamodal.inference.runtime import pick_device
from vidamodal.inference.scene import REMEMBERED, Scene
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

H, W = 48, 64
Masks = Sequence[np.ndarray | None]


def disc(x: float, y: float, radius: float, height: int = H, width: int = W) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def bar(x: float, height: int = H, width: int = W) -> np.ndarray:
    return np.tile(np.abs(np.arange(width) + 0.5 - x) < 4, (height, 1))


def clip_of(tracks: dict[int, Masks], exhaustive: bool = False, height: int = H, width: int = W) -> ClipTracks:
    frames = len(next(iter(tracks.values())))
    return ClipTracks(
        VideoInfo("toy.mp4", height, width, frames, 12.0),
        tuple(Track(k, tuple(None if m is None else Rle.encode(m) for m in v)) for k, v in tracks.items()),
        exhaustive,
    )


def chunk_starts(model: AmodalModel, frames: int) -> list[int]:
    return [chunk.start for chunk in Predictor(model)._chunks(frames)]


def behind_a_bar(frames: int, drift: float = 0.25, exhaustive: bool = False) -> ClipTracks:
    """A disc that passes slowly behind a bar that stands still."""
    return clip_of(
        {
            1: [disc(24 + drift * t, 24, 12) & ~bar(34) for t in range(frames)],
            2: [bar(34) for _ in range(frames)],
        },
        exhaustive,
    )


def check(given: ClipTracks, result: ClipTracks) -> None:
    """Everything that is promised of any prediction."""
    assert loads_tracks(dumps_tracks(result), "result").video == given.video  # the format's own rules hold
    assert result.exhaustive == given.exhaustive and len(result.order or ()) == given.video.frames
    assert [(t.id, t.visible, t.label) for t in result.tracks] == [(t.id, t.visible, t.label) for t in given.tracks]
    for track in result.tracks:
        assert track.amodal is not None and track.confidence is not None
        first, last = track.span if track.span is not None and track.ever_visible else (0, 0)
        for t, (amodal, confidence) in enumerate(zip(track.amodal, track.confidence, strict=True)):
            assert (amodal is not None) == (confidence is not None) == (first <= t < last)
    if given.exhaustive:
        for t in range(given.video.frames):
            check_exhaustive(result, t)


def check_exhaustive(result: ClipTracks, frame: int) -> None:
    shown = {k.id: mask.decode() for k in result.tracks if (mask := k.visible[frame]) is not None}
    for track in result.tracks:
        for masks in [track.amodal, *(h.amodal for h in track.hypotheses)]:
            assert masks is not None
            if (amodal := masks[frame]) is not None and track.id in shown:
                others = np.any([m for k, m in shown.items() if k != track.id] or [np.zeros((1, 1), bool)], axis=0)
                assert not (amodal.decode() & ~shown[track.id] & ~others).any()


@st.composite
def clips(draw: st.DrawFn) -> ClipTracks:
    """Moving discs, the later ones in front, with frames that are not known or known to show nothing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(8, 50)), draw(st.integers(8, 50))
    frames, count = draw(st.integers(1, 16)), draw(st.integers(0, 3))
    labels = np.zeros((frames, height, width), dtype=int)
    for k in range(count):
        start, step = rng.uniform(0, (width, height)), rng.normal(0, 1, 2)
        for t in range(frames):
            labels[t, disc(*(start + t * step), rng.uniform(2, 12), height, width)] = k + 1
    tracks: dict[int, Masks] = {
        k: [None if rng.random() < 0.3 else m & (rng.random() < 0.8) for m in labels == k + 1] for k in range(count)
    }
    if not tracks:
        return ClipTracks(VideoInfo("toy.mp4", height, width, frames, 12.0), (), draw(st.booleans()))
    return clip_of(tracks, draw(st.booleans()), height, width)


@settings(max_examples=12, deadline=None)
@given(clip=clips())
def test_any_clip_keeps_every_promise(clip: ClipTracks, model: AmodalModel) -> None:
    check(clip, Predictor(model).predict(clip))


@pytest.mark.parametrize("frames", [1, 5, 12, 13, 20, 60])
def test_clips_shorter_and_longer_than_window_and_chunk(frames: int, model: AmodalModel) -> None:
    clip = behind_a_bar(frames)
    result = Predictor(model).predict(clip)
    check(clip, result)
    assert all(mask is not None for track in result.tracks for mask in track.amodal or ())


def test_one_object(model: AmodalModel) -> None:
    clip = clip_of({7: [disc(30, 20, 9)] * 3})
    check(clip, Predictor(model).predict(clip))
    alone = replace(clip, exhaustive=True)  # nothing is there to hide it
    assert Predictor(model).predict(alone).tracks[0].amodal == clip.tracks[0].visible


def test_forty_objects(model: AmodalModel) -> None:
    clip = clip_of({k: [disc(4 + 8 * (k % 8) + t, 5 + 9 * (k // 8), 3) for t in range(2)] for k in range(40)})
    result = Predictor(model).predict(clip)
    check(clip, result)
    assert len(result.tracks) == 40


def test_an_object_never_visible_has_only_null(model: AmodalModel) -> None:
    nothing = np.zeros((H, W), dtype=bool)
    clip = clip_of({1: [disc(30, 20, 9)] * 4, 2: [nothing] * 4, 3: [None] * 4})
    result = Predictor(model).predict(clip)
    check(clip, result)
    assert all(result.tracks[k].amodal == (None,) * 4 for k in (1, 2))
    nobody = replace(clip, tracks=clip.tracks[1:])
    check(nobody, Predictor(model).predict(nobody))


def test_null_is_predicted_inside_the_known_span_and_nowhere_else(model: AmodalModel) -> None:
    nothing = np.zeros((H, W), dtype=bool)
    mask = disc(30, 20, 9)
    clip = clip_of({1: [None, nothing, mask, None, mask, nothing, None]})
    result = Predictor(model).predict(clip)
    check(clip, result)
    assert [m is not None for m in result.tracks[0].amodal or ()] == [False, True, True, True, True, True, False]


def test_tracks_may_begin_and_end_anywhere_among_the_chunks(model: AmodalModel) -> None:
    """Also inside the frames that two chunks share, and in a video that goes on long after the last mask."""
    frames = 50
    assert chunk_starts(model, frames) == [0, 8, 16, 24, 32, 40]
    spans = [(0, 8), (0, 9), (0, 10), (3, 13), (9, 11), (12, 25), (20, 30)]
    clip = clip_of({
        k: [disc(20 + 3 * k, 20, 6) if first <= t < last else None for t in range(frames)]
        for k, (first, last) in enumerate(spans)
    })  # fmt: skip
    check(clip, Predictor(model).predict(clip))


def test_what_a_track_gets_does_not_depend_on_how_many_others_are_far_away(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are of the same size, as windows are laid with an eye to the usual size, and out of sight."""
    height, width, frames = 60, 400, 4
    near = {5: [disc(30 + t, 30, 10, height, width) for t in range(frames)]}
    far = {k: [disc(150 + 30 * k, 30, 10, height, width) for _ in range(frames)] for k in (0, 6)}

    def logits(tracks: dict[int, Masks]) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        complete = Predictor._complete_track

        def spy(self: Predictor, scene: Scene, k: int, *rest: object) -> np.ndarray:
            values = complete(self, scene, k, *rest)  # type: ignore[arg-type]
            found.setdefault(scene.tracks[k].id, []).append(values.tobytes())
            return values

        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "_complete_track", spy)
            Predictor(model, seed=3, hypotheses=2).predict(clip_of(tracks, height=height, width=width))
        return found

    alone, crowd = logits(near), logits(far | near)
    assert len(crowd) == 3 and alone[5] == crowd[5]
    assert alone[5] != crowd[0]  # and it is not the same for all


def test_another_object_in_sight_does_matter(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    both, alone = (Predictor(model).predict(c).tracks[0] for c in (clip, replace(clip, tracks=clip.tracks[:1])))
    assert both.confidence != alone.confidence


# Hypotheses, devices, arguments


def test_hypotheses_are_listed_the_best_is_taken_and_the_seed_decides(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    first, again, other = (Predictor(model, seed=s, hypotheses=3).predict(clip) for s in (1, 1, 2))
    check(clip, first)
    assert dumps_tracks(first) == dumps_tracks(again) != dumps_tracks(other)
    plain = Predictor(model).predict(clip)
    for track, one in zip(first.tracks, plain.tracks, strict=True):
        assert len(track.hypotheses) == 3 and not one.hypotheses
        assert track.hypotheses[0].amodal == one.amodal  # the first is the one pass
        best = max(track.hypotheses, key=lambda h: h.score)
        assert track.amodal == best.amodal
        assert best.score == pytest.approx(np.mean([c for c in track.confidence or () if c is not None]))
    assert len({h.amodal for h in first.tracks[0].hypotheses}) > 1
    assert len({h.amodal for track in (first, other) for h in track.tracks[0].hypotheses[1:]}) > 2


def test_a_found_track_is_trusted_no_more_than_whoever_found_it(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    disc_track, bar_track = clip.tracks
    known = tuple(None if t == 3 else 0.1 + 0.1 * t for t in range(6))
    amodal = tuple(None if value is None else mask for value, mask in zip(known, disc_track.visible, strict=True))
    found = replace(clip, tracks=(replace(disc_track, amodal=amodal, confidence=known), bar_track))
    plain, told = (Predictor(model).predict(each) for each in (clip, found))
    assert plain.tracks[1] == told.tracks[1]
    before, after = plain.tracks[0].confidence, told.tracks[0].confidence
    assert before is not None and after is not None
    mean = np.mean([value for value in known if value is not None])
    factors = [mean if value is None else value for value in known]
    np.testing.assert_allclose(after, np.multiply(np.array(before, dtype=float), factors))
    several = Predictor(model, hypotheses=2).predict(found).tracks[0]
    best = max(hypothesis.score for hypothesis in several.hypotheses)
    assert best == pytest.approx(np.mean(np.array(several.confidence, dtype=float)))


def test_given_masks_are_taken_at_their_word_whatever_an_earlier_prediction_thought_of_them(
    model_folder: Path, tmp_path: Path
) -> None:
    clip = behind_a_bar(4)
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in range(4):
        iio.imwrite(frames / f"{t:05d}.png", np.zeros((H, W, 3), dtype=np.uint8))
    once = predict(frames, clip, model=str(model_folder))
    assert predict(frames, once.clip, model=str(model_folder)).tracks == once.tracks


def test_hypotheses_in_an_exhaustive_scene_lie_under_others(model: AmodalModel) -> None:
    clip = behind_a_bar(5, exhaustive=True)
    check(clip, Predictor(model, hypotheses=3).predict(clip))


def test_without_cuda_cuda_is_refused_and_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="cuda"):
        pick_device("cuda")


@pytest.mark.parametrize("arguments", [{"hypotheses": 0}, {"seed": -1}, {"device": "tpu"}])
def test_arguments_out_of_range_are_refused(model: AmodalModel, arguments: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Predictor(model, **arguments)  # type: ignore[arg-type]


def turning_scene() -> ClipTracks:
    """Eight squares that move as points of one turning body; the last is unseen from frame 6 to 11."""
    points = np.random.default_rng(3).normal(size=(8, 3))
    angle = np.linspace(0, 1, 12)
    x = 64 + 20 * (points[:, :1] * np.cos(angle) + points[:, 1:2] * np.sin(angle))
    y = 64 + 20 * (points[:, 2:] + 0.1 * angle)
    tracks = []
    for k in range(8):
        masks = []
        for t in range(12):
            mask = np.zeros((128, 128), dtype=bool)
            if k < 7 or t < 6:
                mask[int(y[k, t]) - 4 : int(y[k, t]) + 5, int(x[k, t]) - 4 : int(x[k, t]) + 5] = True
            masks.append(Rle.encode(mask))
        tracks.append(Track(k + 1, tuple(masks)))
    return ClipTracks(VideoInfo("x.mp4", 128, 128, 12, 12.0), tuple(tracks), exhaustive=True)


def test_a_second_pass_moves_the_windows_of_hidden_objects_with_the_scene(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the windows: with one pass, and while an object is seen whole, they are where they were."""
    clip, laid = turning_scene(), []
    begin = Predictor._run_pass

    def spy(self: Predictor, scene: Scene, hypotheses: int, frames: None) -> object:
        laid.append((scene.windows.center, hypotheses))
        return begin(self, scene, hypotheses, frames)

    monkeypatch.setattr(Predictor, "_run_pass", spy)
    check(clip, Predictor(model, hypotheses=2).predict(clip))
    (first, one), (second, two) = laid
    assert (one, two) == (1, 2)
    moved = np.linalg.norm(first - second, axis=2)
    assert moved[:7].max() < 3
    assert moved[7, -1] > 6
    once = replace(model.config, windows=replace(model.config.windows, passes=1))
    monkeypatch.setattr(model, "config", once)
    laid.clear()
    check(clip, Predictor(model).predict(clip))
    assert len(laid) == 1 and np.array_equal(laid[0][0], first, equal_nan=True)


# Long videos


def probabilities(model: AmodalModel, clip: ClipTracks, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(2, t, s, s): the probabilities under the other object of the disc and of the bar, all chunks joined."""
    found: list[list[np.ndarray]] = []
    compose = Predictor._compose

    def spy(
        self: Predictor, scene: object, frame: int, logits: dict[int, np.ndarray], allowed: np.ndarray, *rest: object
    ) -> object:
        found.append([allowed[k, 2 - k] / (1 + np.exp(-logits[k][0])) for k in (0, 1)])
        return compose(self, scene, frame, logits, allowed, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "_compose", spy)
        Predictor(model).predict(clip)
    return np.array(found[-clip.video.frames :]).swapaxes(0, 1)  # of the last pass


def seam_ratio(values: np.ndarray, starts: Sequence[int], overlap: int) -> float:
    """The largest step from frame to frame where chunks are joined, over the largest one elsewhere."""
    steps = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2))
    seam = np.zeros(len(steps), dtype=bool)
    for start in starts[1:]:
        seam[start - 1 : start + overlap] = True
    return float(steps[seam].max() / steps[~seam].max())


def hard_cut(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return new


def test_chunks_are_joined_without_a_jump(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a still scene: a chunk is blind beyond its ends and counts time from its middle, so neighbours disagree."""
    clip = behind_a_bar(36, drift=0)
    starts = chunk_starts(model, clip.video.frames)
    assert len(starts) > 3
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) <= 1.2
    monkeypatch.setattr(predictor_module, "cross_fade", hard_cut)
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) > 2  # the test can fail


def test_who_may_hide_whom_is_not_forgotten_between_chunks(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = behind_a_bar(44, drift=0.2)
    found: list[np.ndarray] = []
    compose = Predictor._compose

    def spy(self: Predictor, scene: object, frame: int, logits: object, allowed: np.ndarray, *rest: object) -> object:
        found.append(allowed)
        return compose(self, scene, frame, logits, allowed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "_compose", spy)
    Predictor(model).predict(clip)
    del found[:-44]  # the last pass is left
    assert np.min(found) < 0.95  # there was something to weigh
    assert seam_ratio(np.stack(found), chunk_starts(model, 44), model.config.overlap) <= 2


def test_the_bundled_model_joins_its_chunks_without_a_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_model("tiny")
    except InputError:
        pytest.skip("the bundled model is not there")
    model, clip = load_model("tiny").model, behind_a_bar(60, drift=0)
    starts = chunk_starts(model, clip.video.frames)
    assert len(starts) > 2
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) <= 1.2


def test_chunks_far_apart_do_not_change_each_other(model: AmodalModel) -> None:
    """Windows are laid for the whole video; of a still scene, they are the same for a longer one."""
    short, long = (Predictor(model).predict(behind_a_bar(frames, drift=0)) for frames in (24, 32))
    assert [t.amodal[:16] for t in short.tracks if t.amodal] == [t.amodal[:16] for t in long.tracks if t.amodal]


def test_pixels_and_tensors_do_not_grow_with_the_video(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    forward: Callable[..., object] = model.forward

    def spy(crops: FrameCrops, *rest: object, **named: object) -> object:
        lengths.append(crops.visible.shape[1])
        return forward(crops, *rest, **named)

    monkeypatch.setattr(model, "forward", spy)

    def peak(frames: int) -> int:
        clip = behind_a_bar(frames)
        clip = replace(clip, tracks=clip.tracks[:1])
        tracemalloc.start()
        try:
            assert sum(1 for _ in Predictor(model).stream(clip)) == frames
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(13)  # what is made once
    assert peak(60) < 1.25 * peak(20)
    assert max(lengths) <= model.config.chunk + REMEMBERED


def test_an_object_hidden_for_longer_than_a_chunk_is_remembered(model: AmodalModel) -> None:
    """A chunk that shows nothing of it is completed otherwise with its clearest frames than without."""
    hidden = Rle.empty(32, 48)
    wall = Rle.encode(np.pad(np.ones((32, 24), dtype=bool), ((0, 0), (24, 0))))
    for radius in (4, 8):
        seen = Rle.encode(disc(12, 16, radius, 32, 48))
        visible = (seen,) * 6 + (hidden,) * 34
        clip = ClipTracks(VideoInfo("x.mp4", 32, 48, 40, 12.0), (Track(1, visible), Track(2, (wall,) * 40)))
        scene = Scene.from_clip(clip, replace(model.config.windows, growth=1.0, floor=0.0))
        predictor = Predictor(model)
        views = {t: predictor._view(scene, t, None) for t in range(40)}
        memory = scene.remember(0, {}, views, range(20))
        assert sorted(memory) == list(range(6))
        with_memory = predictor._complete_track(scene, 0, views, memory, Chunk(28, 40, 40), 1)
        without = predictor._complete_track(scene, 0, views, {}, Chunk(28, 40, 40), 1)
        assert with_memory.shape == without.shape == (1, 12, *with_memory.shape[2:])
        assert not np.allclose(with_memory, without, atol=1e-3)
        assert len(scene.remember(0, memory, views, range(20, 40))) <= REMEMBERED


# Odd sizes


@pytest.mark.parametrize("size", [(1, 1), (7, 31), (33, 5)])
def test_odd_sizes_are_kept(size: tuple[int, int], model: AmodalModel, model_folder: Path, tmp_path: Path) -> None:
    height, width = size
    (tmp_path / "frames").mkdir()
    for t in range(3):
        iio.imwrite(tmp_path / "frames" / f"{t}.png", np.full((height, width, 3), 60 * t, dtype=np.uint8))
    clip = clip_of({1: [disc(width / 2, height / 2, 3, height, width)] * 3}, height=height, width=width)
    result = predict(tmp_path / "frames", clip, tmp_path / "out", model=str(model_folder))
    assert all(m is not None and (m.height, m.width) == size for m in result.tracks[0].amodal or ())
    check(clip, replace(result.clip, video=clip.video))


def test_chunks_have_constant_length_and_are_aligned_to_the_first_frame(model: AmodalModel) -> None:
    config = model.config
    for frames in range(1, 80):
        starts = chunk_starts(model, frames)
        assert starts[0] == 0 and all(b - a == config.chunk - config.overlap for a, b in pairwise(starts))
        assert starts[-1] + config.chunk >= frames
