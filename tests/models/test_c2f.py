"""The faithful C2F-Seg: sizes and costs as published, roll and order, decoding, refinement, its stages of training."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from einops import rearrange
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from vidamodal.backbones.resnet import BackboneConfig
from vidamodal.data.augment import AugmentConfig, Degradation
from vidamodal.data.clips import ClipConfig, TrainingBatch
from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.inference.predictor import Predictor
from vidamodal.models.c2f.c2f_transformer import C2FTransformer, C2FTransformerConfig
from vidamodal.models.c2f.model import C2F, C2FConfig, sample_codes
from vidamodal.models.c2f.refiner import Refined, attention_map
from vidamodal.models.c2f.vqgan import VqGan, VqGanConfig
from vidamodal.models.folder import load_model, save_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.training.command import read_recipe
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.loop import parameter_groups
from vidamodal.training.losses import LossConfig
from vidamodal.training.run import train
from vidamodal.training.stage import MicroStep
from vidamodal.training.stages.amodal import TokenizerStage
from vidamodal.training.stages.c2f import C2FFamily, C2FStage, VqGanStage, _adaptive_weight, degrade_masks, mask_places
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo
from vidamodal.worlds.sample import WorldConfig

pytest.importorskip("transformers")
torch.set_num_threads(1)
SIDE, CODES = 32, 16
VQGAN = VqGanConfig(crop=SIDE, width=8, multipliers=(1, 1, 2, 2), blocks=1, dim=8, codes=CODES, critic=8)
RESNET = BackboneConfig(stem=8, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), block="basic")
TRANSFORMER = C2FTransformerConfig(width=16, depth=3, heads=2, mlp=2, window=4, place=2)
CONFIG = C2FConfig(
    vqgan=VQGAN,
    light=TokenizerConfig(crop=SIDE, patch=8, width=8, dim=8, codes=CODES),
    backbone=RESNET,
    transformer=TRANSFORMER,
    refiner=16,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_crops(tracks: int, frames: int, side: int = SIDE, seed: int = 0) -> TrackCrops:
    generator = seeded(seed)
    names = ("visible", "others", "edges", "inside", "background", "order")
    return TrackCrops(
        **{name: torch.rand(tracks, frames, side, side, generator=generator) for name in names},
        image=torch.rand(tracks, frames, 3, side, side, generator=generator),
        known=torch.ones(tracks, frames),
        box=torch.zeros(tracks, frames, BOX_NUMBERS),
        time=(torch.arange(frames) - (frames - 1) / 2).expand(tracks, -1),
        valid=torch.ones(tracks, frames, dtype=torch.bool),
    )


def random_batch(tracks: int = 2, frames: int = 3, side: int = SIDE, seed: int = 0) -> TrainingBatch:
    """Rectangles of which the right third is hidden."""
    crops = random_crops(tracks, frames, side, seed)
    amodal = torch.zeros_like(crops.visible)
    corner = torch.randint(0, side // 3, (2, tracks, frames), generator=seeded(seed))
    for b in range(tracks):
        for t in range(frames):
            y, x = corner[:, b, t].tolist()
            amodal[b, t, y : y + side // 2, x : x + side // 2] = 1
    visible = amodal.clone()
    visible[..., side // 2 :] = 0
    return TrainingBatch(replace(crops, visible=visible), amodal, torch.ones(tracks, frames))


def random_weights(module: nn.Module, seed: int = 0) -> None:
    """Weights far from their start, at which influences are faint."""
    generator = seeded(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.3)


def model(config: C2FConfig = CONFIG) -> C2F:
    torch.manual_seed(0)
    module = C2F(config)
    random_weights(module)
    return module.eval()


def transformer(**changes: object) -> C2FTransformer:
    torch.manual_seed(0)
    module = C2FTransformer(replace(TRANSFORMER, **changes), 16, 4, CODES)
    random_weights(module)
    return module.eval()


def run(module: C2FTransformer, frames: int, order: list[int] | None = None, valid: Tensor | None = None) -> Tensor:
    """Logits (t, ...) for one clip of random inputs, with its frames in this order and all codes to be predicted."""
    image = torch.randn(frames, 16, 4, 4, generator=seeded(1))
    visible = torch.randint(0, CODES, (1, frames, 4, 4), generator=seeded(2))
    order = list(range(frames)) if order is None else order
    valid = torch.ones(1, frames, dtype=torch.bool) if valid is None else valid
    with torch.no_grad():
        return module(image[order], visible[:, order], torch.full_like(visible, CODES), valid)[0]


# Sizes and costs


@pytest.fixture(scope="module")
def full() -> Iterator[tuple[FakeTensorMode, C2F]]:
    """The model in full size, without its numbers."""
    mode = FakeTensorMode()
    with mode:
        module = C2F(C2FConfig()).eval()
    yield mode, module


def millions(module: nn.Module | None) -> float:
    assert module is not None
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_parameters_of_each_part_are_the_references(full: tuple[FakeTensorMode, C2F]) -> None:
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
def test_multiply_adds_of_an_object_frame_are_the_references(
    full: tuple[FakeTensorMode, C2F], steps: int, giga: float
) -> None:
    mode, c2f = full
    with mode, FlopCounterMode(display=False) as counter:
        output = c2f.sample(random_crops(1, 12, 256), steps, torch.Generator())
    assert output.codes.shape == (1, 12, 16, 16, 256) and output.refined.shape == (1, 12, 256, 256)
    assert counter.get_total_flops() / 2 / 12 / 1e9 == pytest.approx(giga, rel=0.01)


def test_the_image_model_has_twelve_layers_and_none_over_time() -> None:
    with FakeTensorMode():
        c2f = C2F(C2FConfig(transformer=C2FTransformerConfig(depth=12, temporal=False)))
    assert len(c2f.transformer.blocks) == 12
    assert all(block.time is None for block in c2f.transformer.blocks)


# Roll and order


def test_the_roll_does_nothing_when_the_window_is_the_clip() -> None:
    """As released: 24 of 24 frames. A circular roll of a set of frames is the same set."""
    for frames in (8, 7):
        rolled, still = run(transformer(window=8), frames), run(transformer(window=8, roll=False), frames)
        torch.testing.assert_close(rolled, still, rtol=0, atol=1e-4)
        assert rolled.std() > 0.1


@pytest.mark.parametrize("frames", [8, 6, 5])
def test_the_roll_acts_when_the_window_is_shorter_than_the_clip(frames: int) -> None:
    rolled, still = run(transformer(), frames), run(transformer(roll=False), frames)
    assert rolled.shape == (frames, 4, 4, CODES + 1)
    assert (rolled - still).abs().max() > 1e-2


def test_the_roll_goes_round_the_ends_of_the_clip() -> None:
    """With two blocks the second one's windows join the last frames and the first; not so without a roll."""

    def sees(frame: int, other: int, **changes: object) -> bool:
        module = transformer(depth=2, **changes)
        image = torch.randn(8, 16, 4, 4, generator=seeded(1), requires_grad=True)
        codes = torch.zeros(1, 8, 4, 4, dtype=torch.long)
        logits = module(image, codes, codes, torch.ones(1, 8, dtype=torch.bool))
        (slope,) = torch.autograd.grad(logits[0, frame].square().sum(), image)
        return bool(slope[other].any())

    assert sees(0, 3) and sees(0, 7) and sees(0, 4) and sees(3, 4)
    assert sees(0, 3, roll=False) and not sees(0, 4, roll=False) and not sees(0, 7, roll=False)


