"""The model: tokenizer, transformer with rolling, attention backends, heads, hypotheses."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.heads.conv import ConvConfig
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.attention import attend
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig
from vidamodal.models.transformer import AmodalTransformer, TransformerConfig
from vidamodal.types import InputError

CODEC = TokenizerConfig(crop=16, width=16, dim=8, codes=16)
TRANSFORMER = TransformerConfig(width=16, depth=3, heads=2, mlp=2, features=16, window=4)
MODEL = ModelConfig(CODEC, TRANSFORMER)
torch.set_num_threads(1)  # the tensors are tiny, and threads that wait for each other are slow on a busy machine
OTHERS = ("others", "edges", "background")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_weights(module: nn.Module, seed: int = 0) -> None:
    """Weights far from their start, at which heads add nothing, codes are all alike and influences are faint."""
    generator = seeded(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.3)
        for name, value in module.named_buffers():
            if name.endswith("initted"):
                value.fill_(True)
            elif name.endswith("embed"):
                value.copy_(torch.randn(value.shape, generator=generator))


def random_crops(tracks: int, frames: int, seed: int = 0, side: int = CODEC.crop) -> TrackCrops:
    generator = seeded(seed)
    maps = [torch.rand(tracks, frames, side, side, generator=generator) for _ in range(6)]
    return TrackCrops(
        *maps,
        image=torch.rand(tracks, frames, 3, side, side, generator=generator),
        known=torch.ones(tracks, frames),
        box=torch.randn(tracks, frames, BOX_NUMBERS, generator=generator),
        time=(torch.arange(frames) - (frames - 1) / 2).expand(tracks, -1),
        valid=torch.ones(tracks, frames, dtype=torch.bool),
    )


def take(crops: TrackCrops, frames: Tensor) -> TrackCrops:
    return TrackCrops(*(getattr(crops, f.name)[:, frames] for f in fields(crops)))


def transformer(config: TransformerConfig = TRANSFORMER) -> AmodalTransformer:
    torch.manual_seed(0)
    module = AmodalTransformer(config, CODEC.crop, CODEC.grid, CODEC.codes)
    random_weights(module)
    return module.eval()


def model(config: ModelConfig = MODEL) -> AmodalModel:
    torch.manual_seed(0)
    module = AmodalModel(config, ConvConfig(width=8, deep=16) if config.head == "conv" else None)
    random_weights(module)
    return module.eval()


def codes(crops: TrackCrops, value: int) -> Tensor:
    return torch.full((*crops.time.shape, CODEC.grid, CODEC.grid), value)


def run(module: AmodalTransformer, crops: TrackCrops) -> Tensor:
    """Code logits with all amodal codes to be predicted."""
    return module(crops, codes(crops, 1), codes(crops, module.mask_code))[0]


def discs(count: int, seed: int, side: int = CODEC.crop) -> Tensor:
    """Masks of a disc each, of random place and size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.uniform(0.2 * side, 0.8 * side, (2, count, 1, 1))
    radius = rng.uniform(0.15 * side, 0.4 * side, (count, 1, 1))
    return torch.from_numpy(np.hypot(y - cy, x - cx) < radius).float()


# Tokenizer


def test_the_tokenizer_learns_to_reconstruct_masks() -> None:
    torch.manual_seed(0)
    tokenizer = MaskTokenizer(TokenizerConfig(crop=16, width=24, dim=8, codes=64)).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    for step in range(150):
        masks = discs(24, step)
        logits, _, commitment = tokenizer(masks)
        (binary_cross_entropy_with_logits(logits, masks) + commitment).backward()
        optimizer.step()
        optimizer.zero_grad()
    truth = discs(50, 10**6) > 0.5
    tokenizer.eval()
    seen = tokenizer.decode(tokenizer.encode(truth.float())) > 0
    iou = (seen & truth).sum((1, 2)) / (seen | truth).sum((1, 2))
    assert iou.mean() > 0.85
    assert tokenizer.encode(truth.float()).unique().numel() > 8


