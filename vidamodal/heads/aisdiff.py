"""AISDiff as a framewise head."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import FramewiseHead, HeadInputs
from vidamodal.hub import find_model
from vidamodal.segmenters.aisdiff.diffsp import DiffSP, PriorConfig
from vidamodal.segmenters.aisdiff.networks import AmodalPredictor, convolution
from vidamodal.types import InputError

OWN = "prior.own."
"""Where a segmenter keeps its DiffSP."""


@dataclass(frozen=True)
class AISDiffHeadConfig:
    """Of the framewise head."""

    width: int = 48
    """Channels of the region's features, which have a quarter of the window's cells a side."""
    image: bool = True
    """It sees the window's colours. DiffSP paints them, so that without them there is no shape prior."""
    shape_prior: bool = True
    prior: PriorConfig = field(default_factory=PriorConfig)
    per: str = "track"
    """track | frame: the prior is that of the frame in which most of the object is seen, of those that are completed
    together (a chunk of its track), or each frame has its own."""
    diffsp: str | None = None
    """A trained AISDiff segmenter, by folder or name, whose DiffSP this head begins with, and keeps as it is."""
    learning_steps: int = 2
    """Steps of DiffSP while the head learns."""


class AISDiffHead(FramewiseHead):
    """Completes one object in its window; its prior is painted behind what others show in front of it."""

    ID = "aisdiff"
    config_class = AISDiffHeadConfig

    order = True

    def __init__(self, config: AISDiffHeadConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.per not in ("track", "frame"):
            raise ValueError(f"head.per is {config.per!r}: choose track or frame")
        if config.width % 8 or crop % 4:
            raise ValueError("head.width must be divisible by 8, and the window's cells by 4")
        if config.shape_prior and not config.image:
            raise ValueError("head.shape_prior paints colours: leave image on, or switch the prior off")
        self.config, self.pixels, self.joined = config, config.image, channels > 0
        self.draws = config.shape_prior
        planes = 3 * config.image + 2 + self.joined
        self.enter = nn.Sequential(convolution(planes, config.width, 2), convolution(config.width, config.width, 2))
        self.bring = nn.Conv2d(channels, config.width, 1) if channels else None
        self.amodal = AmodalPredictor(config.width, 4)
        self.prior = DiffSP(config.prior, ()).requires_grad_(False) if config.shape_prior else None
        if self.joined:  # it begins as a copy of the coarse mask
            for parameter in self.amodal.predict[-1].parameters():
                nn.init.zeros_(parameter)

    def requires_grad_(self, requires_grad: bool = True) -> AISDiffHead:
        """But for DiffSP, which learns elsewhere."""
        super().requires_grad_(requires_grad)
        if self.prior is not None:
            self.prior.requires_grad_(False)
        return self

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        return self._complete(inputs, None)

    def learn(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """With a prior drawn in fewer steps."""
        return self._complete(inputs, self.config.learning_steps)

    def _complete(self, inputs: HeadInputs, steps: int | None) -> Float[Tensor, "b t s s"]:
        b, crops, coarse = len(inputs.coarse), inputs.crops, inputs.coarse.float()
        planes = [torch.stack([crops.visible, crops.occluders()], dim=2)]
        if self.config.image:
            planes.insert(0, _colours(crops))
        if self.joined:
            planes.append(torch.sigmoid(coarse)[:, :, None])
        x = self.enter(rearrange(torch.cat(planes, dim=2), "b t c s r -> (b t) c s r"))
        # What the transformer knows of this track.
        if self.bring is not None:
            features = self.bring(rearrange(inputs.features, "b t c g k -> (b t) c g k"))
            x = x + interpolate(features, size=x.shape[-2:], mode="bilinear", align_corners=False)
        prior = None if self.prior is None else rearrange(self.shape_prior(inputs, steps), "b t g k -> (b t) g k")
        delta = nn.functional.pixel_shuffle(self.amodal(x, prior).float(), 2)
        delta = rearrange(delta, "(b t) 1 s r -> b t s r", b=b)
        return coarse + delta if self.joined else delta

    def shape_prior(self, inputs: HeadInputs, steps: int | None = None) -> Float[Tensor, "b t g g"]:
        """M_sp of each object-frame, painted in every frame or only in that which shows most of the object."""
        assert self.prior is not None
        crops, (b, t) = inputs.crops, inputs.coarse.shape[:2]
        planes = torch.stack([crops.visible, crops.occluders()], dim=2)
        given = torch.cat([_colours(crops), planes], dim=2)
        if self.config.per == "track":
            best = reduce(crops.visible * crops.known[..., None, None], "b t s r -> b t", "sum").argmax(dim=1)
            given = given[torch.arange(b, device=best.device), best][:, None]
        frames = given.shape[1]
        cells = self.prior.cells(given.device)
        given = interpolate(
            rearrange(given, "b t c s r -> (b t) c s r"), size=(cells, cells), mode="bilinear", antialias=True,
            align_corners=False,
        )  # fmt: skip
        noise = repeat(self.prior.noise(inputs.noise, inputs.coarse), "b c z w -> (b t) c z w", t=frames)
        nameless = torch.full((b * frames,), -1, device=given.device)
        prior = self.prior(given[:, :3], given[:, 3], given[:, 4], nameless, noise, steps)
        return rearrange(prior, "(b t) g k -> b t g k", b=b).expand(-1, t, -1, -1)

    def load_pretrained(self) -> None:
        """Put the DiffSP of the segmenter that ``config.diffsp`` names in; InputError if it cannot be had, or if a
        DiffSP of our own is to be used and none is named: it learns with a segmenter."""
        if self.prior is None:
            return
        if self.prior.given is not None:
            self.prior.given.on(torch.device("cpu"))
            return
        assert self.prior.own is not None
        if self.config.diffsp is None:
            raise InputError(
                "head.diffsp: name a trained AISDiff segmenter (aisdiff is bundled, configs/aisdiff.yaml trains one), "
                "or set head.prior.diffsp to a Stable-Diffusion inpainting model, or head.shape_prior to false"
            )
        path = find_model(self.config.diffsp) / "model.safetensors"
        try:
            found = {k.removeprefix(OWN): v for k, v in load_file(path).items() if k.startswith(OWN)}
        except (OSError, SafetensorError) as error:
            raise InputError(f"head.diffsp: {path} cannot be read as safetensors: {error}") from error
        if "vocabulary.weight" in found:
            found["vocabulary.weight"] = found["vocabulary.weight"][:2]  # which are no labels
        wanted = self.prior.own.state_dict()
        if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in wanted.items()}:
            raise InputError(f"head.diffsp: {path} holds no DiffSP of the sizes that head.prior asks for")
        self.prior.own.load_state_dict(found)


def _colours(crops: TrackCrops) -> Float[Tensor, "b t 3 s s"]:
    if crops.image.shape[2] != 3:
        raise InputError("this head reads pixels, and this input has masks alone")
    return crops.image
