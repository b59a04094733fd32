"""Predictions for clips of any length and content: spans, chunks, hypotheses, and what a model may read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vidamodal.inference.track_logits as track_logits
from tests.helpers import clip_tracks, disc_scene, small_reader
from tests.inference.depth.depth_scenes import disc_behind_bar
from tests.inference.helpers import H, Masks, W, bar, behind_a_bar, check_prediction, chunk_starts, clip_of, disc
from vidamodal.data.crops import FrameCrops
from vidamodal.hub import find_model
from vidamodal.inference.completion import Completion
from vidamodal.inference.depth.depth_source import DepthSource
from vidamodal.inference.predictor import CompletedFrame, Predictor
from vidamodal.inference.scene import REMEMBERED, Scene
from vidamodal.inference.track_logits import TrackLogits
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import Model, load_model
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.tracks import dumps_tracks
from vidamodal.types import ClipTracks, InputError, Rle, VideoInfo


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
            x, y = start + t * step
            labels[t, disc(x, y, rng.uniform(2, 12), height, width)] = k + 1
    tracks: dict[int, Masks] = {
        k: [None if rng.random() < 0.3 else m & (rng.random() < 0.8) for m in labels == k + 1] for k in range(count)
    }
    if not tracks:
        return ClipTracks(VideoInfo("toy.mp4", height, width, frames, 12.0), (), draw(st.booleans()))
    return clip_of(tracks, draw(st.booleans()), height, width)


@settings(max_examples=12)
@given(clip=clips())
def test_predictions_of_any_clip_are_valid(clip: ClipTracks, model: AmodalModel) -> None:
    check_prediction(clip, Predictor(model).predict(clip))


@pytest.mark.parametrize("frames", [1, 5, 12, 13, 20, 60])
def test_clips_shorter_and_longer_than_a_chunk(frames: int, model: AmodalModel) -> None:
    clip = behind_a_bar(frames)
    result = Predictor(model).predict(clip)
    check_prediction(clip, result)
    assert all(mask is not None for track in result.tracks for mask in track.amodal or ())


def test_one_object(model: AmodalModel) -> None:
    clip = clip_of({7: [disc(30, 20, 9)] * 3})
    check_prediction(clip, Predictor(model).predict(clip))
    alone = replace(clip, exhaustive=True)  # nothing is there to hide it
    assert Predictor(model).predict(alone).tracks[0].amodal == clip.tracks[0].visible


def test_forty_objects(model: AmodalModel) -> None:
    clip = clip_of({k: [disc(4 + 8 * (k % 8) + t, 5 + 9 * (k // 8), 3) for t in range(2)] for k in range(40)})
    result = Predictor(model).predict(clip)
    check_prediction(clip, result)
    assert len(result.tracks) == 40


def test_an_object_that_is_never_visible_has_no_amodal_masks(model: AmodalModel) -> None:
    nothing = np.zeros((H, W), dtype=bool)
    clip = clip_of({1: [disc(30, 20, 9)] * 4, 2: [nothing] * 4, 3: [None] * 4})
    result = Predictor(model).predict(clip)
    check_prediction(clip, result)
    assert all(result.tracks[k].amodal == (None,) * 4 for k in (1, 2))
    nobody = replace(clip, tracks=clip.tracks[1:])
    check_prediction(nobody, Predictor(model).predict(nobody))


def test_unknown_frames_are_predicted_within_the_known_span_only(model: AmodalModel) -> None:
    nothing = np.zeros((H, W), dtype=bool)
    mask = disc(30, 20, 9)
    clip = clip_of({1: [None, nothing, mask, None, mask, nothing, None]})
    result = Predictor(model).predict(clip)
    check_prediction(clip, result)
    assert [m is not None for m in result.tracks[0].amodal or ()] == [False, True, True, True, True, True, False]


def test_tracks_start_and_end_anywhere_in_a_chunk(model: AmodalModel) -> None:
    """Also inside the frames that two chunks share, and in a video that goes on long after the last mask."""
    frames = 50
    assert chunk_starts(model, frames) == [0, 8, 16, 24, 32, 40]
    spans = [(0, 8), (0, 9), (0, 10), (3, 13), (9, 11), (12, 25), (20, 30)]
    clip = clip_of({
        k: [disc(20 + 3 * k, 20, 6) if first <= t < last else None for t in range(frames)]
        for k, (first, last) in enumerate(spans)
    })  # fmt: skip
    check_prediction(clip, Predictor(model).predict(clip))


def test_a_track_does_not_depend_on_the_number_of_distant_tracks(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are of the same size, as windows are laid with an eye to the usual size, and out of sight."""
    height, width, frames = 60, 400, 4
    near = {5: [disc(30 + t, 30, 10, height, width) for t in range(frames)]}
    far = {k: [disc(150 + 30 * k, 30, 10, height, width) for _ in range(frames)] for k in (0, 6)}

    def logits(tracks: Mapping[int, Masks]) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        complete = Completion.complete

        def spy(self: Completion, scene: Scene, k: int, *rest: object) -> TrackLogits:
            values = complete(self, scene, k, *rest)  # type: ignore[arg-type]
            found.setdefault(scene.tracks[k].id, []).append(values.masks.tobytes())
            return values

        with monkeypatch.context() as patch:
            patch.setattr(Completion, "complete", spy)
            Predictor(model, seed=3, hypotheses=2).predict(clip_of(tracks, height=height, width=width))
        return found

    alone, crowd = logits(near), logits(far | near)
    assert len(crowd) == 3 and alone[5] == crowd[5]
    assert alone[5] != crowd[0]  # and it is not the same for all


