"""The transformer with rolling windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models.helpers import (
    CODEC,
    TRANSFORMER,
    codes,
    random_crops,
    run,
    take,
    transformer,
)
from vidamodal.data.crops import TrackCrops
from vidamodal.models.transformer import AmodalTransformer, TransformerConfig


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


@pytest.mark.parametrize(("crop", "window"), [(32, 4), (16, 5)])
def test_sizes_that_do_not_fit_are_refused(crop: int, window: int) -> None:
    with pytest.raises(ValueError, match="window" if window % 2 else "crop"):
        AmodalTransformer(replace(TRANSFORMER, window=window), crop, CODEC.grid, CODEC.codes)


def test_presence_depends_on_all_frames_that_attend_to_each_other_and_not_on_padding() -> None:
    module = transformer(replace(TRANSFORMER, presence=True))
    crops = random_crops(2, 4)
    changed = replace(crops, visible=crops.visible.clone())
    changed.visible[0, 3] = 0
    one, two = (module(c, codes(c, 1), codes(c, module.mask_code)).presence for c in (crops, changed))
    assert one.shape == (2, 4)
    assert (one[0] - two[0]).abs().min() > 1e-4 and torch.equal(one[1], two[1])
    padding = crops.valid.clone()
    padding[0, 3] = False
    one, two = (
        module(c, codes(c, 1), codes(c, module.mask_code)).presence
        for c in (replace(crops, valid=padding), replace(changed, valid=padding))
    )
    assert torch.equal(one[0, :3], two[0, :3])
    assert transformer()(crops, codes(crops, 1), codes(crops, 1)).presence is None
