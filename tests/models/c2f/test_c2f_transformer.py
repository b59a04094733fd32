"""The transformer of C2F-Seg: roll, order of frames, padding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.c2f.helpers import CODES, TRANSFORMER, random_weights, seeded
from vidamodal.models.c2f.c2f_transformer import C2FTransformer

pytest.importorskip("transformers")


def transformer(**changes: Any) -> C2FTransformer:
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


def test_the_roll_changes_nothing_if_the_window_is_the_clip() -> None:
    """As released: 24 of 24 frames. A circular roll of a set of frames is the same set."""
    for frames in (8, 7):
        rolled, still = run(transformer(window=8), frames), run(transformer(window=8, roll=False), frames)
        torch.testing.assert_close(rolled, still, rtol=0, atol=1e-4)
        assert rolled.std() > 0.1


@pytest.mark.parametrize("frames", [8, 6, 5])
def test_the_roll_changes_the_output_if_the_window_is_shorter_than_the_clip(frames: int) -> None:
    rolled, still = run(transformer(), frames), run(transformer(roll=False), frames)
    assert rolled.shape == (frames, 4, 4, CODES + 1)
    assert (rolled - still).abs().max() > 1e-2


def test_the_roll_is_circular() -> None:
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


def test_without_a_roll_the_order_of_frames_does_not_matter() -> None:
    order = [3, 0, 6, 1, 5, 2, 4, 7]
    module = transformer(window=8)
    torch.testing.assert_close(run(module, 8, order), run(module, 8)[order], rtol=0, atol=1e-4)
    short = transformer()
    assert (run(short, 8, order) - run(short, 8)[order]).abs().max() > 1e-2


def test_without_temporal_attention_frames_are_independent() -> None:
    module = transformer(temporal=False)
    torch.testing.assert_close(run(module, 8)[:3], run(module, 8, [0, 1, 2, 7, 6, 5, 4, 3])[:3], rtol=0, atol=1e-5)
    with_time = transformer()
    assert (run(with_time, 8)[:3] - run(with_time, 8, [0, 1, 2, 7, 6, 5, 4, 3])[:3]).abs().max() > 1e-2


@pytest.mark.parametrize("frames", [3, 5, 7])
def test_padding_frames_have_no_influence(frames: int) -> None:
    module, valid = transformer(), torch.arange(8)[None] < frames
    other = list(range(frames)) + [0] * (8 - frames)
    found = run(module, 8, None, valid)[:frames]
    torch.testing.assert_close(run(module, 8, other, valid)[:frames], found, rtol=0, atol=1e-5)
    assert (run(module, 8)[:frames] - found).abs().max() > 1e-3