def test_a_nearby_object_changes_the_prediction(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    both, alone = (Predictor(model).predict(c).tracks[0] for c in (clip, replace(clip, tracks=clip.tracks[:1])))
    assert both.confidence != alone.confidence


def test_the_best_hypothesis_is_the_prediction_and_the_seed_decides(model: AmodalModel) -> None:
    clip = behind_a_bar(6)
    first, again, other = (Predictor(model, seed=s, hypotheses=3).predict(clip) for s in (1, 1, 2))
    check_prediction(clip, first)
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


def test_hypotheses_of_an_exhaustive_scene_extend_only_under_other_objects(model: AmodalModel) -> None:
    clip = behind_a_bar(5, exhaustive=True)
    check_prediction(clip, Predictor(model, hypotheses=3).predict(clip))


@pytest.mark.parametrize("arguments", [{"hypotheses": 0}, {"seed": -1}, {"device": "tpu"}])
def test_arguments_out_of_range_are_rejected(model: AmodalModel, arguments: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Predictor(model, **arguments)  # type: ignore[arg-type]


def probabilities(model: Model, clip: ClipTracks, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(2, t, s, s): the probabilities under the other object of the disc and of the bar, all chunks joined."""
    found: list[list[np.ndarray]] = []
    compose = Predictor._compose

    def spy(self: Predictor, scene: Scene, frame: CompletedFrame, keeper: OrderKeeper) -> object:
        found.append([frame.weights[k, 2 - k] / (1 + np.exp(-frame.logits[k].masks[0])) for k in (0, 1)])
        return compose(self, scene, frame, keeper)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "_compose", spy)
        Predictor(model).predict(clip)
    return np.array(found).swapaxes(0, 1)


def seam_ratio(values: np.ndarray, starts: Sequence[int], overlap: int) -> float:
    """The largest step from frame to frame where chunks are joined, over the largest one elsewhere."""
    steps = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2))
    seam = np.zeros(len(steps), dtype=bool)
    for start in starts[1:]:
        seam[start - 1 : start + overlap] = True
    return float(steps[seam].max() / steps[~seam].max())


def hard_cut(old: np.ndarray, new: np.ndarray, axis: int) -> np.ndarray:
    return new


def test_chunks_are_joined_without_a_seam(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a still scene: a chunk is blind beyond its ends and counts time from its middle, so neighbours disagree."""
    clip = behind_a_bar(36, drift=0)
    starts = chunk_starts(model, clip.video.frames)
    assert len(starts) > 3
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) <= 1.2
    monkeypatch.setattr(track_logits, "cross_fade", hard_cut)
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) > 2  # the test can fail


def test_occluder_weights_are_continuous_across_chunks(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = behind_a_bar(44, drift=0.2)
    found: list[np.ndarray] = []
    compose = Predictor._compose

    def spy(self: Predictor, scene: Scene, frame: CompletedFrame, keeper: OrderKeeper) -> object:
        found.append(frame.weights)
        return compose(self, scene, frame, keeper)

    monkeypatch.setattr(Predictor, "_compose", spy)
    Predictor(model).predict(clip)
    assert len(found) == 44
    assert np.min(found) < 0.95  # there was something to weigh
    assert seam_ratio(np.stack(found), chunk_starts(model, 44), model.config.overlap) <= 2


def test_the_bundled_model_joins_chunks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_model("tiny")
    except InputError:
        pytest.skip("the bundled model is not there")
    model, clip = load_model("tiny").model, behind_a_bar(120, drift=0)
    starts = chunk_starts(model, clip.video.frames)
    assert len(starts) > 2
    for values in probabilities(model, clip, monkeypatch):
        assert seam_ratio(values, starts, model.config.overlap) <= 1.2


def test_distant_chunks_do_not_influence_each_other(model: AmodalModel) -> None:
    """Windows are laid for the whole video; of a still scene, they are the same for a longer one."""
    short, long = (Predictor(model).predict(behind_a_bar(frames, drift=0)) for frames in (24, 32))
    assert [t.amodal[:16] for t in short.tracks if t.amodal] == [t.amodal[:16] for t in long.tracks if t.amodal]


def test_memory_does_not_grow_with_the_video(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_chunks_have_constant_length_and_are_aligned_to_frame_0(model: AmodalModel) -> None:
    config = model.config
    for frames in range(1, 80):
        starts = chunk_starts(model, frames)
        assert starts[0] == 0 and all(b - a == config.chunk - config.overlap for a, b in pairwise(starts))
        assert starts[-1] + config.chunk >= frames


def test_the_second_pass_reads_the_order_predicted_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, clip = small_reader(order=True), clip_tracks(disc_scene(3))
    seen: list[float] = []
    forward = reader.forward

    def spy(crops, *rest, **named):  # type: ignore[no-untyped-def]
        seen.append(float(crops.order.abs().max()))
        return forward(crops, *rest, **named)

    monkeypatch.setattr(reader, "forward", spy)
    own = Predictor(reader, "cpu").predict(clip)
    assert seen[:3] == [0, 0, 0] and max(seen[3:]) > 0
    seen.clear()
    told = Predictor(reader, "cpu").predict(clip, order=[((1, 2), (2, 3))] * 5)
    assert min(map(bool, seen)) and own != told  # the first pass reads it, too, and it matters


def test_a_model_that_reads_pixels_needs_frames() -> None:
    clip = disc_scene(5)
    tracks, reader = clip_tracks(clip), small_reader(image=True)
    with pytest.raises(InputError, match="this model reads the frames"):
        Predictor(reader, "cpu").predict(tracks)
    with pytest.raises(InputError, match="this model reads the frames"):
        Predictor(reader, "cpu").predict(tracks, frames=lambda: None)
    image = clip.image
    assert image is not None
    one = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(image))
    again = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(image))
    other = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(255 - image))
    assert one == again and one != other
    blind = Predictor(small_reader(), "cpu")
    assert blind.predict(tracks) == blind.predict(tracks, frames=lambda: iter(image))


