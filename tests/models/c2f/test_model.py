"""C2F-Seg: sizes and costs, decoding, final mask, whole clips and folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tests.models.c2f.helpers import (
    CODES,
    CONFIG,
    RESNET,
    SIDE,
    TRANSFORMER,
    VQGAN,
    millions,
    model,
    random_crops,
    seeded,
)
from vidamodal.inference.predictor import Predictor
from vidamodal.models.c2f.c2f_transformer import C2FTransformerConfig
from vidamodal.models.c2f.model import C2F, C2FConfig, sample_codes
from vidamodal.models.c2f.refiner import Refined
from vidamodal.models.c2f.vqgan import Variant, VqGan
from vidamodal.models.folder import load_model, save_model
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def full() -> tuple[FakeTensorMode, C2F]:
    """Return the full-size model without storage for its weights."""
    mode = FakeTensorMode()
    with mode:
        module = C2F(C2FConfig()).eval()
    return mode, module


def test_the_number_of_parameters_of_each_part_is_that_of_the_reference(full: tuple[FakeTensorMode, C2F]) -> None:
    _, c2f = full
    assert isinstance(c2f.tokenizer, VqGan)
    classifier = 2.049  # of ResNet-50, which the reference carries along unused
    found = {
        "codec": millions(c2f.tokenizer) - millions(c2f.tokenizer.discriminator),
        "backbone": millions(c2f.backbone) + classifier,
        "transformer": millions(c2f.transformer),
        "refiner": millions(c2f.refiner),
    }
    assert found == pytest.approx({"codec": 64.6, "backbone": 25.6, "transformer": 83.8, "refiner": 10.2}, rel=0.02)
    assert sum(found.values()) == pytest.approx(184.1, rel=0.005)
    assert millions(c2f.tokenizer.encoder) == pytest.approx(26.1, rel=0.01)
    assert millions(c2f.tokenizer.decoder) == pytest.approx(38.2, rel=0.01)


@pytest.mark.parametrize(("steps", "giga"), [(1, 226.7), (3, 271.8)])
def test_multiply_adds_per_object_frame_are_those_of_the_reference(
    full: tuple[FakeTensorMode, C2F], steps: int, giga: float
) -> None:
    mode, c2f = full
    with mode, FlopCounterMode(display=False) as counter:
        output = c2f.sample(random_crops(1, 12, 256), steps, torch.Generator())
    assert (
        output.codes is not None
        and output.codes.shape == (1, 12, 16, 16, 256)
        and output.refined.shape == (1, 12, 256, 256)
    )
    assert counter.get_total_flops() / 2 / 12 / 1e9 == pytest.approx(giga, rel=0.01)


def test_the_image_model_has_twelve_layers_without_attention_over_time() -> None:
    with FakeTensorMode():
        c2f = C2F(C2FConfig(transformer=C2FTransformerConfig(depth=12, temporal=False)))
    assert len(c2f.transformer.blocks) == 12
    assert all(block.time is None for block in c2f.transformer.blocks)


def test_samples_depend_only_on_the_generator() -> None:
    c2f, crops = model(), random_crops(1, 5)
    first, again = c2f.sample(crops, 3, seeded(4)), c2f.sample(crops, 3, seeded(4))
    assert first.codes is not None and again.codes is not None and torch.equal(first.codes, again.codes)
    assert torch.equal(first.refined, again.refined)
    assert not torch.equal(first.refined, c2f.sample(crops, 3, seeded(5)).refined)
    assert torch.equal(c2f(crops).refined, c2f(crops).refined)
    assert torch.equal(c2f.complete(crops, seeded(4)).refined, first.refined)


def test_greedy_decoding_is_deterministic() -> None:
    c2f, crops = model(replace(CONFIG, greedy=True)), random_crops(1, 5)
    assert torch.equal(c2f.sample(crops, 3, seeded(4)).refined, c2f.sample(crops, 3, seeded(5)).refined)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_decoding_follows_the_cosine_schedule(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 codes 221 and then 128 are left masked; what was kept is kept."""
    c2f = model(
        replace(CONFIG, variant=variant, vqgan=replace(VQGAN, crop=128), transformer=replace(TRANSFORMER, depth=1))
    )
    known: list[Tensor] = []
    forward = c2f.transformer.forward

    def note(image: Tensor, visible: Tensor, amodal: Tensor, valid: Tensor) -> Tensor:
        known.append(amodal)
        return forward(image, visible, amodal, valid)

    monkeypatch.setattr(c2f.transformer, "forward", note)
    c2f.sample(random_crops(1, 2, 128), 3, seeded(0))
    assert [(k == CODES).sum(dim=(2, 3)).tolist() for k in known] == [[[256, 256]], [[221, 221]], [[128, 128]]]
    kept = known[1] != CODES
    assert torch.equal(known[2][kept], known[1][kept])


def test_codes_are_sampled_from_the_most_probable_ones() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0, 2.5]).expand(20000, -1)
    assert sample_codes(logits, 1, seeded(0)).unique().tolist() == [1]
    counts = sample_codes(logits, 3, seeded(0)).bincount(minlength=5) / 20000
    assert counts[0] == counts[3] == 0
    expected = torch.tensor([3.0, 2.0, 2.5]).softmax(0)
    torch.testing.assert_close(counts[[1, 2, 4]], expected, rtol=0, atol=0.015)


