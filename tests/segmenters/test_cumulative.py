"""Cumulative occlusion learning: layers of bare frames, tracks from them, and its head beside masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

import vidamodal
from tests.data.helpers import ONE_FRAME, SQUARES, stacked_clip
from tests.helpers import ToyClip, head_inputs
from vidamodal.cli import main
from vidamodal.data.banks import load_bank
from vidamodal.data.clips import ClipConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.data.layer_frames import LayerBatch, LayerClips, measure_limits
from vidamodal.formats.tracks import read_tracks
from vidamodal.heads.base import HeadInputs
from vidamodal.heads.cumulative import CumulativeHead, CumulativeHeadConfig
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.tracker import Tracker, TrackerConfig
from vidamodal.media.video import open_video
from vidamodal.models.folder import load_model, load_segmenter, save_segmenter
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.noise import Noise
from vidamodal.segmenters.base import find_segmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter, CumulativeSegmenterConfig
from vidamodal.segmenters.cumulative.denoiser import Denoiser, DenoiserConfig
from vidamodal.segmenters.cumulative.layering import LayerStack, representative
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.losses import LossConfig, divisors
from vidamodal.training.run import train
from vidamodal.training.stage import MicroStep
from vidamodal.training.stages.cumulative import CumulativeFamily, LayersStage
from vidamodal.training.stages.head import FramewiseFamily
from vidamodal.types import FrameInstance, InputError, VideoInfo
from vidamodal.worlds.sample import WorldConfig

SIZE = 16
TINY = DenoiserConfig(widths=(8, 8), attention=1, steps=3)
SMALL = CumulativeSegmenterConfig(TINY, size=SIZE, samples=2, most_layers=4, least_area=2)


def segmenter(**changes: object) -> CumulativeSegmenter:
    """Not trained; ``steps`` and ``sampler`` are its denoiser's."""
    inner = {name: changes.pop(name) for name in ("steps", "sampler") if name in changes}
    torch.manual_seed(0)
    denoiser = replace(TINY, **inner)  # type: ignore[arg-type]
    return CumulativeSegmenter(replace(SMALL, denoiser=denoiser, **changes)).eval()  # type: ignore[arg-type]