def test_without_a_roll_the_model_is_blind_to_the_order_of_frames() -> None:
    order = [3, 0, 6, 1, 5, 2, 4, 7]
    module = transformer(window=8)
    torch.testing.assert_close(run(module, 8, order), run(module, 8)[order], rtol=0, atol=1e-4)
    short = transformer()
    assert (run(short, 8, order) - run(short, 8)[order]).abs().max() > 1e-2


def test_without_a_temporal_layer_frames_are_alone() -> None:
    module = transformer(temporal=False)
    torch.testing.assert_close(run(module, 8)[:3], run(module, 8, [0, 1, 2, 7, 6, 5, 4, 3])[:3], rtol=0, atol=1e-5)
    with_time = transformer()
    assert (run(with_time, 8)[:3] - run(with_time, 8, [0, 1, 2, 7, 6, 5, 4, 3])[:3]).abs().max() > 1e-2


@pytest.mark.parametrize("frames", [3, 5, 7])
def test_frames_that_only_fill_the_batch_have_no_influence(frames: int) -> None:
    module, valid = transformer(), torch.arange(8)[None] < frames
    other = list(range(frames)) + [0] * (8 - frames)
    found = run(module, 8, None, valid)[:frames]
    torch.testing.assert_close(run(module, 8, other, valid)[:frames], found, rtol=0, atol=1e-5)
    assert (run(module, 8)[:frames] - found).abs().max() > 1e-3


