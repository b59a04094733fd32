"""Fit of the judge of parts to the parts that a model completes in training worlds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import binary_cross_entropy_with_logits

from scripts.experiments.partial.outcomes import PredictedTrack
from vidamodal.geometry import Cropper
from vidamodal.occlusion.parts import FEATURES, PartJudge

UNITS = 16
"""Hidden units of each network."""
NETWORKS = 12
"""Networks with other random weights whose scores are averaged."""
STEPS = 500
LARGEST_WEIGHT = 1.0
"""Greatest weight of a part; its weight is its area over that of the visible mask."""


@dataclass
class PartSamples:
    """Parts with the share of each that belongs to the object."""

    features: list[Float[np.ndarray, "n f"]] = field(default_factory=list)
    purity: list[Float[np.ndarray, " n"]] = field(default_factory=list)
    weight: list[Float[np.ndarray, " n"]] = field(default_factory=list)

    @staticmethod
    def of(tracks: Iterable[PredictedTrack]) -> PartSamples:
        """Return the parts of all tracks, in the frames that count."""
        out = PartSamples()
        for track in tracks:
            out.add(track)
        return out

    def add(self, track: PredictedTrack) -> None:
        """Add the parts of a track."""
        labels, count = track.parts.labels, len(track.parts.features)
        right, area, weight = (np.zeros(count + 1) for _ in range(3))
        for place, context, truth in track.counted():
            amodal = Cropper.at(context.window, labels.shape[-1], *truth.shape).cut(truth)
            visible = track.windows.visible[place]
            hidden, free = np.clip(amodal - visible, 0, 1), 1 - np.clip(visible, 0, 1)
            for cells in labels[place]:
                numbers = cells.ravel()
                right += np.bincount(numbers, hidden.ravel(), count + 1)
                area += np.bincount(numbers, free.ravel(), count + 1)
                size = np.bincount(numbers, minlength=count + 1) / np.maximum(np.count_nonzero(visible > 0.5), 1)
                weight += np.minimum(size, LARGEST_WEIGHT)
        known = np.flatnonzero(area[1:] > 0)
        self.features.append(track.parts.features[known])
        self.purity.append(np.minimum(right[1:][known] / area[1:][known], 1))
        self.weight.append(weight[1:][known])


def fit_judge(samples: PartSamples, seed: int = 0) -> PartJudge:
    """Return a judge whose scores are the log-odds of a part's cells to belong to the object."""
    features = np.concatenate([*samples.features, np.zeros((0, len(FEATURES)))])
    purity, weight = (torch.from_numpy(np.concatenate(each)).float() for each in (samples.purity, samples.weight))
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    values = torch.from_numpy(np.clip((features - mean) / scale, -4, 4)).float()
    inner, bias, outer, offset = [], [], [], 0.0
    torch.manual_seed(seed)
    for _ in range(NETWORKS):
        first, last = torch.nn.Linear(len(FEATURES), UNITS), torch.nn.Linear(UNITS, 1)
        optimizer = torch.optim.AdamW([*first.parameters(), *last.parameters()], lr=1e-2, weight_decay=0.05)
        for _ in range(STEPS):
            scores = last(torch.tanh(first(values)))[:, 0]
            loss = binary_cross_entropy_with_logits(scores, purity, weight) / weight.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        inner += first.weight.tolist()
        bias += first.bias.tolist()
        outer += (last.weight[0] / NETWORKS).tolist()
        offset += last.bias.item() / NETWORKS
    return PartJudge(
        _rounded(mean), _rounded(scale), tuple(_rounded(row) for row in inner), _rounded(bias), _rounded(outer),
        round(offset, 5),
    )  # fmt: skip


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
