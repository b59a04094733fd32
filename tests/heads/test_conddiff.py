"""CondDiff-AMO: its transition, noise, networks, loss and ensemble, alone and as a head of the whole model."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor
from transformers import PvtV2Backbone, PvtV2Config

import vidamodal
from tests.formats import image_data
from tests.helpers import ToyClip
from vidamodal.backbones.pvt import Pyramid, PyramidConfig
from vidamodal.cli import main
from vidamodal.config import check
from vidamodal.data.clips import ClipConfig
from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.heads.base import HeadInputs
from vidamodal.heads.conddiff import CondDiffConfig, CondDiffHead, diffusion
from vidamodal.heads.conddiff import head as head_module
from vidamodal.heads.conddiff.diffusion import SamplingNoise, ensemble
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import load_model, save_model
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.noise import Noise
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.run import train
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.training.stages.head import FramewiseFamily, HeadFamily
from vidamodal.types import InputError
from vidamodal.windows import WindowConfig
from vidamodal.worlds.sample import WorldConfig

CROP, FEATURES = 32, 6
PYRAMID = PyramidConfig((8, 16, 16, 24), (1, 1, 2, 1), (1, 2, 2, 3), (4, 2, 1, 1), (2, 2, 2, 2), inputs=4)
SMALL = CondDiffConfig(pyramid=PYRAMID, width=8, image=False, context=True, steps=3, grain=1.0)


def head(channels: int = 0, **changes: object) -> CondDiffHead:
    """Not trained, with random weights where training would begin at zero."""
    torch.manual_seed(0)
    made = CondDiffHead(replace(SMALL, **changes), CROP, channels)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    return made.eval()


def inputs(tracks: int = 2, frames: int = 3, channels: int = 0, seed: int = 0, alike: bool = False) -> HeadInputs:
    """Random windows; ``alike``: all frames of a track show the same. Each track draws from its own generator."""
    generator = torch.Generator().manual_seed(seed)

    def maps(*shape: int) -> Tensor:
        drawn = torch.rand(tracks, 1 if alike else frames, *shape, generator=generator)
        return drawn.expand(tracks, frames, *shape).contiguous()

    visible = (maps(CROP, CROP) > 0.7).float()
    crops = TrackCrops(
        visible, *(maps(CROP, CROP) for _ in range(5)), maps(3, CROP, CROP), torch.ones(tracks, frames),
        torch.zeros(tracks, frames, BOX_NUMBERS), torch.zeros(tracks, frames), torch.ones(tracks, frames).bool(),
    )  # fmt: skip
    coarse = 4 * maps(CROP, CROP) - 2
    return HeadInputs(crops, coarse, maps(channels, CROP // 4, CROP // 4), Noise.of(*range(tracks)))


def track(given_inputs: HeadInputs, k: int) -> HeadInputs:
    """One of several tracks, alone in its batch."""
    crops = TrackCrops(*(getattr(given_inputs.crops, f.name)[k : k + 1] for f in fields(TrackCrops)))
    return HeadInputs(crops, given_inputs.coarse[k : k + 1], given_inputs.features[k : k + 1], Noise.of(k))


def oracle(monkeypatch: pytest.MonkeyPatch, truth: Tensor, seen: list[Tensor] | None = None) -> None:
    """A network that knows the truth, and keeps what noisy masks it was shown."""

    def predict(_self: CondDiffHead, _given: object, noisy: Tensor, *_: object) -> Tensor:
        if seen is not None:
            seen.append(noisy)
        return 20 * truth - 10

    monkeypatch.setattr(CondDiffHead, "_predict", predict)


# Transition and noise


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), grain=st.sampled_from([0.0, 1.0, 3.0]))
def test_an_amodal_cell_that_has_become_modal_stays_so_and_as_many_do_as_eq_5_says(seed: int, grain: float) -> None:
    given_inputs = replace(inputs(tracks=8), noise=Noise.of(seed))
    drawn = SamplingNoise.sample(given_inputs, 10, True, grain).transition
    amodal = [drawn < 1 - t for t in np.linspace(0, 1, 11)]
    assert amodal[0].all() and not amodal[-1].any()
    for before, after in zip(amodal, amodal[1:], strict=False):
        assert not (after & ~before).any()  # Eq. 4: no way back
    if grain < 3:  # with coarse grains a few windows hold too few of them to tell
        for t in (3, 5, 8):
            assert amodal[t].float().mean() == pytest.approx(1 - t / 10, abs=0.02 + 0.06 * grain)


@pytest.mark.parametrize("grain", [0.0, 1.0, 2.5])
def test_noise_has_deviation_1_whatever_its_grain_and_neighbours_share_it(grain: float) -> None:
    noise = diffusion.smooth_noise(torch.randn(64, 1, 1, 32, 32, generator=torch.Generator().manual_seed(0)), grain)
    assert float(noise.std()) == pytest.approx(1, abs=0.1)
    together = float((noise * noise.roll(1, -1)).mean())
    assert together == pytest.approx(np.exp(-1 / (4 * grain**2)) if grain else 0, abs=0.1)


def test_in_training_every_frame_has_its_own_state_between_truth_and_last_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_inputs, seen = inputs(tracks=2, frames=4), []  # type: ignore[var-annotated]
    truth = torch.maximum(given_inputs.crops.visible, (given_inputs.crops.others > 0.5).float())
    oracle(monkeypatch, truth, seen)
    monkeypatch.setattr(head_module, "add_noise", lambda state, _noise, _snr: state)
    head().training_logits(given_inputs, truth)
    (state,) = seen
    hidden = (truth > given_inputs.crops.visible).float()
    assert torch.equal(state * (1 - hidden), truth * (1 - hidden))
    shares = (state * hidden).sum(dim=(2, 3)) / hidden.sum(dim=(2, 3))
    assert len(shares.unique()) == 8 and shares.std() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_states_of_own_guesses_are_shown_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    given_inputs, seen = inputs(tracks=20, frames=4), []  # type: ignore[var-annotated]
    oracle(monkeypatch, torch.full_like(given_inputs.coarse, 0.5), seen)  # it is never sure
    monkeypatch.setattr(head_module, "add_noise", lambda state, _noise, _snr: state)
    head(rollout=share).training_logits(given_inputs, torch.ones_like(given_inputs.coarse))
    own = (seen[-1] == 0.5).flatten(2).any(dim=-1)
    assert float(own.float().mean()) == pytest.approx(share, abs=0.2) and (share not in (0, 1) or own.any() == share)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("changes", [{}, {"ust": False}, {"draw": True}, {"vgpe": False}, {"late": True}])
def test_a_network_that_knows_the_truth_ends_there(
    monkeypatch: pytest.MonkeyPatch, steps: int, changes: dict[str, object]
) -> None:
    given_inputs, seen = inputs(), []  # type: ignore[var-annotated]
    truth = torch.maximum(given_inputs.crops.visible, (given_inputs.crops.others > 0.5).float())
    oracle(monkeypatch, truth, seen)
    out = head(steps=steps, **changes)(given_inputs)
    assert torch.equal(out > 0, truth > 0.5) and len(seen) == steps
    first = seen[0].flatten()
    assert abs(float(first.mean())) < 0.1 and float(first.std()) == pytest.approx(1, abs=0.1)  # noise alone
    if steps == 7:  # near the end, little of it is left
        assert float(((seen[-1] > 0) == (truth > 0.5)).float().mean()) > (0.9 if changes == {"ust": False} else 0.8)


# Draws


def test_the_same_noise_gives_the_same_mask_and_another_one_another() -> None:
    network, given_inputs = head(), inputs()
    first, again = network(given_inputs), network(replace(given_inputs, noise=Noise.of(0, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, network(replace(given_inputs, noise=Noise.of(2, 3))))


@pytest.mark.parametrize("noise", ["track", "frame"])
def test_a_track_is_drawn_alike_whatever_else_is_in_the_batch(noise: str) -> None:
    network, given_inputs = head(noise=noise), inputs(tracks=3)
    together = network(inputs(tracks=3))
    for k in range(3):
        torch.testing.assert_close(network(track(given_inputs, k))[0], together[k], atol=1e-4, rtol=1e-4)


def test_frames_that_show_the_same_are_completed_alike_by_one_noise_a_track_alone() -> None:
    shared, apart = (head(noise=noise)(inputs(tracks=1, frames=4, alike=True))[0] for noise in ("track", "frame"))
    torch.testing.assert_close(shared, shared[:1].expand_as(shared), atol=1e-4, rtol=1e-4)
    assert all(not torch.allclose(apart[0], apart[t], atol=1e-2) for t in (1, 2, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": False}, {"context": False}, {"ocr": False}, {"afg": False}, {"ust": False}, {"vgpe": False},
        {"late": True}, {"grain": 0.0}, {"draw": True}, {"steps": 5}, {"regression": True}, {"image": True},
    ],
    ids=str,
)  # fmt: skip
def test_every_switch_changes_something(changes: dict[str, object]) -> None:
    assert torch.equal(head()(inputs()), head()(inputs()))
    assert not torch.allclose(head()(inputs()), head(**changes)(inputs()), atol=1e-3)


def test_without_the_visible_mask_the_condition_does_not_show_it() -> None:
    def complete(network: CondDiffHead, turned: bool) -> Tensor:
        drawn = inputs()
        visible = 1 - drawn.crops.visible if turned else drawn.crops.visible
        out: Tensor = network(replace(drawn, crops=replace(drawn.crops, visible=visible)))
        return out

    blind, seeing = head(mask=False, ust=False, vgpe=False), head(ust=False, vgpe=False)
    assert torch.equal(complete(blind, False), complete(blind, True))
    assert not torch.equal(complete(seeing, False), complete(seeing, True))


def test_plain_regression_draws_nothing() -> None:
    network, given_inputs = head(regression=True), inputs()
    assert not network.stochastic and head().stochastic
    assert torch.equal(network(given_inputs), network(replace(given_inputs, noise=Noise.of(8, 9))))


# Joined to a transformer


def test_a_joined_head_begins_as_a_copy_of_the_coarse_mask() -> None:
    network = CondDiffHead(replace(SMALL, start="coarse", vgpe=False), CROP, FEATURES).eval()
    given_inputs = inputs(channels=FEATURES)
    torch.testing.assert_close(network(given_inputs), given_inputs.coarse, atol=1e-4, rtol=1e-4)


def test_coarse_mask_and_features_are_seen_where_there_is_a_transformer() -> None:
    network = head(channels=FEATURES, start="coarse")
    before = network(inputs(channels=FEATURES))
    assert torch.equal(before, network(inputs(channels=FEATURES)))
    for name in ("coarse", "features"):
        given_inputs = inputs(channels=FEATURES)
        other = replace(given_inputs, **{name: getattr(given_inputs, name).flip(1)})
        assert not torch.allclose(before, network(other), atol=1e-3), name


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"late": True}, {"ocr": False, "afg": False}, {"regression": True}], ids=str)
def test_every_weight_learns(channels: int, changes: dict[str, object]) -> None:
    network, given_inputs = head(channels, **changes).train(), inputs(channels=channels)
    network.training_logits(given_inputs, given_inputs.crops.others.round()).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


# Networks


def test_the_pyramid_is_pvtv2_when_nothing_noisy_enters_it() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid(replace(PYRAMID, inputs=3), 3, noisy=False).eval()
    plain = PvtV2Backbone(
        PvtV2Config(
            num_channels=3, hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 2, 1], num_attention_heads=[1, 2, 2, 3],
            sr_ratios=[4, 2, 1, 1], mlp_ratios=[2, 2, 2, 2], out_features=["stage1", "stage2", "stage3", "stage4"],
        )
    ).eval()  # fmt: skip
    plain.load_state_dict({k.replace(".block.", "."): v for k, v in pyramid.backbone.state_dict().items()})
    planes = torch.rand(2, 3, CROP, CROP)
    for ours, theirs in zip(pyramid(planes, None, None), plain(pyramid.bring(planes)).feature_maps, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_noisy_mask_enters_by_a_convolution_that_begins_at_zero_and_the_time_by_tokens() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid(PYRAMID, 2, noisy=True).eval()
    planes, noisy, time = torch.rand(1, 2, CROP, CROP), torch.randn(1, 1, CROP, CROP), torch.zeros(1)
    before = pyramid(planes, noisy, time)
    assert all(torch.equal(a, b) for a, b in zip(before, pyramid(planes, -noisy, time), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(before, pyramid(planes, noisy, time + 3), strict=True))
    assert [tuple(each.shape[1:]) for each in before] == [(8, 8, 8), (16, 4, 4), (16, 2, 2), (24, 1, 1)]


def test_pretrained_weights_come_from_a_folder_and_colours_pass_as_they_are(tmp_path: Path) -> None:
    config = replace(PYRAMID, inputs=3)
    given_weights = PvtV2Backbone(library_settings(config))
    given_weights.save_pretrained(tmp_path / "pvt")
    pyramid = Pyramid(replace(config, pretrained=str(tmp_path / "pvt")), 4, noisy=True)
    pyramid.load_pretrained()
    mine = {name.replace(".block.", "."): value for name, value in pyramid.backbone.state_dict().items()}
    for name, value in given_weights.state_dict().items():
        assert torch.equal(mine[name], value), name
    planes = torch.rand(1, 4, CROP, CROP)
    planes[:, 3] = 0
    torch.testing.assert_close(pyramid.bring(planes) - pyramid.bring(0 * planes), planes[:, :3])


def library_settings(config: PyramidConfig) -> PvtV2Config:
    """Return the settings of the same network without the noisy mask in transformers."""
    return PvtV2Config(
        num_channels=config.inputs, hidden_sizes=list(config.widths), depths=list(config.depths),
        num_attention_heads=list(config.heads), sr_ratios=list(config.reductions), mlp_ratios=list(config.ratios),
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [("./nowhere", "there is no folder ./nowhere"), ("nobody/nothing", "neither a folder nor a model on the Hub")],
)
def test_pretrained_weights_that_cannot_be_had_are_told_in_one_line(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    network = head(pyramid=replace(PYRAMID, pretrained=name))
    with pytest.raises(InputError, match=words) as raised:
        network.load_pretrained()
    assert "\n" not in str(raised.value)


def test_pretrained_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    PvtV2Backbone(library_settings(replace(PYRAMID, inputs=3))).save_pretrained(tmp_path / "pvt")
    other = replace(PYRAMID, widths=(8, 16, 16, 48), inputs=3, pretrained=str(tmp_path / "pvt"))
    with pytest.raises(InputError, match="head.pyramid.pretrained.*do not fit the config"):
        Pyramid(other, 4, noisy=True).load_pretrained()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "nowhere"}, "choose visible or coarse"),
        ({"start": "coarse"}, "no coarse mask without a transformer"),
        ({"noise": "video"}, "choose track or frame"),
        ({"steps": 0}, "at least 1"),
        ({"mask": False, "context": False}, "has no input channel"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CondDiffHead(check(replace(SMALL, **changes), "head"), CROP, 0)  # type: ignore[arg-type]


# Loss and ensemble


def test_the_weights_of_eq_10_act() -> None:
    truth = torch.zeros(1, 1, CROP, CROP)
    truth[..., 8:24, 8:24] = 1
    inside = torch.ones_like(truth)
    sure = 20 * truth - 10
    assert float(head().loss(sure, truth, inside)) < 1e-3
    at_edge, at_middle = sure.clone(), sure.clone()
    at_edge[..., 15, 8] *= -1
    at_middle[..., 15, 15] *= -1
    assert float(head().loss(at_edge, truth, inside)) > 1.5 * float(head().loss(at_middle, truth, inside))
    wrong = -sure
    beyond = torch.cat([inside[..., :16], torch.zeros_like(inside[..., 16:])], dim=-1)
    half = torch.where(beyond > 0, sure, wrong)
    assert float(head().loss(half, truth, beyond)) < 1e-3 < float(head().loss(half, truth, inside))


@settings(deadline=None, max_examples=50)
@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.just(5)), elements=st.floats(0, 1, width=32)))
def test_the_ensemble_is_eq_12(predictions: np.ndarray) -> None:
    votes = (predictions > 0.5).sum(axis=0)
    expected = np.where(2 * votes >= len(predictions), predictions.mean(axis=0), 0)
    np.testing.assert_allclose(ensemble(torch.from_numpy(predictions)).numpy(), expected, atol=1e-6)


def test_the_visible_mask_is_kept_from_the_second_half_of_the_steps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given_inputs = inputs(tracks=1, frames=1)
    monkeypatch.setattr(CondDiffHead, "_predict", lambda _self, _given, noisy, *_: torch.full_like(noisy, -9.0))
    kept: list[Tensor] = []

    def keep(predictions: Tensor) -> Tensor:
        kept.extend(predictions)
        return ensemble(predictions)

    monkeypatch.setattr(head_module, "ensemble", keep)
    head(steps=4)(given_inputs)
    visible = given_inputs.crops.visible > 0
    assert [bool((each[visible] == 1).all()) for each in kept] == [False, False, True, True]
    assert all(float(each[~visible].max()) < 0.01 for each in kept)


# Alone, and beside other heads


def alone(**changes: object) -> FramewiseModel:
    config = FramewiseConfig(crop=CROP, windows=WindowConfig(passes=1), chunk=8)
    return FramewiseModel(config, head(**changes).config).eval()


def test_a_head_alone_sees_each_frame_by_itself() -> None:
    torch.manual_seed(0)
    model, crops = alone(noise="track"), inputs(tracks=1, frames=4).crops
    order = [2, 0, 3, 1]
    mixed = TrackCrops(*(getattr(crops, f.name)[:, order] for f in fields(TrackCrops)))
    torch.testing.assert_close(model(mixed).refined, model(crops).refined[:, order], atol=1e-4, rtol=1e-4)


def test_an_image_model_is_saved_loaded_and_used(tmp_path: Path, clip: ToyClip) -> None:
    model = alone(image=True)
    save_model(tmp_path / "m", model, {}, "# alone\n")
    loaded = load_model(str(tmp_path / "m")).model
    assert isinstance(loaded, FramewiseModel) and loaded.head_config == model.head_config and loaded.view.pixels
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    picture = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    masks = np.zeros((2, 1, 48, 48), dtype=bool)
    masks[0, :, 8:30, 8:20], masks[1, :, 8:30, 20:40] = True, True
    np.savez(tmp_path / "masks.npz", masks=masks)
    command = ["predict", str(tmp_path / "picture.png"), "--masks", str(tmp_path / "masks.npz"), "--model"]
    for out in ("one", "two"):
        with pytest.raises(SystemExit) as left:
            main(
                [*command, str(tmp_path / "m"), "--head", "conddiff", "--hypotheses", "3", "--out", str(tmp_path / out)]
            )
        assert left.value.code == 0
    one, two = ((tmp_path / out / "tracks.json").read_bytes() for out in ("one", "two"))
    assert one == two and len(json.loads(one)["tracks"][0]["hypotheses"]) == 3
    assert json.loads((tmp_path / "one/run.json").read_text())["head"] == "conddiff"


def test_what_is_drawn_of_a_track_does_not_depend_on_the_other_objects_of_the_clip(clip: ToyClip) -> None:
    """Without what the others say: windows of the object's own boxes, no context, no constraint."""
    model = alone(context=False)
    model.config = replace(model.config, windows=WindowConfig(mode="boxes", passes=1))
    predictor = Predictor(model, "cpu", seed=3, hypotheses=2, constrain=False)
    whole = predictor.predict(replace(clip.tracks, exhaustive=False))
    seen = [k for k, each in enumerate(clip.tracks.tracks) if each.ever_visible]
    for k in seen:
        lonely = replace(clip.tracks, tracks=(clip.tracks.tracks[k],), order=None, exhaustive=False)
        assert predictor.predict(lonely).tracks[0].hypotheses == whole.tracks[k].hypotheses
    assert len(seen) > 1


