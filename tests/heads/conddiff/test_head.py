"""Sampling, training logits and loss of the CondDiff head, with and without a transformer."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.heads.conddiff.helpers import CROP, FEATURES, SMALL, head, one_track, random_inputs
from tests.helpers import ToyClip
from vidamodal.cli import main
from vidamodal.config import check
from vidamodal.data.crops import TrackCrops
from vidamodal.heads.conddiff import CondDiffHead
from vidamodal.heads.conddiff import head as head_module
from vidamodal.heads.conddiff.diffusion import ensemble
from vidamodal.heads.conddiff.head import neighbourhood_side
from vidamodal.inference.predictor import Predictor
from vidamodal.models.folder import load_model, save_model
from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
from vidamodal.noise import Noise
from vidamodal.windows import WindowConfig


def perfect_network(monkeypatch: pytest.MonkeyPatch, truth: Tensor, seen: list[Tensor] | None = None) -> None:
    """Make the head predict the ground truth, and collect the noisy masks that it gets."""

    def predict(_self: CondDiffHead, _given: object, noisy: Tensor, *_: object) -> Tensor:
        if seen is not None:
            seen.append(noisy)
        return 20 * truth - 10

    monkeypatch.setattr(CondDiffHead, "_predict", predict)


def test_training_states_lie_between_ground_truth_and_modal_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs, seen = random_inputs(tracks=2, frames=4), []  # type: ignore[var-annotated]
    truth = torch.maximum(inputs.crops.visible, (inputs.crops.others > 0.5).float())
    perfect_network(monkeypatch, truth, seen)
    monkeypatch.setattr(head_module, "add_noise", lambda state, _noise, _snr: state)
    head().training_logits(inputs, truth)
    (state,) = seen
    hidden = (truth > inputs.crops.visible).float()
    assert torch.equal(state * (1 - hidden), truth * (1 - hidden))
    shares = (state * hidden).sum(dim=(2, 3)) / hidden.sum(dim=(2, 3))
    assert len(shares.unique()) == 8 and shares.std() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rollout_is_the_share_of_states_made_of_predictions(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    inputs, seen = random_inputs(tracks=20, frames=4), []  # type: ignore[var-annotated]
    perfect_network(
        monkeypatch, torch.full_like(inputs.coarse, 0.5), seen
    )  # a prediction of its own is recognised by this value
    monkeypatch.setattr(head_module, "add_noise", lambda state, _noise, _snr: state)
    head(rollout=share).training_logits(inputs, torch.ones_like(inputs.coarse))
    own = (seen[-1] == 0.5).flatten(2).any(dim=-1)
    assert float(own.float().mean()) == pytest.approx(share, abs=0.2) and (share not in (0, 1) or own.any() == share)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("changes", [{}, {"ust": False}, {"draw": True}, {"vgpe": False}, {"late": True}])
def test_sampling_with_a_perfect_network_ends_at_the_ground_truth(
    monkeypatch: pytest.MonkeyPatch, steps: int, changes: dict[str, Any]
) -> None:
    inputs, seen = random_inputs(), []  # type: ignore[var-annotated]
    truth = torch.maximum(inputs.crops.visible, (inputs.crops.others > 0.5).float())
    perfect_network(monkeypatch, truth, seen)
    out = head(steps=steps, **changes)(inputs)
    assert torch.equal(out > 0, truth > 0.5) and len(seen) == steps
    first = seen[0].flatten()
    assert abs(float(first.mean())) < 0.1 and float(first.std()) == pytest.approx(1, abs=0.1)  # pure noise
    if steps == 7:  # near the end, little of it is left
        assert float(((seen[-1] > 0) == (truth > 0.5)).float().mean()) > (0.9 if changes == {"ust": False} else 0.8)


def test_the_mask_depends_on_the_noise() -> None:
    network, inputs = head(), random_inputs()
    first, again = network(inputs), network(replace(inputs, noise=Noise.of(0, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, network(replace(inputs, noise=Noise.of(2, 3))))


@pytest.mark.parametrize("noise", ["track", "frame"])
def test_a_track_does_not_depend_on_the_rest_of_the_batch(noise: str) -> None:
    network, inputs = head(noise=noise), random_inputs(tracks=3)
    together = network(random_inputs(tracks=3))
    for k in range(3):
        torch.testing.assert_close(network(one_track(inputs, k))[0], together[k], atol=1e-4, rtol=1e-4)


def test_equal_frames_are_completed_equally_if_they_share_noise() -> None:
    shared, apart = (
        head(noise=noise)(random_inputs(tracks=1, frames=4, alike=True))[0] for noise in ("track", "frame")
    )
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
def test_every_switch_has_an_effect(changes: dict[str, Any]) -> None:
    assert torch.equal(head()(random_inputs()), head()(random_inputs()))
    assert not torch.allclose(head()(random_inputs()), head(**changes)(random_inputs()), atol=1e-3)


def test_a_condition_without_the_visible_mask_does_not_reveal_it() -> None:
    def complete(network: CondDiffHead, turned: bool) -> Tensor:
        drawn = random_inputs()
        visible = 1 - drawn.crops.visible if turned else drawn.crops.visible
        out: Tensor = network(replace(drawn, crops=replace(drawn.crops, visible=visible)))
        return out

    blind, seeing = head(mask=False, ust=False, vgpe=False), head(ust=False, vgpe=False)
    assert torch.equal(complete(blind, False), complete(blind, True))
    assert not torch.equal(complete(seeing, False), complete(seeing, True))


def test_regression_is_deterministic() -> None:
    network, inputs = head(regression=True), random_inputs()
    assert not network.stochastic and head().stochastic
    assert torch.equal(network(inputs), network(replace(inputs, noise=Noise.of(8, 9))))


def test_the_untrained_head_returns_the_coarse_mask_of_a_transformer() -> None:
    network = CondDiffHead(replace(SMALL, start="coarse", vgpe=False), CROP, FEATURES).eval()
    inputs = random_inputs(channels=FEATURES)
    torch.testing.assert_close(network(inputs), inputs.coarse, atol=1e-4, rtol=1e-4)


def test_the_head_uses_the_coarse_mask_and_features_of_a_transformer() -> None:
    network = head(channels=FEATURES, start="coarse")
    before = network(random_inputs(channels=FEATURES))
    assert torch.equal(before, network(random_inputs(channels=FEATURES)))
    for name in ("coarse", "features"):
        inputs = random_inputs(channels=FEATURES)
        other = replace(inputs, **{name: getattr(inputs, name).flip(1)})
        assert not torch.allclose(before, network(other), atol=1e-3), name


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"late": True}, {"ocr": False, "afg": False}, {"regression": True}], ids=str)
def test_every_weight_gets_a_gradient(channels: int, changes: dict[str, Any]) -> None:
    network, inputs = head(channels, **changes).train(), random_inputs(channels=channels)
    network.training_logits(inputs, inputs.crops.others.round()).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


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
def test_invalid_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CondDiffHead(check(replace(SMALL, **changes), "head"), CROP, 0)


def test_the_loss_weights_outlines_as_in_eq_10() -> None:
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


@pytest.mark.parametrize(("cells", "side"), [(256, 31), (128, 15), (64, 7), (16, 1)])
def test_the_neighbourhood_of_eq_10_grows_with_the_window(cells: int, side: int) -> None:
    assert neighbourhood_side(cells) == side


def test_the_second_half_of_the_steps_keeps_the_visible_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = random_inputs(tracks=1, frames=1)
    monkeypatch.setattr(CondDiffHead, "_predict", lambda _self, _given, noisy, *_: torch.full_like(noisy, -9.0))
    kept: list[Tensor] = []

    def keep(predictions: Tensor) -> Tensor:
        kept.extend(predictions)
        return ensemble(predictions)

    monkeypatch.setattr(head_module, "ensemble", keep)
    head(steps=4)(inputs)
    visible = inputs.crops.visible > 0
    assert [bool((each[visible] == 1).all()) for each in kept] == [False, False, True, True]
    assert all(float(each[~visible].max()) < 0.01 for each in kept)


def head_model(**changes: Any) -> FramewiseModel:
    config = FramewiseConfig(crop=CROP, windows=WindowConfig(passes=1), chunk=8)
    return FramewiseModel(config, head(**changes).config).eval()


def test_a_head_without_transformer_processes_frames_independently() -> None:
    torch.manual_seed(0)
    model, crops = head_model(noise="track"), random_inputs(tracks=1, frames=4).crops
    order = [2, 0, 3, 1]
    mixed = TrackCrops(*(getattr(crops, f.name)[:, order] for f in fields(TrackCrops)))
    torch.testing.assert_close(model(mixed).refined, model(crops).refined[:, order], atol=1e-4, rtol=1e-4)


def test_an_image_model_is_saved_loaded_and_used(tmp_path: Path, clip: ToyClip) -> None:
    model = head_model(image=True)
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


def test_hypotheses_of_a_track_do_not_depend_on_other_objects(clip: ToyClip) -> None:
    """Windows, context and constraints that depend on other objects are switched off."""
    model = head_model(context=False)
    model.config = replace(model.config, windows=WindowConfig(mode="boxes", passes=1))
    predictor = Predictor(model, "cpu", seed=3, hypotheses=2, constrain=False)
    whole = predictor.predict(replace(clip.tracks, exhaustive=False))
    seen = [k for k, each in enumerate(clip.tracks.tracks) if each.ever_visible]
    for k in seen:
        single = replace(clip.tracks, tracks=(clip.tracks.tracks[k],), order=None, exhaustive=False)
        assert predictor.predict(single).tracks[0].hypotheses == whole.tracks[k].hypotheses
    assert len(seen) > 1


def test_the_hypothesis_closest_to_the_others_is_chosen(clip: ToyClip, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = CondDiffHead._predict
    # Random weights may be sure of nothing; then pixels outside all masks decide the confidences.
    monkeypatch.setattr(CondDiffHead, "_predict", lambda *inputs: 12 * torch.sign(predict(*inputs)))
    model = head_model(vgpe=False)
    found = Predictor(model, "cpu", hypotheses=8, constrain=False).predict(replace(clip.tracks, exhaustive=False))
    agreement = []
    for each in found.tracks:
        drawn = np.array([[m.decode() for m in h.amodal if m is not None] for h in each.hypotheses])
        if not drawn.size:
            continue
        scores = [h.score for h in each.hypotheses]
        assert each.amodal == each.hypotheses[int(np.argmax(scores))].amodal
        common = drawn.mean(axis=0)
        agreement.append(np.corrcoef(scores, [-np.abs(mask - common).mean() for mask in drawn])[0, 1])
    assert np.mean(agreement) > 0.5
