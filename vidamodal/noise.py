"""Reproducible noise for networks that sample: one seeded generator for each clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Random numbers for a batch of tracks.

    The batch is divided evenly among the generators: one for each clip in training, a single one in inference.
    """

    generators: tuple[torch.Generator, ...]

    @staticmethod
    def of(*seeds: int) -> Noise:
        """Create one generator for each seed."""
        return Noise(tuple(torch.Generator().manual_seed(seed) for seed in seeds))

    def uniform(self, like: Tensor, *shape: int) -> Float[Tensor, "b ..."]:
        """Sample numbers in [0, 1), of shape (b, *shape) for the b tracks of ``like``, on its device."""
        return self._sample(torch.rand, like, shape)

    def normal(self, like: Tensor, *shape: int) -> Float[Tensor, "b ..."]:
        """Sample standard normal numbers, of shape (b, *shape) for the b tracks of ``like``, on its device."""
        return self._sample(torch.randn, like, shape)

    def _sample(self, sampler: Callable[..., Tensor], like: Tensor, shape: tuple[int, ...]) -> Tensor:
        tracks = len(like) // len(self.generators)
        if tracks * len(self.generators) != len(like):
            raise ValueError(f"{len(like)} tracks cannot be divided evenly among {len(self.generators)} generators")
        return torch.cat([sampler(tracks, *shape, generator=g) for g in self.generators]).to(like.device)
