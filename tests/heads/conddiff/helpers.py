"""Small untrained CondDiff heads and their inputs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from vidamodal.backbones.pvt import PyramidConfig
from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.heads.base import HeadInputs
from vidamodal.heads.conddiff import CondDiffConfig, CondDiffHead
from vidamodal.noise import Noise

CROP, FEATURES = 32, 6
PYRAMID = PyramidConfig((8, 16, 16, 24), (1, 1, 2, 1), (1, 2, 2, 3), (4, 2, 1, 1), (2, 2, 2, 2), inputs=4)
SMALL = CondDiffConfig(pyramid=PYRAMID, width=8, image=False, context=True, steps=3, grain=1.0)


def head(channels: int = 0, **changes: Any) -> CondDiffHead:
    """Return an untrained head, with random weights in place of those that are initialised at zero."""
    torch.manual_seed(0)
    made = CondDiffHead(replace(SMALL, **changes), CROP, channels)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    return made.eval()


def random_inputs(
    tracks: int = 2, frames: int = 3, channels: int = 0, seed: int = 0, alike: bool = False
) -> HeadInputs:
    """Return random windows, with a generator for each track; ``alike``: all frames of a track are equal."""
    generator = torch.Generator().manual_seed(seed)

    def maps(*shape: int) -> Tensor:
        drawn = torch.rand(tracks, 1 if alike else frames, *shape, generator=generator)
        return drawn.expand(tracks, frames, *shape).contiguous()

    visible = (maps(CROP, CROP) > 0.7).float()
    crops = TrackCrops(
        visible, maps(CROP, CROP), maps(CROP, CROP), maps(CROP, CROP), maps(CROP, CROP), maps(CROP, CROP),
        maps(3, CROP, CROP), maps(0, CROP, CROP), torch.ones(tracks, frames),
        torch.zeros(tracks, frames, BOX_NUMBERS), torch.zeros(tracks, frames), torch.ones(tracks, frames).bool(),
    )  # fmt: skip
    coarse = 4 * maps(CROP, CROP) - 2
    return HeadInputs(crops, coarse, maps(channels, CROP // 4, CROP // 4), Noise.of(*range(tracks)))


def one_track(inputs: HeadInputs, k: int) -> HeadInputs:
    """Return one of several tracks as a batch."""
    crops = TrackCrops(*(getattr(inputs.crops, f.name)[k : k + 1] for f in fields(TrackCrops)))
    return HeadInputs(crops, inputs.coarse[k : k + 1], inputs.features[k : k + 1], Noise.of(k))