def _added(result: ClipTracks, clip: ClipTracks) -> np.ndarray:
    """Return the pixels of every frame that the prediction adds to the first object."""
    shown, whole = clip.tracks[0].visible, result.tracks[0].amodal
    assert whole is not None
    return np.stack([w.decode() & ~v.decode() for w, v in zip(whole, shown, strict=True)])  # type: ignore[union-attr]


def test_depth_limits_completions_to_nearer_surfaces_that_touch(model: AmodalModel) -> None:
    clip, disparity = disc_behind_bar(13, listed=False)
    maps: list[np.ndarray | None] = list(disparity)
    maps[5] = None
    source = DepthSource(maps.__getitem__, frames=[t for t in range(13) if t != 5])
    without = _added(Predictor(model, "cpu").predict(clip), clip)
    added = _added(Predictor(model, "cpu").predict(clip, depth=source), clip)
    assert without[:, ~bar(34)].any()  # the untrained model adds pixels anywhere
    assert added[:, bar(34)].any()
    limited = np.arange(13) != 5
    assert not added[limited][:, ~bar(34)].any()
    assert added[5, ~bar(34)].any()  # without depth, any pixel may be an occluder
    loose = _added(Predictor(model, "cpu", depth_rule=True, constrain=False).predict(clip, depth=source), clip)
    assert loose[limited][:, ~bar(34)].any()


def test_depth_that_points_the_other_way_is_refused(model: AmodalModel) -> None:
    clip, disparity = disc_behind_bar(4, listed=False)
    with pytest.raises(InputError, match=r"larger values are farther, as the ground .* no distances from a camera"):
        Predictor(model, "cpu").predict(clip, depth=DepthSource((-disparity).__getitem__))
    with pytest.raises(InputError, match="does not read depth"):
        Predictor(model, "cpu", depth_rule=False).predict(clip, depth=DepthSource(disparity.__getitem__))