def square(top: int, left: int, side: int = 6, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


STACK = [square(1, 1), square(4, 4), square(7, 7), square(9, 9)]
"""Each hides part of the next."""


def oracle(monkeypatch: pytest.MonkeyPatch, layers: list[np.ndarray]) -> list[int]:
    """A network that knows the layers, and gives the first one that is not in the cumulative mask; its batches."""
    sizes: list[int] = []

    def know(self: Denoiser, planes: Tensor, noisy: Tensor, time: Tensor, _base: object = 0.0) -> Tensor:
        sizes.append(len(planes))
        clean = torch.full_like(noisy, -1.0)
        for k, front in enumerate(planes[:, 3] > 0):
            missing = [m for m in layers if not front[torch.from_numpy(m)].all()]
            if missing:
                clean[k] = 2 * torch.from_numpy(missing[0]).float() - 1
        if self.predicts_mask:
            return 20 * clean
        kept = self.schedule.alphas_cumprod[time].view(-1, 1, 1)
        return (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()

    monkeypatch.setattr(Denoiser, "forward", know)
    return sizes


# Algorithm 2


@pytest.mark.parametrize("predicts", ["noise", "mask"])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_network_that_knows_the_truth_gives_all_layers_back_in_order(
    monkeypatch: pytest.MonkeyPatch, predicts: str, sampler: str, samples: int
) -> None:
    sizes = oracle(monkeypatch, STACK[:3])
    network = segmenter(predicts=predicts, sampler=sampler, samples=samples, steps=10)
    (found,) = network.segment(torch.rand(1, 3, SIZE, SIZE), [5])
    assert [each.layer for each in found] == [1, 2, 3] and len(sizes) == 4 * 10 and set(sizes) == {samples}
    front = np.zeros((SIZE, SIZE), dtype=bool)
    for each, truth in zip(found, STACK, strict=False):
        np.testing.assert_array_equal(each.amodal, truth)
        np.testing.assert_array_equal(each.visible, truth & ~front)
        assert each.score > 0.99
        front |= truth


def test_a_frame_with_nothing_in_it_ends_after_one_blank_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = oracle(monkeypatch, [])
    assert segmenter(steps=4).segment(torch.rand(2, 3, SIZE, SIZE), [0, 0]) == [[], []]
    assert len(sizes) == 2 * 4


def test_a_frame_with_more_layers_than_the_training_had_ends_at_n_max(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = oracle(monkeypatch, STACK)
    (found,) = segmenter(most_layers=2, steps=4).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert [each.layer for each in found] == [1, 2] and len(sizes) == 2 * 4


def test_a_layer_that_is_smaller_than_any_object_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle(monkeypatch, [STACK[0], square(10, 10, side=2), square(5, 5)])
    (found,) = segmenter(least_area=5).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert len(found) == 1 and (found[0].amodal == STACK[0]).all()


def soft(*masks: np.ndarray) -> np.ndarray:
    return np.stack([2.0 * mask - 1 for mask in masks])


def test_what_hides_under_nothing_of_the_layer_before_belongs_to_it() -> None:
    layers = LayerStack.empty(SMALL)
    apart, behind = square(10, 1, side=4), square(4, 4)
    for mask in (square(1, 1), apart, behind):  # the third touches the first alone
        layers.add(soft(mask))
    assert [layer.number for layer in layers.layers] == [1, 1, 2]
    assert [each.layer for each in layers.instances()] == [1, 1, 2]
    np.testing.assert_array_equal(layers.cumulative, square(1, 1) | apart | behind)


def test_parts_of_a_layer_are_instances_unless_too_small_or_wholly_hidden() -> None:
    layers = LayerStack.empty(replace(SMALL, least_area=3))
    layers.add(soft(square(0, 0) | square(0, 10) | square(14, 14, side=1)))
    layers.add(soft(square(1, 1, side=3) | square(4, 10)))
    found = layers.instances()
    assert [each.layer for each in found] == [1, 1, 2]
    assert [int(each.amodal.sum()) for each in found] == [36, 36, 36]
    assert int(found[2].visible.sum()) == 36 - 12


def test_the_score_is_the_share_that_samples_agree_on() -> None:
    layers = LayerStack.empty(replace(SMALL, samples=2))
    layers.add(soft(square(0, 0, side=4), square(0, 0, side=4) | square(0, 4, side=4)))
    (found,) = layers.instances()
    assert found.score == pytest.approx(16 / (16 + 0.5 * 16))


@settings(deadline=None, max_examples=100)
@given(arrays(bool, st.tuples(st.integers(1, 5), st.just(3), st.just(3))))
def test_the_sample_nearest_to_the_mean_of_those_that_are_not_null_is_taken(samples: np.ndarray) -> None:
    there = [sample for sample in samples if sample.any()]
    if not there:
        assert representative(samples) is None and representative(samples, "mean") is None
        return
    mean = sum(sample.astype(float) for sample in there) / len(there)
    far = [float(np.abs(sample - mean).sum()) for sample in there]
    best, chosen = min(far), representative(samples)
    assert chosen is not None and any((chosen == s).all() and d <= best + 1e-9 for s, d in zip(there, far, strict=True))
    np.testing.assert_array_equal(representative(samples, "mean"), mean >= 0.5)


def test_ddpm_makes_the_steps_of_ddpm() -> None:
    network, planes = segmenter(sampler="ddpm", steps=20).denoise, torch.rand(2, 4, SIZE, SIZE)
    drawn = [torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(k)) for k in range(21)]
    ours = network.sample(planes, iter(drawn).__next__)
    schedule = DDPMScheduler(beta_schedule="linear", clip_sample=True, timestep_spacing="trailing")
    schedule.set_timesteps(20)
    x = drawn[0]
    with torch.no_grad():
        for time, noise in zip(schedule.timesteps, drawn[1:], strict=True):
            step = schedule.step(network(planes, x, time.expand(2)), int(time), x)
            guess = step.pred_original_sample
            before = schedule.previous_timestep(time)
            now = schedule.alphas_cumprod[time]
            then = schedule.alphas_cumprod[before] if before >= 0 else torch.ones(())
            mean = then.sqrt() * (1 - now / then) / (1 - now) * guess + (now / then).sqrt() * (1 - then) / (1 - now) * x
            x = mean + ((1 - then) / (1 - now) * (1 - now / then)).sqrt() * noise
    torch.testing.assert_close(ours, x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("together", [1, 3])
def test_a_frame_is_segmented_alike_whatever_is_given_with_it(together: int) -> None:
    network = segmenter(together=together)
    frames = torch.rand(4, 3, SIZE, SIZE)
    whole = network.predict_layers(frames, [1, 1, 2, 1])
    for k, seed in enumerate([1, 1, 2, 1]):
        (alone,) = network.predict_layers(frames[k : k + 1], [seed])
        assert_same(whole[k], alone)
    (other,) = network.predict_layers(frames[:1], [3])
    assert whole[0].layers and (whole[0].layers[0].probability != other.layers[0].probability).any()


def assert_same(one: LayerStack, other: LayerStack) -> None:
    assert len(one.layers) == len(other.layers)
    for a, b in zip(one.layers, other.layers, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_array_equal(a.probability, b.probability)


def test_without_the_cumulative_mask_the_number_of_the_layer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def look(_self: Denoiser, planes: Tensor, noisy: Tensor, *_: object) -> Tensor:
        seen.append(planes[:, 3])
        return torch.where(torch.arange(SIZE) < 2 * len(seen), 9.0, -9.0).expand_as(noisy)

    monkeypatch.setattr(Denoiser, "forward", look)
    segmenter(cumulative=False, predicts="mask", steps=1).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert [round(float((each.mean() + 1) / 2), 3) for each in seen] == [0.2, 0.4, 0.6, 0.8]
    assert all(float(each.std()) < 1e-6 for each in seen)


# Tracks


def follow(tracker: Tracker, t: int, masks: list[np.ndarray]) -> list[int | None]:
    return tracker.update(t, [FrameInstance(mask, mask, 1, None, 0.5) for mask in masks])


def test_an_object_is_the_same_one_again_after_a_short_hiding_and_another_one_after_a_long() -> None:
    tracker = Tracker(TrackerConfig(patience=4))
    other = square(40, 40, 10, 64)

    def at(t: int) -> np.ndarray:
        return square(5, 2 + 3 * t, 12, 64)

    ids = [follow(tracker, t, [other, at(t)] if t not in (4, 5, 6) else [other]) for t in range(10)]
    assert {k[0] for k in ids} == {1} and {k[1] for k in ids if len(k) == 2} == {2}  # it moved on 12 px unseen
    for t in range(10, 16):
        assert follow(tracker, t, [other]) == [1]
    assert follow(tracker, 16, [other, at(12)]) == [1, 3]


def test_each_frame_s_ids_are_one_to_one_and_go_where_the_overlap_is_greatest() -> None:
    tracker = Tracker()
    assert follow(tracker, 0, [square(0, 0, 10, 64), square(0, 8, 10, 64)]) == [1, 2]
    assert follow(tracker, 1, [square(0, 7, 10, 64), square(0, 1, 10, 64)]) == [2, 1]
    assert follow(tracker, 2, [square(0, 4, 10, 64), square(0, 5, 10, 64), square(40, 40, 9, 64)]) == [1, 2, 3]


def find(monkeypatch: pytest.MonkeyPatch, masks: Callable[[int], list[np.ndarray]], frames: int) -> object:
    """Tracks from a segmenter that finds given amodal masks, those in front first."""

    def segment(_self: CumulativeSegmenter, batch: Tensor, _seeds: object) -> list[list[FrameInstance]]:
        out = []
        for picture in batch:
            front, found = np.zeros((SIZE, SIZE), dtype=bool), []
            for number, mask in enumerate(masks(round(float(picture[0, SIZE // 2, SIZE // 2]) * 255)), start=1):
                found.append(FrameInstance(mask & ~front, mask, number, None, 0.5))
                front = front | mask
            out.append(found)
        return out

    monkeypatch.setattr(CumulativeSegmenter, "segment", segment)
    video = VideoInfo("v.mp4", 4 * SIZE, 4 * SIZE, frames, 12.0)
    pictures = (np.full((4 * SIZE, 4 * SIZE, 3), t, dtype=np.uint8) for t in range(frames))
    return SegmenterFinder(segmenter(), "cpu").find(video, lambda: pictures)


def test_tracks_have_masks_at_the_size_of_the_video_and_the_order_of_their_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def masks(t: int) -> list[np.ndarray]:
        if t == 20:
            return [square(1, 1)]
        pair = [square(1, 1), square(4, 4)]
        return pair[::-1] if t == 30 else pair

    clip = find(monkeypatch, masks, 40)
    assert [track.id for track in clip.tracks] == [1, 2]  # type: ignore[attr-defined]
    front, back = clip.tracks  # type: ignore[attr-defined]
    big = np.kron(square(1, 1), np.ones((4, 4))) > 0
    assert (front.amodal[0].decode() ^ big).mean() < 0.01
    assert not (front.visible[0].decode() & back.visible[0].decode()).any()
    assert (back.amodal[0].decode() & big).any() and not (back.visible[0].decode() & front.amodal[0].decode()).any()
    assert back.visible[20] is None and back.amodal[20] == back.amodal[19]  # hidden: it stays where it was
    order = clip.order  # type: ignore[attr-defined]
    assert set(order[:30]) == {((1, 2),)} and order[30] == ((2, 1),)


def model_of(folder: Path, **changes: object) -> Path:
    torch.manual_seed(1)
    network = segmenter(**changes)
    torch.nn.init.normal_(network.denoise.unet.conv_out.weight, 0, 0.3)
    save_segmenter(folder, network, {}, "# tiny\n")
    return folder


def test_predict_without_masks_writes_tracks_from_end_to_end(
    tmp_path: Path, clip: ToyClip, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    command = ["predict", str(clip.video), "--head", "cumulative", "--model", str(model), "--out"]
    for out, formats in (("one", "tracks,overlay"), ("two", "tracks")):
        with pytest.raises(SystemExit) as left:
            main([*command, str(tmp_path / out), "--formats", formats])
        assert left.value.code == 0
    assert "are resized to a canvas of 16 x 16 cells" in capsys.readouterr().out
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    found = read_tracks(tmp_path / "one/tracks.json")
    assert found.tracks and found.order is not None and not found.exhaustive
    assert any(track.visible[0] is not None and track.amodal is not None for track in found.tracks)
    run = json.loads((tmp_path / "one/run.json").read_text())
    assert run["masks"] == "segmenter m" and run["canvas"] == SIZE and run["head"] == "cumulative"
    assert (tmp_path / "one/overlay.mp4").is_file()
    assert vidamodal.predict(clip.video, model=str(model), seed=1).tracks != found.tracks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--head", "conv"], "there is no segmenter 'conv'. Choose one of aisdiff, cumulative"),
        (["--head", "cumulative", "--model", "MASKS"], "'cumulative' is a segmenter, and --model names another model"),
        (["--model", "BARE", "--hypotheses", "2"], "need objects whose visible masks are known"),
        (["--model", "BARE", "--masks", "TRUTH"], "leave out the masks"),
        (["--model", "BARE", "--head", "conddiff"], "there is no segmenter"),
    ],
)
def test_what_is_missing_without_masks_is_told_in_one_line(
    tmp_path: Path,
    clip: ToyClip,
    model_folder: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"MASKS": str(model_folder), "BARE": str(model_of(tmp_path / "m")), "TRUTH": str(clip.truth)}
    with pytest.raises(SystemExit) as left:
        main(["predict", str(clip.video), "--out", str(tmp_path / "out"), *(places.get(o, o) for o in options)])
    said = capsys.readouterr().err
    assert left.value.code == 2 and words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


# Folders and training


def test_a_segmenter_is_loaded_strictly(tmp_path: Path) -> None:
    folder, network = tmp_path / "m", segmenter()
    save_segmenter(folder, network, {}, "# m\n")
    loaded = load_segmenter(str(folder))
    assert loaded.head == "cumulative" and loaded.model.config == network.config
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name])
    config = json.loads((folder / "config.json").read_text())
    config["segmenter"]["settings"]["denoiser"]["widths"] = [8, 16]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="has shape"):
        load_segmenter(str(folder))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip: ToyClip) -> Path:
    """A data set of one clip with its pictures."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(clip.video, folder / "clip.mp4")
    shutil.copy(clip.truth, folder / "clip.tracks.json")
    return folder


def short(output: Path, data: Path, **changes: object) -> TrainConfig:
    sample = ClipConfig(frames=3, world=WorldConfig(frames=6))
    stage = StageConfig("layers", steps=2, clips=2, warmup=1, rate=1e-2, sample=sample)
    settings_of_it = {"denoiser": {"widths": [8, 8], "attention": 1, "steps": 2}, "size": 32}
    return replace(
        TrainConfig(
            name="t", output=str(output), precision="fp32", device="cpu", worlds=str(data), workers=0, stages=(stage,),
            model=CumulativeFamily(network=settings_of_it),
        ),
        **changes,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("predicts", ["noise", "mask"])
def test_a_segmenter_learns_and_keeps_what_it_found_of_its_data(
    tmp_path: Path, clip: ToyClip, data: Path, predicts: str
) -> None:
    config = short(tmp_path / "run", data)
    assert isinstance(config.model, CumulativeFamily)
    config.model.network["predicts"] = predicts
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    loaded = load_segmenter(str(folder)).model
    bank = load_bank(config.worlds, 0, False)
    limits = measure_limits(bank, 0, config.stages[0].sample, 32)
    assert 1 < limits.most_layers <= len(clip.tracks.tracks) and 1 <= limits.least_area < 32 * 32
    assert (loaded.config.most_layers, loaded.config.least_area) == (limits.most_layers, limits.least_area)
    kept = json.loads((folder / "config.json").read_text())
    assert kept["training"]["limits"]["most_layers"] == limits.most_layers
    with pytest.raises(InputError, match="is a segmenter"):
        load_model(str(folder))


@pytest.mark.parametrize("predicts", ["noise", "mask"])
def test_what_is_learnt_does_not_depend_on_how_a_step_is_cut_into_batches(predicts: str) -> None:
    network = segmenter(predicts=predicts, size=64)
    stage = LayersStage(network, LossConfig())
    data = LayerClips(stacked_clip(SQUARES), 0, 2, ONE_FRAME, 64)
    whole, divide = LayerBatch.join([data[0], data[1]]), {"layers": torch.tensor(2.0)}
    assert divisors([stage.counts(whole, (3, 4))]) == divide
    together = stage(whole, MicroStep((3, 4), divide, True))["loss"]
    apart = [stage(data[k], MicroStep((3 + k,), divide, k == 1))["loss"] for k in (0, 1)]
    torch.testing.assert_close(together, apart[0] + apart[1], atol=1e-5, rtol=1e-5)
    assert not torch.isclose(together, stage(whole, MicroStep((3, 5), divide, True))["loss"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": CumulativeFamily(network={"sise": 3})}, "unknown key 'sise'"),
        ({"model": CumulativeFamily(network={"predicts": "all"})}, "choose noise or mask"),
        ({"model": CumulativeFamily(network={"size": 20})}, "do not divide a canvas of 20 cells"),
        ({"model": CumulativeFamily(network={"denoiser": {"steps": 0}})}, "between 1 and 1000"),
        ({"model": CumulativeFamily(network={"denoiser": {"widths": [9]}})}, "divisible by 8"),
        ({"validation": "data/validation"}, "is not validated"),
        ({"init": "tiny"}, "is not a segmenter"),
        ({"worlds": "toy"}, "worlds hold masks only"),
    ],
)
def test_configs_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, data: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        train(short(tmp_path / "run", data, **changes), quiet=True)
    AcceleratorState._reset_state(True)
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_segmenters_are_found_like_heads() -> None:
    assert find_segmenter("cumulative") is CumulativeSegmenter


# Beside masks

CROP, FEATURES = 16, 6


def head(channels: int = 0, **changes: object) -> CumulativeHead:
    torch.manual_seed(0)
    return CumulativeHead(replace(CumulativeHeadConfig(TINY), **changes), CROP, channels).eval()  # type: ignore[arg-type]


def inputs(channels: int = 0) -> HeadInputs:
    return head_inputs(CROP, channels)


def test_beside_a_transformer_the_head_begins_as_a_copy_of_the_coarse_mask() -> None:
    given_inputs = inputs(channels=FEATURES)
    out = head(FEATURES)(given_inputs)
    torch.testing.assert_close(torch.sigmoid(out), torch.sigmoid(given_inputs.coarse), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"samples": 3}, {"samples": 3, "choose": "mean"}, {"noise": "frame"}], ids=str)
def test_the_head_draws_alike_for_a_seed_whatever_is_with_it(channels: int, changes: dict[str, object]) -> None:
    network, given_inputs = head(channels, **changes), inputs(channels=channels)
    torch.nn.init.normal_(network.denoise.unet.conv_out.weight)
    with torch.no_grad():
        whole = network(given_inputs)
        again = network(replace(given_inputs, noise=Noise.of(7, 8)))
        one = TrackCrops(*(getattr(given_inputs.crops, f.name)[1:] for f in fields(TrackCrops)))
        alone = network(HeadInputs(one, given_inputs.coarse[1:], given_inputs.features[1:], Noise.of(1)))
    torch.testing.assert_close(alone[0], whole[1], atol=1e-3, rtol=1e-3)
    assert whole.shape == (2, 3, CROP, CROP) and not torch.allclose(whole, again, atol=1e-2)


def test_the_head_learns_from_the_losses_of_masks() -> None:
    network, given_inputs = head(FEATURES).train(), inputs(channels=FEATURES)
    truth = given_inputs.crops.visible
    logits = network.training_logits(given_inputs, truth)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).backward()
    assert network.loss(logits, truth, given_inputs.crops.inside) is None and logits.shape == truth.shape
    assert network.denoise.unet.conv_out.weight.grad.abs().sum() > 0


def test_a_head_alone_learns_and_predicts(tmp_path: Path, clip: ToyClip, data: Path) -> None:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    alone = FramewiseConfig(head="cumulative", crop=16)
    settings = {"denoiser": {"widths": [8, 8], "attention": 1, "steps": 2}}
    config = short(tmp_path / "run", data, model=FramewiseFamily(network=alone, head=settings))
    config = replace(config, stages=(replace(config.stages[0], kind="head", sample=sample),))
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    found = vidamodal.predict(clip.video, clip.tracks, model=str(folder), hypotheses=2)
    assert any(track.hypotheses[0].amodal != track.hypotheses[1].amodal for track in found.tracks if track.hypotheses)


def test_a_head_alone_is_told_the_order(clip: ToyClip) -> None:
    torch.manual_seed(0)
    model = FramewiseModel(FramewiseConfig(head="cumulative", crop=16), CumulativeHeadConfig(TINY)).eval()
    assert model.view.order and clip.tracks.order is not None
    predictor = Predictor(model, "cpu", constrain=False)
    pictures = open_video(clip.video).frames
    plain = predictor.predict(clip.tracks, frames=pictures)
    told = predictor.predict(clip.tracks, frames=pictures, order=clip.tracks.order)
    assert [t.confidence for t in plain.tracks] != [t.confidence for t in told.tracks]