def test_encode_gives_the_quantisers_own_nearest_codes() -> None:
    tokenizer = model().tokenizer
    masks = discs(20, 0)
    latent = tokenizer.encoder(masks[:, None])
    quantised, expected, _ = tokenizer.quantiser(latent)
    assert expected.unique().numel() > 4
    torch.testing.assert_close(tokenizer.encode(masks), expected)
    torch.testing.assert_close(tokenizer.decode(expected), tokenizer.decoder(quantised)[:, 0])


def test_forward_decodes_the_codes_it_returns() -> None:
    tokenizer = model().tokenizer
    masks = discs(10, 0)
    logits, found, _ = tokenizer(masks)
    torch.testing.assert_close(found, tokenizer.encode(masks))
    torch.testing.assert_close(logits, tokenizer.decode(found))


def test_encoding_leaves_the_codebook_alone() -> None:
    tokenizer = model().tokenizer.train()
    before = {k: v.clone() for k, v in tokenizer.state_dict().items()}
    tokenizer.encode(discs(10, 0))
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_soft_decoding_of_certain_codes_is_decoding() -> None:
    tokenizer = model().tokenizer
    found = torch.randint(0, CODEC.codes, (5, CODEC.grid, CODEC.grid), generator=seeded(0))
    sure = 50.0 * nn.functional.one_hot(found, CODEC.codes).float()
    torch.testing.assert_close(tokenizer.decode_soft(sure), tokenizer.decode(found))
    assert not torch.allclose(tokenizer.decode_soft(sure / 50), tokenizer.decode(found), atol=0.01)


def test_mask_losses_reach_the_logits_through_soft_decoding() -> None:
    tokenizer = model().tokenizer
    logits = torch.zeros(2, CODEC.grid, CODEC.grid, CODEC.codes, requires_grad=True)
    binary_cross_entropy_with_logits(tokenizer.decode_soft(logits), discs(2, 0)).backward()
    assert logits.grad is not None and (logits.grad.abs().sum(-1) > 0).all()


# Transformer


@pytest.mark.parametrize(("frames", "changes"), [(5, True), (8, True), (11, True), (4, False), (3, False), (1, False)])
def test_the_roll_changes_the_output_of_clips_longer_than_the_window(frames: int, changes: bool) -> None:
    crops = random_crops(2, frames)
    rolled, still = run(transformer(), crops), run(transformer(replace(TRANSFORMER, roll=False)), crops)
    assert rolled.shape == (2, frames, CODEC.grid, CODEC.grid, CODEC.codes)
    if changes:
        assert (rolled - still).abs().max() > 1e-2
    else:
        assert torch.equal(rolled, still)


@pytest.mark.parametrize("time", [True, False])
def test_frame_order_matters_because_times_are_embedded(time: bool) -> None:
    """Without the time, a window over the whole clip gives a permuted clip the permuted output."""
    module = transformer(replace(TRANSFORMER, time=time, window=8))
    crops = random_crops(2, 7)
    shuffled = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    permuted = replace(take(crops, shuffled), time=crops.time)
    difference = (run(module, permuted) - run(module, crops)[:, shuffled]).abs().max()
    assert difference > 1e-2 if time else difference < 1e-4


def influence(config: TransformerConfig, crops: TrackCrops, batch: int = 0) -> np.ndarray:
    """Entry (t, u): whether frame u's visible mask has any influence on frame t's codes."""
    visible = crops.visible.clone().requires_grad_(True)
    logits = run(transformer(config), replace(crops, visible=visible))
    rows = []
    for t in range(logits.shape[1]):
        (slope,) = torch.autograd.grad(logits[batch, t].square().sum(), visible, retain_graph=True)
        rows.append((slope[batch].abs().amax(dim=(1, 2)) > 0).numpy())
    return np.stack(rows)


