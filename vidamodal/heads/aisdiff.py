"""AISDiff (2024) as a framewise head: the Shape Prior Amodal Predictor for one object in its window.

DiffSP inpaints the object behind its occluders (see `vidamodal.segmenters.aisdiff.diffsp`). Unlike the segmenter, the
head gets visible masks as input, and no category. Behind a transformer it also reads the coarse mask and the features,
and corrects the coarse logits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle

from vidamodal.errors import InputError
from vidamodal.heads.base import FramewiseHead, HeadInputs, window_colours
from vidamodal.hub import find_model
from vidamodal.segmenters.aisdiff.diffsp import DiffSP, ObjectCrops, read_prior_weights
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig
from vidamodal.segmenters.aisdiff.mask_branches import AmodalPredictor, convolution


@dataclass(frozen=True)
class AISDiffHeadConfig:
    """Settings of the head."""

    width: int = 48
    """Channels of the features, at a quarter of the resolution of the window."""
    image: bool = True
    """Read the colours of the window; the shape prior needs them."""
    shape_prior: bool = True
    """If false, there is no DiffSP: a control."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    per: Literal["track", "frame"] = "track"
    """One prior per frame, or one per track and chunk: that of the frame with the largest visible mask."""
    diffsp: str | None = None
    """Folder or name of a trained AISDiff segmenter whose DiffSP the head takes over and keeps frozen."""
    learning_steps: int = 2
    """Steps of DiffSP in training."""


class AISDiffHead(FramewiseHead):
    """Head that completes an object with a shape prior from diffusion."""

    ID = "aisdiff"
    config_class = AISDiffHeadConfig

    reads_order = True

    def __init__(self, config: AISDiffHeadConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.width % 8 or crop % 4:
            raise ValueError("head.width must be divisible by 8, and the cells per side of the window by 4")
        if config.shape_prior and not config.image:
            raise ValueError("head.shape_prior needs colours. Set head.image to true, or head.shape_prior to false.")
        self.config, self.reads_pixels, self.has_transformer = config, config.image, channels > 0
        self.stochastic = config.shape_prior
        planes = 3 * config.image + 2 + self.has_transformer
        self.enter = nn.Sequential(convolution(planes, config.width, 2), convolution(config.width, config.width, 2))
        self.bring = nn.Conv2d(channels, config.width, 1) if channels else None
        self.amodal = AmodalPredictor(config.width, 4)
        self.prior = DiffSP(config.prior, ()).requires_grad_(False) if config.shape_prior else None
        if self.has_transformer:  # the untrained head returns the coarse mask
            for parameter in self.amodal.predict[-1].parameters():
                nn.init.zeros_(parameter)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The first convolutions and the amodal predictor."""
        return self.enter, self.amodal

    def requires_grad_(self, requires_grad: bool = True) -> AISDiffHead:
        """Freeze or unfreeze all weights except those of DiffSP, which stay frozen."""
        super().requires_grad_(requires_grad)
        if self.prior is not None:
            self.prior.requires_grad_(False)
        return self

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return logits of the amodal mask."""
        return self._complete(inputs, None)

    def training_logits(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Return logits with a prior that is sampled in fewer steps."""
        return self._complete(inputs, self.config.learning_steps)

    def shape_prior(self, inputs: HeadInputs, steps: int | None = None) -> Float[Tensor, "b t g g"]:
        """Return the shape prior M_sp of each object-frame; ``steps`` as in `DiffSP.forward`."""
        assert self.prior is not None
        crops, (b, t) = inputs.crops, inputs.coarse.shape[:2]
        planes = torch.cat([window_colours(crops), torch.stack([crops.visible, crops.occluders()], dim=2)], dim=2)
        if self.config.per == "track":
            best = reduce(crops.visible * crops.known[..., None, None], "b t s r -> b t", "sum").argmax(dim=1)
            planes = planes[torch.arange(b, device=best.device), best][:, None]
        frames, size = planes.shape[1], self.prior.crop_size(planes.device)
        planes = interpolate(
            rearrange(planes, "b t c s r -> (b t) c s r"), size=(size, size), mode="bilinear", antialias=True,
            align_corners=False,
        )  # fmt: skip
        noise = repeat(self.prior.initial_noise(inputs.noise, inputs.coarse), "b c z w -> (b t) c z w", t=frames)
        unlabelled = torch.full((b * frames,), -1, device=planes.device)
        prior: Tensor = self.prior(ObjectCrops(planes[:, :3], planes[:, 3], planes[:, 4], unlabelled), noise, steps)
        return rearrange(prior, "(b t) g k -> b t g k", b=b).expand(-1, t, -1, -1)

    def load_pretrained(self) -> None:
        """Load the DiffSP of the segmenter that ``config.diffsp`` names, or the external inpainting model.

        Raises:
            InputError: If it cannot be loaded or does not fit, or if the config names neither.
        """
        if self.prior is None:
            return
        if self.prior.external is not None:
            self.prior.load_external()
            return
        if self.config.diffsp is None:
            raise InputError(
                "head.diffsp is not set. Set it to a trained AISDiff segmenter, such as the bundled aisdiff, or set "
                "head.prior.diffsp to a Stable-Diffusion inpainting model, or head.shape_prior to false."
            )
        path = find_model(self.config.diffsp) / "model.safetensors"
        try:
            weights = read_prior_weights(path)
        except InputError as error:
            raise InputError(f"head.diffsp: {error}") from error
        if not self.prior.load_small_model(weights):
            raise InputError(f"head.diffsp: {path} has no DiffSP with the sizes in head.prior. Change one to match.")

    def _complete(self, inputs: HeadInputs, steps: int | None) -> Float[Tensor, "b t s s"]:
        crops, coarse = inputs.crops, inputs.coarse.float()
        planes = [torch.stack([crops.visible, crops.occluders()], dim=2)]
        if self.config.image:
            planes.insert(0, window_colours(crops))
        if self.has_transformer:
            planes.append(torch.sigmoid(coarse)[:, :, None])
        x = self.enter(rearrange(torch.cat(planes, dim=2), "b t c s r -> (b t) c s r"))
        if self.bring is not None:
            features = self.bring(rearrange(inputs.features, "b t c g k -> (b t) c g k"))
            x = x + interpolate(features, size=x.shape[-2:], mode="bilinear", align_corners=False)
        prior = None if self.prior is None else rearrange(self.shape_prior(inputs, steps), "b t g k -> (b t) g k")
        logits = pixel_shuffle(self.amodal(x, prior).float(), 2)
        logits = rearrange(logits, "(b t) 1 s r -> b t s r", b=len(coarse))
        return coarse + logits if self.has_transformer else logits