def test_of_drawn_hypotheses_the_one_that_has_most_in_common_with_all_is_chosen(clip: ToyClip) -> None:
    model = alone(vgpe=False)
    found = Predictor(model, "cpu", hypotheses=4, constrain=False).predict(replace(clip.tracks, exhaustive=False))
    told = 0
    for each in found.tracks:
        drawn = np.array([[m.decode() for m in h.amodal if m is not None] for h in each.hypotheses])
        if not drawn.size:
            continue
        scores = [h.score for h in each.hypotheses]
        assert each.amodal == each.hypotheses[int(np.argmax(scores))].amodal
        common = drawn.mean(axis=0)
        near = [-np.abs(mask - common).mean() for mask in drawn]
        told += np.corrcoef(scores, near)[0, 1] > 0.3
    assert told >= 2


def short(output: Path, **changes: object) -> TrainConfig:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    stage = StageConfig("head", steps=2, clips=2, warmup=1, rate=1e-2, sample=sample)
    return replace(
        TrainConfig(
            name="t", output=str(output), precision="fp32", device="cpu", worlds="toy", workers=0, stages=(stage,)
        ),
        **changes,  # type: ignore[arg-type]
    )


HEAD = {
    "pyramid": {"widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "reductions": [1, 1, 1, 1],
                "ratios": [1, 1, 1, 1], "inputs": 4},
    "width": 8, "image": False, "context": True, "late": True, "start": "coarse",
}  # fmt: skip