# Decoding


def test_draws_come_from_the_generator_alone() -> None:
    c2f, crops = model(), random_crops(1, 5)
    first, again = c2f.sample(crops, 3, seeded(4)), c2f.sample(crops, 3, seeded(4))
    assert torch.equal(first.refined, again.refined) and torch.equal(first.codes, again.codes)
    assert not torch.equal(first.refined, c2f.sample(crops, 3, seeded(5)).refined)
    assert torch.equal(c2f(crops).refined, c2f(crops).refined)
    assert torch.equal(c2f.complete(crops, seeded(4)).refined, first.refined)


def test_greedy_decoding_draws_nothing() -> None:
    c2f, crops = model(replace(CONFIG, greedy=True)), random_crops(1, 5)
    assert torch.equal(c2f.sample(crops, 3, seeded(4)).refined, c2f.sample(crops, 3, seeded(5)).refined)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_decoding_masks_as_many_codes_as_the_cosine_says(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_draws_are_among_the_best_by_their_probabilities() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0, 2.5]).expand(20000, -1)
    assert sample_codes(logits, 1, seeded(0)).unique().tolist() == [1]
    counts = sample_codes(logits, 3, seeded(0)).bincount(minlength=5) / 20000
    assert counts[0] == counts[3] == 0
    expected = torch.tensor([3.0, 2.0, 2.5]).softmax(0)
    torch.testing.assert_close(counts[[1, 2, 4]], expected, rtol=0, atol=0.015)


# Refinement


