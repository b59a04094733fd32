"""The refinement of C2F-Seg."""

from __future__ import annotations

import math

import pytest
import torch

from tests.models.c2f.helpers import seeded
from vidamodal.models.c2f.refiner import Refiner, attention_map

pytest.importorskip("transformers")


def test_the_attention_of_eq_8() -> None:
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


def test_the_attention_is_computed_in_fp32_within_autocast() -> None:
    refiner = Refiner(16, (8, 8, 8, 8), "released")
    image, mask = 3 * torch.randn(2, 8, 4, 4, generator=seeded(0)), torch.rand(2, 1, 4, 4, generator=seeded(1))
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = refiner._attend(image, mask)
    torch.testing.assert_close(found, attention_map(image, mask, scaled=False), rtol=0, atol=0)
