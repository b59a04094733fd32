"""Construction of a frame's occlusion layers from samples, front to back (Algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import label

from vidamodal.segmenters.cumulative.config import Choice, CumulativeSegmenterConfig
from vidamodal.types import FrameInstance

CONNECTIVITY = np.ones((3, 3), dtype=bool)
"""Cells that touch at a corner are connected."""


@dataclass(frozen=True)
class Layer:
    """A predicted mask of a layer. Two of them can have the same number: see `LayerStack.add`."""

    number: int
    """Number of the layer; 1 is the front layer."""
    mask: Bool[np.ndarray, "s s"]
    cumulative: Bool[np.ndarray, "s s"]
    """Cumulative mask of the layers in front."""
    probability: Float[np.ndarray, "s s"]
    """Mean of the samples, in [0, 1]."""


@dataclass
class LayerStack:
    """Layers of one frame, to which samples of the next layer are added until it is complete (Algorithm 2)."""

    config: CumulativeSegmenterConfig
    cumulative: Bool[np.ndarray, "s s"]
    """Union of all layers so far."""
    layers: list[Layer] = field(default_factory=list)
    complete: bool = False

    @staticmethod
    def empty(config: CumulativeSegmenterConfig) -> LayerStack:
        """Return a stack without layers."""
        return LayerStack(config, np.zeros((config.size, config.size), dtype=bool))

    def add(self, samples: Float[np.ndarray, "k s s"]) -> None:
        """Add the next layer.

        The stack is complete if the layer is empty or smaller than Area_min, or if it is the last of N_max layers.

        Args:
            samples: Samples of the layer's mask, with values between -1 and 1.
        """
        mask = representative(samples > 0, self.config.choose)
        if mask is None or np.count_nonzero(mask) < self.config.least_area:
            self.complete = True
            return
        number = self.layers[-1].number + 1 if self.layers else 1
        if self.layers:  # spatial integrity: a mask that does not touch the previous layer belongs to it
            previous = np.any([layer.mask for layer in self.layers if layer.number == number - 1], axis=0)
            number -= not (mask & previous).any()
        self.layers.append(Layer(number, mask, self.cumulative, np.clip((samples + 1) / 2, 0, 1).mean(axis=0)))
        self.cumulative = self.cumulative | mask
        self.complete = len(self.layers) == self.config.most_layers

    def masks(self) -> Bool[np.ndarray, "m s s"]:
        """Return the mask of each layer number, front to back."""
        deepest = self.layers[-1].number if self.layers else 0
        masks = np.zeros((deepest, *self.cumulative.shape), dtype=bool)
        for layer in self.layers:
            masks[layer.number - 1] |= layer.mask
        return masks

    def instances(self) -> list[FrameInstance]:
        """Return the connected parts of each layer that are large enough and at least partly visible."""
        instances = []
        for layer in self.layers:
            parts, count = label(layer.mask, CONNECTIVITY)
            surroundings, _ = label(layer.mask | (layer.probability > 0.25), CONNECTIVITY)
            for part in range(1, count + 1):
                mask = parts == part
                visible = mask & ~layer.cumulative
                if np.count_nonzero(mask) < self.config.least_area or not visible.any():
                    continue
                near = np.isin(surroundings, surroundings[mask]) & ~(layer.mask & ~mask)
                instances.append(FrameInstance(visible, mask, layer.number, None, _expected_iou(layer, mask, near)))
        return instances


def representative(samples: Bool[np.ndarray, "k s s"], choose: Choice = "selected") -> Bool[np.ndarray, "s s"] | None:
    """Return one mask for several samples of a layer, or None if all of them are empty.

    Empty samples are ignored. "selected" takes the sample with the least L1 distance to the mean (the first one of
    several), "mean" takes the cells that at least half of the samples contain.
    """
    samples = samples[samples.any(axis=(1, 2))]
    if not len(samples):
        return None
    mean = samples.mean(axis=0)
    if choose == "mean":
        return np.asarray(mean >= 0.5)
    return np.asarray(samples[np.abs(samples - mean).sum(axis=(1, 2)).argmin()])


def _expected_iou(layer: Layer, mask: Bool[np.ndarray, "s s"], near: Bool[np.ndarray, "s s"]) -> float:
    """Return the expected IoU of a connected part under the samples; ``near`` holds the cells that may belong to it."""
    outside = layer.probability[near & ~mask].sum()
    return float(layer.probability[mask].sum() / (np.count_nonzero(mask) + outside))