def test_a_head_learns_beside_the_one_a_model_has(tmp_path: Path, model_folder: Path, clip: ToyClip) -> None:
    config = short(
        tmp_path / "run", init=str(model_folder), model=HeadFamily(name="conddiff", head=HEAD)
    )
    folder = train(config, quiet=True)
    AcceleratorState._reset_state(True)
    for name in ("model.safetensors", "heads/conv.safetensors", "README.md"):
        assert (folder / name).read_bytes() == (model_folder / name).read_bytes()
    before, after = load_model(str(model_folder)), load_model(str(folder))
    assert after.model.config == before.model.config and after.weights_hash == before.weights_hash
    drawn = load_model(str(folder), "conddiff").model
    assert drawn.config.head == "conddiff" and drawn.config.temperature == 1.0
    torch.manual_seed(0)
    assert any(parameter.any() for parameter in drawn.head.denoise.leave[-1].parameters())  # type: ignore[union-attr,operator]
    kept = json.loads((folder / "config.json").read_text())
    assert sorted(kept["heads"]) == ["conddiff", "conv"] and kept["heads_training"]["conddiff"]["config"]["model"]["family"] == "head"
    (folder / "config.json").write_text(json.dumps(kept | {"temperatures": {"conddiff": 1.5}}))
    assert load_model(str(folder), "conddiff").model.config.temperature == 1.5
    one, two = (
        vidamodal.predict(clip.video, clip.tracks, model=str(folder), head="conddiff", seed=seed, hypotheses=2)
        for seed in (0, 1)
    )
    assert [t.visible for t in one.tracks] == [t.visible for t in two.tracks]
    assert [t.hypotheses for t in one.tracks] != [t.hypotheses for t in two.tracks]