def test_the_sign_of_depth_is_checked_against_the_order_of_the_first_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, (clip, disparity) = small_reader(order=True), disc_behind_bar(6)
    used = []
    begin = Predictor._run_pass

    def spy(self: Predictor, scene: Scene, settings: Any, inputs: Any) -> object:
        used.append(inputs.disparity is not None)
        front = np.zeros((6, 2, 2), dtype=np.float16)
        front[:, 0, 1], front[:, 1, 0] = 1, -1
        for frame in begin(self, scene, settings, inputs):
            yield replace(frame, front=front[frame.number])

    monkeypatch.setattr(Predictor, "_run_pass", spy)
    predictor = Predictor(reader, "cpu")
    predictor.predict(clip, depth=DepthSource(disparity.__getitem__, "auto", name="maps"))
    assert used == [False, True]
    assert predictor.notes == [
        "maps: larger values are read as nearer, as 6 of 6 touching pairs of objects whose order is known show"
    ]
    upside_down = np.where(disparity > 1.1, -1, disparity)  # only the bar lies wrongly: ground and disc are right
    with pytest.raises(InputError, match="6 of 6 touching pairs"):
        predictor.predict(clip, depth=DepthSource(upside_down.__getitem__))
    used.clear()
    predictor.predict(clip, order=[((2, 1),)] * 6, depth=DepthSource(disparity.__getitem__))
    assert used == [True, True]


def test_depth_is_not_used_where_every_occluder_is_listed(model: AmodalModel) -> None:
    clip, disparity = disc_behind_bar(4)
    clip = replace(clip, exhaustive=True)
    predictor = Predictor(model, "cpu")
    plain = predictor.predict(clip)
    assert predictor.predict(clip, depth=DepthSource(disparity.__getitem__)) == plain
    assert predictor.notes[-1] == "depth: not used, because every occluder is listed and the model reads no depth"


def test_mirrored_windows_are_averaged_in_the_last_pass(model: AmodalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, runs = behind_a_bar(6), []
    run = Completion._run_once
    plain = Predictor(model, hypotheses=2).predict(clip)
    monkeypatch.setattr(Completion, "_run_once", lambda *given: runs.append(given[2]) or run(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(model, "config", replace(model.config, mirror=True))
    both = Predictor(model, hypotheses=2).predict(clip)
    check_prediction(clip, both)
    assert len(runs) == 2 + 2 * 2 * 2  # tracks in the first pass; tracks, hypotheses and sides in the second
    assert plain.tracks[0].confidence != both.tracks[0].confidence
    windows = replace(model.config.windows, passes=1)
    different = []
    for mirror in (True, False):
        monkeypatch.setattr(model, "config", replace(model.config, mirror=mirror, windows=windows))
        straight, turned = (Predictor(model).predict(given).tracks[0] for given in (clip, mirror_clip(clip)))
        pairs = zip(decoded(straight.amodal), decoded(turned.amodal), strict=True)
        different.append(np.mean([one != other[:, ::-1] for one, other in pairs]))
    assert different[0] < 0.1 * different[1]


def test_each_pass_lays_windows_around_the_completions_of_the_one_before(
    model: AmodalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, scenes = behind_a_bar(6), []
    after = Scene.after_pass

    def record(scene: Scene, *given: Any) -> Scene:
        scenes.append((scene, after(scene, *given)))
        return scenes[-1][1]

    monkeypatch.setattr(Scene, "after_pass", record)
    predictions = []
    for passes in (1, 2, 3):
        windows = replace(model.config.windows, passes=passes)
        monkeypatch.setattr(model, "config", replace(model.config, windows=windows))
        predictions.append(Predictor(model).predict(clip))
        check_prediction(clip, predictions[-1])
        assert len(scenes) == passes - 1
        if passes < 3:
            scenes.clear()
    (first, second), (later, third) = scenes
    assert later is second
    assert not np.array_equal(first.windows.center, second.windows.center)
    assert not np.array_equal(second.windows.center, third.windows.center)
    confidences = [prediction.tracks[0].confidence for prediction in predictions]
    assert confidences[1] != confidences[0] and confidences[2] != confidences[1]


def decoded(masks: Sequence[Rle | None] | None) -> list[np.ndarray]:
    return [mask.decode() for mask in masks or () if mask is not None]


def mirror_clip(clip: ClipTracks) -> ClipTracks:
    def mirror(mask: Rle | None) -> Rle | None:
        return None if mask is None else Rle.encode(mask.decode()[:, ::-1])

    return replace(clip, tracks=tuple(replace(t, visible=tuple(map(mirror, t.visible))) for t in clip.tracks))
