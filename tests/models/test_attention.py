"""Attention backends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.models.helpers import (
    MODEL,
    TRANSFORMER,
    model,
    random_crops,
    seeded,
)
from vidamodal.models.attention import attend
from vidamodal.types import InputError


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


def test_xformers_is_refused_without_cuda() -> None:
    query = torch.zeros(1, 1, 2, 4)
    with pytest.raises(InputError, match="CUDA") as error:
        attend(query, query, query, None, "xformers")
    assert "\n" not in str(error.value)