def reach(frames: int, window: int, depth: int, roll: bool = True) -> np.ndarray:
    """The same from the definition: every other block has its windows half a window further on."""
    reached = np.eye(frames, dtype=bool)
    for block in range(depth):
        number = (np.arange(frames) + (window // 2 if roll and block % 2 else 0)) // window
        reached = (number[:, None] == number[None]) @ reached
    return reached


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", [5, 8, 12, 13])
def test_what_is_known_travels_through_the_clip_but_not_round_its_ends(frames: int, depth: int) -> None:
    config = replace(TRANSFORMER, depth=depth)
    found = influence(config, random_crops(1, frames))
    np.testing.assert_array_equal(found, reach(frames, config.window, depth))
    if frames > 4 and depth > 1:
        assert found.sum(axis=1).max() > config.window  # further than one window
    still = influence(replace(config, roll=False), random_crops(1, frames))
    np.testing.assert_array_equal(still, reach(frames, config.window, depth, roll=False))


def test_a_window_over_the_whole_clip_sees_all_of_it_in_one_block() -> None:
    assert influence(replace(TRANSFORMER, depth=1, window=6), random_crops(1, 5)).all()


@pytest.mark.parametrize("frames", [3, 6, 11])
def test_frames_that_only_fill_the_batch_have_no_influence(frames: int) -> None:
    """A shorter clip beside a longer one gets the codes that it gets alone."""
    longer = random_crops(2, 12)
    valid = longer.valid.clone()
    valid[1, frames:] = False
    together = run(transformer(), replace(longer, valid=valid))
    alone = run(transformer(), take(longer, torch.arange(frames)))
    filled = {n: getattr(longer, n).clone() for n in ("visible", "others", "edges", "inside", "background")}
    for value in filled.values():
        value[1, frames:] = 0.5
    refilled = run(transformer(), replace(longer, valid=valid, **filled))
    torch.testing.assert_close(refilled[1, :frames], together[1, :frames], rtol=0, atol=1e-5)
    if frames > TRANSFORMER.window:  # else the shorter clip alone is not cut into windows
        torch.testing.assert_close(together[1, :frames], alone[1], rtol=0, atol=1e-4)
    assert (together[1, :frames] - run(transformer(), longer)[1, :frames]).abs().max() > 1e-3
    assert together.isfinite().all()


@pytest.mark.parametrize(("tracks", "frames"), [(1, 1), (1, 7), (40, 1), (3, 9)])
def test_any_number_of_tracks_and_frames(tracks: int, frames: int) -> None:
    crops = random_crops(tracks, frames)
    output = model()(crops)
    assert output.codes.shape == (tracks, frames, CODEC.grid, CODEC.grid, CODEC.codes)
    assert output.coarse.shape == output.refined.shape == crops.visible.shape
    assert all(part.isfinite().all() for part in (output.codes, output.coarse, output.refined))
    assert (output.refined - output.coarse).abs().max() > 1e-2


def test_tracks_of_a_batch_do_not_see_each_other() -> None:
    crops = random_crops(3, 6)
    alone = TrackCrops(*(getattr(crops, f.name)[1:2] for f in fields(crops)))
    torch.testing.assert_close(model()(crops).refined[1:2], model()(alone).refined, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("occluders", [True, False])
def test_the_other_objects_are_seen_or_not_as_the_config_says(occluders: bool) -> None:
    """Neither the transformer nor the head may see them in the ablation."""
    crops = random_crops(1, 6)
    module = model(replace(MODEL, transformer=replace(TRANSFORMER, occluders=occluders)))
    first = module(crops)
    for name in OTHERS:
        second = module(replace(crops, **{name: 1 - getattr(crops, name)}))
        for part in ("codes", "coarse", "refined"):
            changed = (getattr(first, part) - getattr(second, part)).abs().max() > 1e-3
            assert changed == occluders, (name, part)
    assert (module(replace(crops, visible=1 - crops.visible)).refined - first.refined).abs().max() > 1e-3


@pytest.mark.parametrize(("crop", "window"), [(32, 4), (16, 5)])
def test_sizes_that_do_not_fit_are_refused(crop: int, window: int) -> None:
    with pytest.raises(ValueError, match="window" if window % 2 else "crop"):
        AmodalTransformer(replace(TRANSFORMER, window=window), crop, CODEC.grid, CODEC.codes)


def test_shapes_are_those_written_down() -> None:
    """All shape annotations of the package, checked while the model runs; see the script."""
    script = Path(__file__).with_name("check_shapes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "all shapes hold"


# Attention


@pytest.mark.parametrize("masked", [False, True])
def test_attention_backends_agree(masked: bool) -> None:
    generator = seeded(0)
    query, key, value = (torch.randn(6, 2, 9, 8, generator=generator) for _ in range(3))
    mask = (torch.rand(6, 1, 9, 9, generator=generator) < 0.5) | torch.eye(9, dtype=torch.bool) if masked else None
    results = [attend(query, key, value, mask, backend) for backend in ("math", "sdpa", "auto")]
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)
    assert torch.equal(results[0], results[2])
    if mask is not None:
        assert not torch.allclose(results[0], attend(query, key, value, None, "math"), atol=1e-2)


def test_models_with_either_backend_agree() -> None:
    crops = random_crops(2, 7)
    outputs = [
        model(replace(MODEL, transformer=replace(TRANSFORMER, attention=backend)))(crops).refined
        for backend in ("math", "sdpa")
    ]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("backend", "words"), [("xformers", "CUDA")])
def test_backends_that_cannot_be_used_are_refused(backend: str, words: str) -> None:
    query = torch.zeros(1, 1, 2, 4)
    with pytest.raises(InputError, match=words) as error:
        attend(query, query, query, None, backend)
    assert "\n" not in str(error.value)


# Heads


def test_the_conv_head_starts_as_a_copy_of_the_coarse_mask() -> None:
    torch.manual_seed(0)
    fresh = AmodalModel(MODEL, ConvConfig(width=8, deep=16)).eval()
    output = fresh(random_crops(1, 3))
    assert torch.equal(output.refined, output.coarse)


# Hypotheses


def sampled(steps: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    """The refined logits of a hypothesis and the amodal codes that the transformer was given in each round."""
    module, given = model(), []
    module.transformer.register_forward_pre_hook(lambda _module, arguments: given.append(arguments[2]))
    return module.sample(random_crops(2, 5), steps, seeded(seed)).refined, given


def test_a_hypothesis_follows_from_its_generator() -> None:
    assert torch.equal(sampled(3, 1)[0], sampled(3, 1)[0])
    assert not torch.equal(sampled(3, 1)[0], sampled(3, 2)[0])


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_every_place_of_a_hypothesis_gets_a_code_and_keeps_it(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Tensor] = []
    decode = MaskTokenizer.decode

    def spy(tokenizer: MaskTokenizer, codes: Tensor) -> Tensor:
        decoded.append(codes)
        return decode(tokenizer, codes)

    monkeypatch.setattr(MaskTokenizer, "decode", spy)
    refined, given = sampled(steps, 0)
    assert len(given) == steps and refined.isfinite().all()
    given.append(rearrange(decoded[0], "(b t) g h -> b t g h", b=len(given[0])))
    still_open = [(amodal == CODEC.codes) for amodal in given]
    assert still_open[0].all() and not still_open[-1].any()
    for (before, after), (open_before, open_after) in zip(
        zip(given[:-1], given[1:], strict=True), zip(still_open[:-1], still_open[1:], strict=True), strict=True
    ):
        assert open_after.sum() < open_before.sum()
        assert torch.equal(after[~open_before], before[~open_before])
        assert torch.equal(open_after, open_after[:, :1].expand_as(open_after))  # the same places in all frames
    assert all(int(amodal.max()) <= CODEC.codes and int(amodal.min()) >= 0 for amodal in given)