def test_the_final_mask_is_the_refined_one_or_its_sum_with_the_coarse() -> None:
    refined, coarse = torch.tensor([-1.0, -3.0, 2.0, -0.5]).view(1, 2, 2), torch.tensor([-0.5, -2.0, -9.0, 9.0])
    coarse = coarse.view(1, 2, 2)
    paper, released = model(replace(CONFIG, variant="paper")), model()
    both = Refined(refined, refined)
    assert torch.equal(paper._final(coarse, both), refined)
    sums = (torch.sigmoid(refined) + torch.sigmoid(coarse)).clamp(max=1)
    torch.testing.assert_close(torch.sigmoid(released._final(coarse, both)), sums, rtol=0, atol=2e-5)


@pytest.mark.parametrize("changes", [{"refine": False}, {"attention": False}, {"variant": "paper"}, {"codec": "light"}])
def test_every_option_gives_masks(changes: dict[str, object]) -> None:
    c2f = model(replace(CONFIG, **changes))  # type: ignore[arg-type]
    output = c2f(random_crops(2, 5))
    assert output.refined.shape == output.coarse.shape == (2, 5, SIDE, SIDE) and output.refined.isfinite().all()
    assert torch.equal(output.refined, output.coarse) == (changes == {"refine": False})


def test_pixels_are_needed() -> None:
    crops = random_crops(1, 2)
    with pytest.raises(InputError, match="pixels"):
        model()(replace(crops, image=crops.image[:, :, :0]))


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, refiner=24),
        replace(CONFIG, transformer=replace(TRANSFORMER, window=5)),
        replace(CONFIG, transformer=replace(TRANSFORMER, place=3)),
        replace(CONFIG, transformer=replace(TRANSFORMER, heads=3)),
        replace(CONFIG, vqgan=replace(VQGAN, multipliers=(1, 2, 2))),
        replace(CONFIG, backbone=replace(RESNET, depths=(1, 1))),
    ],
)
def test_invalid_settings_are_refused(config: C2FConfig) -> None:
    with pytest.raises(ValueError, match=r"multiple|even|divide|backbone"):
        C2F(config)


def complete_clip(
    c2f: C2F, clip: ClipTracks, frames: list[np.ndarray], seed: int = 0
) -> dict[int, tuple[Rle | None, ...]]:
    result = Predictor(c2f, "cpu", seed).predict(clip, frames=lambda: iter(frames))
    return {track.id: track.amodal for track in result.tracks if track.amodal is not None}


def moving_squares(count: int, frames: int = 10) -> tuple[ClipTracks, list[np.ndarray]]:
    """Squares of 12 pixels in lanes of their own, each hidden in one frame."""
    masks = np.zeros((count, frames, 40, 30 * count), dtype=bool)
    for k in range(count):
        for t in range(frames):
            if t != 4:
                masks[k, t, 10 + t : 22 + t, 30 * k + 8 : 30 * k + 20] = True
    tracks = tuple(Track(k + 1, tuple(Rle.encode(m) for m in masks[k])) for k in range(count))
    pictures = np.random.default_rng(0).integers(0, 255, (frames, 40, 30 * count, 3), dtype=np.uint8)
    return ClipTracks(VideoInfo("clip", 40, 30 * count, frames, 12.0), tracks), list(pictures)


def test_tracks_of_a_clip_are_completed_independently() -> None:
    c2f = model(replace(CONFIG, chunk=8, overlap=4))
    clip, frames = moving_squares(3)
    together = complete_clip(c2f, clip, frames)
    assert together.keys() == {1, 2, 3} and all(m is not None for masks in together.values() for m in masks)
    assert together == complete_clip(c2f, clip, frames)
    assert together != complete_clip(c2f, clip, frames, seed=1)
    alone = complete_clip(c2f, replace(clip, tracks=clip.tracks[1:2]), frames)
    assert alone[2] == together[2]
    with pytest.raises(InputError, match="reads the frames of the video"):
        Predictor(c2f, "cpu").predict(clip)


@pytest.mark.parametrize("codec", ["vqgan", "light"])
def test_a_model_folder_restores_the_model(codec: Literal["vqgan", "light"], tmp_path: Path) -> None:
    c2f = model(replace(CONFIG, codec=codec))
    save_model(tmp_path / "m", c2f, {}, "# c2f\n")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = load_model(str(tmp_path / "m")).model
    assert isinstance(loaded, C2F) and loaded.config == c2f.config
    assert all(torch.equal(value, c2f.state_dict()[name]) for name, value in loaded.state_dict().items())
    crops = random_crops(1, 5)
    assert torch.equal(loaded(crops).refined, c2f(crops).refined)
    with pytest.raises(InputError, match="conv"):
        load_model(str(tmp_path / "m"), "conv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "c3f"}, "c3f"),
        ({"model": {"variant": "best"}}, "best"),
        ({"model": {"vqgan": {"multipliers": [1, 2.5]}}}, "multipliers"),
        ({"model": {"vqgan": {"multipliers": 2}}}, "multipliers"),
        ({"model": {"overlap": 30}}, "overlap"),
    ],
)
def test_a_wrong_config_of_a_model_folder_is_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model(), {}, "# c2f\n")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    model_part = {**config["model"], **change.pop("model", {})}  # type: ignore[dict-item]
    path.write_text(json.dumps({**config, "model": model_part, **change}))
    with pytest.raises(InputError, match=words) as error:
        load_model(str(tmp_path / "m"))
    assert "\n" not in str(error.value)