def test_attention_of_eq_8_is_what_it_says() -> None:
    """Against loops in double precision: mean feature under the mask, its dot products, softmax over the places."""
    image = torch.randn(2, 6, 4, 4, generator=seeded(0))
    mask = torch.rand(2, 1, 4, 4, generator=seeded(1))
    for scaled in (True, False):
        found = attention_map(image, mask, scaled)
        for n in range(2):
            v = [[float(image[n, c, p // 4, p % 4]) for c in range(6)] for p in range(16)]
            m = [float(mask[n, 0, p // 4, p % 4]) for p in range(16)]
            query = [sum(m[p] * v[p][c] for p in range(16)) / sum(m) for c in range(6)]
            scores = [sum(q * f for q, f in zip(query, v[p], strict=True)) for p in range(16)]
            scores = [s / math.sqrt(6) if scaled else s for s in scores]
            total = sum(math.exp(s) for s in scores)
            expected = torch.tensor([math.exp(s) / total for s in scores], dtype=torch.float64)
            torch.testing.assert_close(found[n].flatten().double(), expected, rtol=1e-5, atol=1e-7)
    empty = attention_map(image, torch.zeros_like(mask), True)
    torch.testing.assert_close(empty, torch.full_like(empty, 1 / 16))


def test_the_final_mask_is_the_refined_one_or_its_sum_with_the_coarse() -> None:
    refined, coarse = torch.tensor([-1.0, -3.0, 2.0, -0.5]).view(1, 2, 2), torch.tensor([-0.5, -2.0, -9.0, 9.0])
    coarse = coarse.view(1, 2, 2)
    paper, released = model(replace(CONFIG, variant="paper")), model()
    both = Refined(refined, refined)
    assert torch.equal(paper._final(coarse, both), refined)
    sums = (torch.sigmoid(refined) + torch.sigmoid(coarse)).clamp(max=1)
    torch.testing.assert_close(torch.sigmoid(released._final(coarse, both)), sums, rtol=0, atol=2e-5)


@pytest.mark.parametrize("changes", [{"refine": False}, {"attention": False}, {"variant": "paper"}, {"codec": "light"}])
def test_every_switch_gives_masks(changes: dict[str, object]) -> None:
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
def test_settings_that_cannot_work_are_refused(config: C2FConfig) -> None:
    with pytest.raises(ValueError, match="multiple|even|divide|backbone"):
        C2F(config)


# Codec


def test_the_codec_gives_its_quantisers_nearest_codes_and_decodes_them() -> None:
    codec = model().tokenizer
    assert isinstance(codec, VqGan)
    masks = random_batch(4, 5).amodal.flatten(0, 1)
    latent = codec._latent(masks)
    distances = (rearrange(latent, "n c g h -> n g h 1 c") - codec.codebook).square().sum(dim=-1)
    codes = codec.encode(masks)
    assert codes.shape == (20, 4, 4) and codes.unique().numel() > 3
    assert torch.equal(codes, distances.argmin(dim=-1))
    made = codec.reconstruct(masks)
    assert torch.equal(made.codes, codes)
    torch.testing.assert_close(
        torch.sigmoid(codec.decode(codes)), made.image[:, 0].clamp(1e-5, 1 - 1e-5), atol=1e-5, rtol=0
    )
    sure = 60.0 * nn.functional.one_hot(codes, CODES)
    torch.testing.assert_close(codec.decode_soft(sure), codec.decode(codes), rtol=1e-3, atol=1e-3)
    logits, found, _ = codec(masks)
    assert torch.equal(found, codes) and torch.equal(logits > 0, made.image[:, 0] > 0.5)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_the_quantisers_terms_pull_code_and_latent_each_with_its_weight(variant: str) -> None:
    codec = VqGan(VQGAN, variant).train()
    random_weights(codec)
    masks = random_batch().amodal.flatten(0, 1)
    codec.reconstruct(masks).quantisation.sum().backward()
    latent, codes = codec._latent(masks).detach(), codec.encode(masks)
    latent = rearrange(latent, "n c g h -> n g h c").requires_grad_(True)
    book = codec.codebook.detach().requires_grad_(True)
    ((book[codes] - latent).square().sum() / (VQGAN.dim * VQGAN.grid**2)).backward()
    assert latent.grad is not None and book.grad is not None
    to_code, to_latent = (1.0, 0.25) if variant == "paper" else (0.25, 1.0)
    torch.testing.assert_close(codec.quantiser._codebook.embed.grad[0], to_code * book.grad)
    # The latent's share arrives at the bias of the layer that makes it.
    assert codec.before.bias.grad is not None
    torch.testing.assert_close(codec.before.bias.grad, to_latent * latent.grad.sum(dim=(0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_gradients_pass_straight_through_the_codes() -> None:
    codec = VqGan(VQGAN).train()
    codec.reconstruct(random_batch().amodal.flatten(0, 1)).image.square().sum().backward()
    assert codec.encoder[0].weight.grad is not None and codec.encoder[0].weight.grad.any()
    assert codec.quantiser._codebook.embed.grad is None


# Training


def on_its_own(stage: Any, batch: TrainingBatch) -> dict[str, torch.Tensor]:
    """The losses of a step of one batch."""
    losses: dict[str, torch.Tensor] = stage(batch, MicroStep.single(stage, batch))
    return losses


def stage_one(variant: str) -> tuple[VqGanStage, TrainingBatch]:
    return VqGanStage(model(replace(CONFIG, variant=variant)), LossConfig()).train(), random_batch()


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize("stage", [VqGanStage, TokenizerStage, C2FStage])
def test_a_step_reaches_every_trained_parameter(variant: str, stage: type[nn.Module]) -> None:
    """The released optimiser forgets all biases and norms, 127 tensors."""
    torch.manual_seed(0)
    c2f = C2F(replace(CONFIG, variant=variant, codec="light" if stage is TokenizerStage else "vqgan"))
    module = stage(c2f, LossConfig()).train()
    before = {name: value.clone() for name, value in module.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(module, 0.01), lr=1e-2)
    losses = on_its_own(module, random_batch(4, 4))
    assert all(value.isfinite() for value in losses.values())
    losses["loss"].backward()
    optimizer.step()
    trained = [name for name, value in module.named_parameters() if value.requires_grad]
    for name, value in module.named_parameters():
        if name not in trained:
            assert value.grad is None and torch.equal(value, before[name]), name
            continue
        assert value.grad is not None and value.grad.isfinite().all() and value.grad.any(), name
        assert not torch.equal(value, before[name]), name
    frozen = "model.tokenizer." if stage is C2FStage else "nothing"
    assert len(trained) == sum(not name.startswith(frozen) for name in before) > 5


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_one_backward_pass_gives_each_player_its_own_gradient(variant: str) -> None:
    stage, batch = stage_one(variant)
    critic = stage.tokenizer.discriminator
    losses = on_its_own(stage, batch)
    losses["loss"].backward()
    found = {name: value.grad for name, value in critic.named_parameters()}
    masks = batch.amodal.flatten(0, 1)
    other, _ = stage_one(variant)
    with torch.no_grad():
        image = other.tokenizer.reconstruct(masks).image
    real, fake = (other.tokenizer.discriminator(x)[0] for x in (masks[:, None], image))
    if variant == "paper":
        alone = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    else:
        alone = ((1 - real).clamp_min(0).mean() + (1 + fake).clamp_min(0).mean()) / 2
    alone.backward()
    for name, value in other.tokenizer.discriminator.named_parameters():
        torch.testing.assert_close(found[name], value.grad, msg=name, rtol=1e-4, atol=1e-6)
    # The third look, through constants, leaves nothing behind: the running statistics are those of two looks.
    for (name, value), expected in zip(critic.named_buffers(), other.tokenizer.discriminator.buffers(), strict=True):
        torch.testing.assert_close(value, expected, msg=name)


def test_the_adaptive_weight_is_the_ratio_of_gradients() -> None:
    weights = torch.tensor([1.0, 2.0], requires_grad=True)
    rebuild, deceive = (3 * weights).sum(), (weights * torch.tensor([0.0, 5.0])).sum()
    ratio = math.sqrt(18) / 5
    assert _adaptive_weight(rebuild, deceive, weights, "paper") == pytest.approx(ratio, rel=1e-5)
    assert _adaptive_weight(rebuild, deceive, weights, "released") == pytest.approx(0.75 * ratio, rel=1e-4)
    assert _adaptive_weight(rebuild, 0 * deceive, weights, "released") == pytest.approx(7500)


def test_the_codec_learns() -> None:
    torch.manual_seed(0)
    stage = VqGanStage(C2F(CONFIG), LossConfig()).train()
    optimizer = torch.optim.Adam(stage.parameters(), lr=2e-3, betas=(0.5, 0.9))
    scores = []
    for step in range(40):
        losses = on_its_own(stage, random_batch(4, 4, seed=step))
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        scores.append(float(losses["reconstruction"]))
    assert sum(scores[-5:]) < 0.6 * sum(scores[:5])


def test_codes_are_masked_as_paper_and_code_say() -> None:
    target = torch.zeros(4000, 2, 16, 16, dtype=torch.long)
    paper, released = (mask_places(target, r, seeded(0)).float().mean(dim=(2, 3)) for r in (False, True))
    assert torch.equal(paper[:, 0], paper[:, 1])  # one ratio a track
    assert not torch.equal(*mask_places(target[:1], False, seeded(1))[0])  # but not the same places
    assert 0.5 <= paper.min() < 0.51 and 0.99 < paper.max() <= 1 and 0.74 < paper.mean() < 0.76
    assert (released == 0.5).float().mean() == pytest.approx(1 / 3, abs=0.03)
    assert released.min() == 0.5 and released.mean() == pytest.approx(
        1 / 6 + math.sin(math.pi / 3) * 2 / math.pi, abs=0.01
    )


def test_visible_masks_are_spoilt_frame_by_frame() -> None:
    masks = random_batch(10, 20).crops.visible
    before = masks.clone()
    found = degrade_masks(masks, seeded(0))
    assert torch.equal(masks, before) and torch.equal(found, degrade_masks(masks, seeded(0)))
    same = (found == masks).flatten(2).all(dim=2)
    assert 0.3 < same.float().mean() < 0.5 and not same.all(dim=1).any()
    grown = ((found >= masks).flatten(2).all(dim=2) & ~same).float().mean()
    shrunk = ((found <= masks).flatten(2).all(dim=2) & ~same).float().mean()
    assert grown > 0.15 and shrunk > 0.15
    assert found.min() >= 0 and found.max() <= 1


# On whole clips, in folders, in runs


def spoken(c2f: C2F, clip: ClipTracks, frames: list[np.ndarray], seed: int = 0) -> dict[int, tuple[Rle | None, ...]]:
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


def test_a_clip_is_completed_and_its_tracks_do_not_depend_on_each_other() -> None:
    c2f = model(replace(CONFIG, chunk=8, overlap=4))
    clip, frames = moving_squares(3)
    together = spoken(c2f, clip, frames)
    assert together.keys() == {1, 2, 3} and all(m is not None for masks in together.values() for m in masks)
    assert together == spoken(c2f, clip, frames)
    assert together != spoken(c2f, clip, frames, seed=1)
    alone = spoken(c2f, replace(clip, tracks=clip.tracks[1:2]), frames)
    assert alone[2] == together[2]
    with pytest.raises(InputError, match="pixels"):
        Predictor(c2f, "cpu").predict(clip)


@pytest.mark.parametrize("codec", ["vqgan", "light"])
def test_a_model_folder_gives_the_model_back(codec: str, tmp_path: Path) -> None:
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
def test_a_config_of_a_folder_that_is_wrong_is_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model(), {}, "# c2f\n")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    model_part = {**config["model"], **change.pop("model", {})}  # type: ignore[dict-item]
    path.write_text(json.dumps({**config, "model": model_part, **change}))
    with pytest.raises(InputError, match=words) as error:
        load_model(str(tmp_path / "m"))
    assert "\n" not in str(error.value)


@pytest.fixture
def accelerated() -> Iterator[None]:
    """Accelerate remembers the device and precision of a process's first run."""
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def tiny_run(output: Path, codec: str, **changes: Any) -> TrainConfig:
    clean = AugmentConfig(partial=0.0, unknown=0.0, jitter=0.0)
    clips = ClipConfig(tracks=2, frames=6, whole=0.0, world=WorldConfig(size=48, frames=6), augment=clean)
    stage = StageConfig(
        "c2f", steps=4, clips=2, warmup=1, average=0.0, schedule="linear", betas=(0.5, 0.9), sample=clips
    )
    settings: dict[str, Any] = dict(
        output=str(output), device="cpu", precision="fp32", worlds="toy", workers=0, log_every=1, save_every=2,
        model=C2FFamily(network=replace(CONFIG, codec=codec)),
        stages=(replace(stage, kind="vqgan" if codec == "vqgan" else "tokenizer"), stage),
    )  # fmt: skip
    return TrainConfig(**{**settings, **changes})


@pytest.mark.parametrize("codec", ["vqgan", "light"])
def test_a_run_trains_both_stages_and_one_that_was_stopped_goes_on(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerated: None
) -> None:
    folder = train(tiny_run(tmp_path / "whole", codec), quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["tokenizer"] * 4 + ["amodal"] * 4
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert [line["rate"] for line in lines[:4]] == pytest.approx([2e-3, 2e-3, 2e-3 * 2 / 3, 2e-3 / 3])
    assert isinstance(load_model(str(folder)).model, C2F)

    class Stopped(Exception):
        pass

    forward, steps = C2FStage.forward, 0

    def stop(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise Stopped
        return forward(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(C2FStage, "forward", stop)
        train(tiny_run(tmp_path / "stopped", codec), quiet=True)
    again = train(tiny_run(tmp_path / "stopped", codec), quiet=True)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": C2FFamily(network=replace(CONFIG, codec="light", variant="best"))}, "variant"),
        ({"model": C2FFamily(network=CONFIG)}, "'tokenizer' does not train the codec 'vqgan'"),
        (
            {
                "model": C2FFamily(
                    network=replace(CONFIG, codec="light", backbone=replace(RESNET, pretrained="./nowhere"))
                )
            },
            "nowhere",
        ),
        ({"stages": (StageConfig("c2f", schedule="steps"),)}, "schedule"),  # type: ignore[arg-type]
    ],
)
def test_runs_that_cannot_work_are_refused(
    changes: dict[str, Any], words: str, tmp_path: Path, accelerated: None
) -> None:
    with pytest.raises(InputError, match=words):
        train(tiny_run(tmp_path / "run", "light", **changes), quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["full", "small", "image"])
def test_the_presets_are_what_they_are_called(name: str) -> None:
    options = [("model.network.steps", "1"), ("model.network.transformer.roll", "false")]
    (run,) = read_recipe(f"c2f/{name}", options)
    assert isinstance(run.model, C2FFamily)
    config = run.model.network
    assert config.steps == 1 and not config.transformer.roll
    assert config.windows.mode == "boxes" and config.tokenizer.grid == 16 and config.tokenizer.codes == 256
    with FakeTensorMode():
        c2f = C2F(config)
    layers = {"full": (768, 8, True), "small": (128, 4, True), "image": (768, 12, False)}[name]
    assert (config.transformer.width, config.transformer.depth, config.transformer.temporal) == layers
    assert run.stages[1].sample.augment.sample_degradation(np.random.default_rng(0), False) == Degradation()
    discriminator = 0.66 if config.codec == "vqgan" else 0
    size = {"full": 182.0, "small": 2.2, "image": 190.8}[name]
    assert millions(c2f) - discriminator == pytest.approx(size, rel=0.005)


@pytest.mark.slow
def test_two_processes_train_the_codec_against_its_discriminator(tmp_path: Path) -> None:
    """Adaptive weight, constants and batch norms do not disturb synchronised gradients."""
    config = asdict(tiny_run(tmp_path / "run", "vqgan", processes=2))
    (tmp_path / "run.yaml").write_text(json.dumps(config))  # which is YAML
    root = Path(__file__).parents[2]
    script = [str(root / "scripts" / "train.py"), "--config", str(tmp_path / "run.yaml"), "--quiet"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(root)}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = load_model(str(tmp_path / "run" / "model")).model
    assert all(value.isfinite().all() for value in loaded.state_dict().values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 8 and all(math.isfinite(line["loss"]) for line in lines)


# The model in full


@pytest.mark.slow
def test_a_training_step_of_the_full_model() -> None:
    """Both stages on two frames: finite losses, a gradient for every trained parameter, and that in 16 GB."""
    torch.manual_seed(0)
    c2f = C2F(C2FConfig())
    for kind in (VqGanStage, C2FStage):
        stage = kind(c2f, LossConfig()).train()
        optimizer = torch.optim.AdamW(parameter_groups(stage, 0.01), lr=3e-4)
        began, used = time.perf_counter(), time.process_time()
        losses = on_its_own(stage, random_batch(1, 2, 256))
        losses["loss"].backward()
        optimizer.step()
        spent, used = time.perf_counter() - began, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        loss = float(losses["loss"].detach())
        print(f"{kind.__name__}: {spent:.1f} s, {used:.1f} s of processor, peak {peak:.1f} GB, loss {loss:.3f}")
        assert losses["loss"].isfinite() and peak < 16
        for name, value in stage.named_parameters():
            assert (value.grad is not None and bool(value.grad.isfinite().all())) == value.requires_grad, name
        optimizer.zero_grad()
        c2f.zero_grad()
