"""The whole model, and its hypotheses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import Tensor

from tests.models.helpers import (
    CODEC,
    MODEL,
    TRANSFORMER,
    model,
    random_crops,
    seeded,
)
from tests.training.helpers import environment
from vidamodal.data.crops import TrackCrops
from vidamodal.models.tokenizer import MaskTokenizer

OTHERS = ("others", "edges", "background")


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


@pytest.mark.parametrize("occluders", [True, False])
def test_hypotheses_depend_on_the_other_objects_if_the_config_says_so(occluders: bool) -> None:
    crops = random_crops(1, 6)
    module = model(replace(MODEL, transformer=replace(TRANSFORMER, occluders=occluders)))
    changed = replace(crops, **{name: 1 - getattr(crops, name) for name in OTHERS})
    one, two = (module.sample(each, 2, seeded(0)).refined for each in (crops, changed))
    assert torch.equal(one, two) != occluders


def test_shapes_are_those_written_down() -> None:
    """All shape annotations of the package, checked while the model runs; see the script."""
    script = Path(__file__).with_name("check_shapes.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "all shapes hold"


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
    for (before, after), (open_before, open_after) in zip(pairwise(given), pairwise(still_open), strict=True):
        assert open_after.sum() < open_before.sum()
        assert torch.equal(after[~open_before], before[~open_before])
        assert torch.equal(open_after, open_after[:, :1].expand_as(open_after))  # the same places in all frames
    assert all(int(amodal.max()) <= CODEC.codes and int(amodal.min()) >= 0 for amodal in given)