def test_a_head_alone_learns_and_is_a_model(tmp_path: Path) -> None:
    alone_head = {**HEAD, "late": False, "start": "visible"}
    folder = train(short(tmp_path / "run", model=FramewiseFamily(network=FramewiseConfig(crop=32), head=alone_head)), quiet=True)
    AcceleratorState._reset_state(True)
    loaded = load_model(str(folder)).model
    assert isinstance(loaded, FramewiseModel) and loaded.config.head == "conddiff"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text() if (tmp_path / "run" / "metrics.jsonl").exists() else ""
    assert "tokenizer" not in lines


@pytest.mark.parametrize("layout", ["kins", "cocoa", "gestalt"])
def test_an_image_model_learns_from_image_data_sets(tmp_path: Path, layout: str) -> None:
    if layout == "gestalt":
        image_data.gestalt(tmp_path / "data")
    elif layout == "kins":
        image_data.save(tmp_path / "data/update_train_2020.json", image_data.kins())
        image_data.picture(tmp_path / "data/training/image_2/000003.png")
    else:
        image_data.save(tmp_path / "data/annotations/COCO_amodal_val2014.json", image_data.cocoa())
        image_data.picture(tmp_path / "data/val2014/COCO_val2014_7.png")
    config = short(tmp_path / "run", worlds=str(tmp_path / "data"))
    sample = ClipConfig(tracks=2, frames=1, whole=0.0, world=WorldConfig(frames=1))
    alone_head = {**HEAD, "image": True, "start": "visible"}
    folder = train(
        replace(
            config,
            model=FramewiseFamily(network=FramewiseConfig(crop=32), head=alone_head),
            stages=(replace(config.stages[0], sample=sample),),
        ),
        quiet=True,
    )
    AcceleratorState._reset_state(True)
    model = load_model(str(folder)).model
    assert model.view.pixels and any(p.any() for p in model.head.denoise.second.two.parameters())  # type: ignore[union-attr,operator]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": HeadFamily()}, "Set init to its folder or name"),
        ({"model": HeadFamily(name="nosuch"), "init": "tiny"}, "unknown head 'nosuch'"),
        ({"model": HeadFamily(), "init": "aisdiff"}, "is a segmenter"),
        ({"model": AmodalFamily(), "stages": (StageConfig("head"),)}, "the family 'amodal' has no stage 'head'"),
        ({"model": FramewiseFamily(head={"stride": 3})}, "unknown key 'stride'"),
        ({"model": FramewiseFamily(head={"start": "coarse"})}, "no coarse mask without a transformer"),
    ],
)
def test_configs_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        train(short(tmp_path / "run", **changes), quiet=True)
    AcceleratorState._reset_state(True)
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()
