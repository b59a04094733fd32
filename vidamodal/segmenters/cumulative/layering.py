"""Layers of a frame, collected one after the other (Algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import label

from vidamodal.segmenters.cumulative.config import CumulativeSegmenterConfig
from vidamodal.types import FrameInstance

NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Cells that hang together, corners included."""


@dataclass(frozen=True)
class Layer:
    """A layer that was found."""

    number: int
    """1 in front."""
    mask: Bool[np.ndarray, "s s"]
    front: Bool[np.ndarray, "s s"]
    """The cumulative mask before it."""
    probability: Float[np.ndarray, "s s"]
    """Over its samples."""


@dataclass
class Layers:
    """Algorithm 2 for one frame: takes the samples of one layer after the other, until it has ended."""

    config: CumulativeSegmenterConfig
    cumulative: Bool[np.ndarray, "s s"]
    found: list[Layer] = field(default_factory=list)
    ended: bool = False

    @staticmethod
    def none(config: CumulativeSegmenterConfig) -> Layers:
        """Before the first layer."""
        return Layers(config, np.zeros((config.size, config.size), dtype=bool))

    def add(self, samples: Float[np.ndarray, "k s s"]) -> None:
        """The samples, between -1 and 1, of the next layer. Ends if they are null or too small, or the last ones."""
        mask = representative(samples > 0, self.config.choose)
        if mask is None or np.count_nonzero(mask) < self.config.least_area:
            self.ended = True
            return
        number = self.found[-1].number + 1 if self.found else 1
        if self.found:  # spatial integrity: what hides under nothing of the layer before belongs to it
            before = np.any([layer.mask for layer in self.found if layer.number == number - 1], axis=0)
            number -= not (mask & before).any()
        self.found.append(Layer(number, mask, self.cumulative, np.clip((samples + 1) / 2, 0, 1).mean(axis=0)))
        self.cumulative = self.cumulative | mask
        self.ended = len(self.found) == self.config.most_layers

    def masks(self) -> Bool[np.ndarray, "m s s"]:
        """All that each layer has."""
        deepest = self.found[-1].number if self.found else 0
        masks = np.zeros((deepest, *self.cumulative.shape), dtype=bool)
        for layer in self.found:
            masks[layer.number - 1] |= layer.mask
        return masks

    def instances(self) -> list[FrameInstance]:
        """The connected parts of each layer that are large enough, and of which something shows."""
        out = []
        for layer in self.found:
            parts, count = label(layer.mask, NEIGHBOURS)
            around, _ = label(layer.mask | (layer.probability > 0.25), NEIGHBOURS)
            for part in range(1, count + 1):
                mask = parts == part
                visible = mask & ~layer.front
                if np.count_nonzero(mask) < self.config.least_area or not visible.any():
                    continue
                near = np.isin(around, around[mask]) & ~(layer.mask & ~mask)
                score = layer.probability[mask].sum() / (np.count_nonzero(mask) + layer.probability[near & ~mask].sum())
                out.append(FrameInstance(visible, mask, layer.number, None, float(score)))
        return out


def representative(samples: Bool[np.ndarray, "k s s"], choose: str = "selected") -> Bool[np.ndarray, "s s"] | None:
    """Of the samples of a layer the one with the least absolute difference to the mean of those that are not null, or
    with ``choose`` "mean" where at least half of them agree; None if all are null."""
    there = samples[samples.any(axis=(1, 2))]
    if not len(there):
        return None
    mean = there.mean(axis=0)
    if choose == "mean":
        return np.asarray(mean >= 0.5)
    return np.asarray(there[np.abs(there - mean).sum(axis=(1, 2)).argmin()])
