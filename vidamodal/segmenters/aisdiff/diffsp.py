"""DiffSP, the diffusion shape prior of AISDiff (2024, section 3.2).

A diffusion model gets the visible pixels of an object, the mask of its occluders and its category, and inpaints the
rest. The result is not the image but a map of the model's attention: the cross-attention A_C to the category's token,
spread by the self-attention A_S, both averaged over heads, layers and steps: (A_S)^tau A_C.

Choices where the paper is silent:

- Maps are resized linearly to one resolution, rows of A_S are normalised again, and layers with a finer resolution
  contribute no self-attention.
- tau is 4, as in Dataset Diffusion (2023), which the paper follows. The prior of an object is rescaled to [0, 1].
- Sampling is DDIM without guidance. Pixels outside the visible mask are grey. Inpainted are the pixels of the occluder
  mask or, without one, all that are not visible.

Beyond the paper: a small inpainting model that is trained on the segmenter's own data. Inpainting alone does not make
it attend to the whole object, so that a loss binds the attention to the category's token, before and after spreading,
to the amodal mask, as in Break-A-Scene (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vidamodal.backbones.pretrained import ExternalNetwork
from vidamodal.errors import InputError
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.attention_maps import AttentionMaps, recording, resize_queries
from vidamodal.segmenters.aisdiff.inpainting import (
    TIMESTEPS,
    Inpainter,
    InpaintingModel,
    PriorConfig,
    read_inpainting,
)

UNLABELLED_SHARE = 0.1
"""Share of objects that are trained without their category, so that it can be omitted."""
SEGMENTER_PREFIX = "prior.own."
"""Prefix of the small model's weights in the state dict of a segmenter."""


@dataclass(frozen=True)
class ObjectCrops:
    """Crops around n objects, of r x r pixels."""

    image: Float[Tensor, "n 3 r r"]
    """Colours in [0, 1]."""
    visible: Float[Tensor, "n r r"]
    """Probabilities of the visible masks."""
    occluding: Float[Tensor, "n r r"]
    """Probabilities of the occluder masks."""
    label: Int[Tensor, " n"]
    """Index of the category; -1 if it is unknown."""


class DiffSP(nn.Module):
    """Shape priors of objects from the attention of an inpainting model."""

    def __init__(self, config: PriorConfig, labels: tuple[str, ...]) -> None:
        """Build the small model, or refer to the Stable-Diffusion model that the config names.

        Args:
            config: Settings.
            labels: Names of the categories.
        """
        super().__init__()
        if not 1 <= config.steps <= TIMESTEPS or config.power < 0 or min(config.together, config.grid) < 1:
            raise ValueError(
                f"prior.steps must lie between 1 and {TIMESTEPS}, prior.power be at least 0, prior.together and "
                "prior.grid at least 1"
            )
        self.config, self.labels = config, labels
        self.own = Inpainter(config, len(labels)) if config.diffsp is None else None  # named so in state dicts
        self.external = None if config.diffsp is None else ExternalNetwork(read_inpainting, config.diffsp)

    def use_external(self, name: str) -> None:
        """Replace the inpainting model by a Stable-Diffusion one, sampled in the paper's number of steps.

        Args:
            name: Path of a folder, or name of a repository on the Hub.

        Raises:
            InputError: If it cannot be loaded.
        """
        external = ExternalNetwork(partial(read_inpainting, setting="diffsp"), name)
        external.on(torch.device("cpu"))
        self.own, self.external = None, external
        self.config = replace(self.config, steps=PriorConfig.steps)

    def load_external(self) -> None:
        """Load the external model, if there is one. Raises InputError if that fails."""
        if self.external is not None:
            self.external.on(torch.device("cpu"))

    def load_small_model(self, weights: Mapping[str, Tensor]) -> bool:
        """Load the weights of `read_prior_weights` into the small model; return False if they do not fit.

        A model without categories ignores those of the weights.
        """
        assert self.own is not None
        expected, given = self.own.state_dict(), dict(weights)
        if "vocabulary.weight" in given and not self.labels:
            given["vocabulary.weight"] = given["vocabulary.weight"][:2]
        if {k: v.shape for k, v in given.items()} != {k: v.shape for k, v in expected.items()}:
            return False
        self.own.load_state_dict(given)
        return True

    def crop_size(self, device: torch.device) -> int:
        """Return the pixels per side of the crops; an external model is loaded for it."""
        return self.config.cells if self.external is None else int(self.external.on(device).crop_size)

    def initial_noise(self, noise: Noise, like: Tensor) -> Float[Tensor, "n c z z"]:
        """Return the noise from which sampling starts, for the n objects of ``like``."""
        if self.external is None:
            return noise.normal(like, 3, self.config.cells, self.config.cells)
        return noise.normal(like, *self.external.on(like.device).latent_shape)

    @torch.no_grad()
    def forward(
        self, crops: ObjectCrops, noise: Float[Tensor, "n c z z"], steps: int | None = None
    ) -> Float[Tensor, "n g g"]:
        """Return the shape prior M_sp of each object, in [0, 1].

        Args:
            crops: The objects.
            noise: Output of `initial_noise`.
            steps: Sampling steps; None for those of the config.
        """
        seen, paint = self._visible_and_hole(crops)
        label = crops.label if self.config.category else torch.full_like(crops.label, -1)
        inputs, batch, priors = (seen.float(), paint.float(), label, noise.float()), self.config.together, []
        for begin in range(0, len(label), batch):
            chunk = [each[begin : begin + batch] for each in inputs]
            missing = batch - len(chunk[0])
            padded = [torch.cat([each, each[-1:].expand(missing, *each.shape[1:])]) for each in chunk]
            priors.append(self._sample(steps or self.config.steps, *padded)[: batch - missing])
        return torch.cat(priors)

    def inpainting_losses(
        self, crops: ObjectCrops, amodal: Float[Tensor, "n r r"], known: Float[Tensor, "n r r"], noise: Noise
    ) -> Float[Tensor, " n"]:
        """Return the loss of the small model for each object: inpainting on grey, plus binding of the attention.

        Args:
            crops: The objects, with masks as the model will see them.
            amodal: Ground-truth amodal masks.
            known: 1 in pixels with known colours, to which the inpainting loss is restricted. Elsewhere, the clean
                image has the mean colour of the visible pixels.
            noise: Random numbers.
        """
        assert self.own is not None
        label = torch.full_like(crops.label, -1)
        if self.config.category:
            label = torch.where(noise.uniform(crops.image) < UNLABELLED_SHARE, -1, crops.label)
        seen, paint = self._visible_and_hole(crops)
        clean = self._clean_images(crops, amodal, known)
        time = (noise.uniform(crops.image) * TIMESTEPS).long().clamp_max(TIMESTEPS - 1)
        noisy = self.own.schedule.add_noise(clean, self.initial_noise(noise, crops.image), time)
        tokens, token_weights = self.own.encode(label, self.labels)
        maps = AttentionMaps(self.config.grid)
        with recording(self.own.recorders, maps):
            out = self.own.unet(torch.cat([noisy, self.own.condition(seen, paint)], dim=1), time, tokens).sample
        error = (out.float() - clean).square().mean(dim=1) * known
        inpainting = error.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp_min(1)
        losses: Tensor = inpainting + self.config.bind * self._binding_losses(maps, token_weights, amodal)
        return losses

    def _sample(
        self,
        steps: int,
        seen: Float[Tensor, "n 3 r r"],
        paint: Float[Tensor, "n 1 r r"],
        label: Int[Tensor, " n"],
        x: Float[Tensor, "n c z z"],
    ) -> Float[Tensor, "n g g"]:
        """Sample images, and return the priors from the attention."""
        model = cast(InpaintingModel, self.own if self.external is None else self.external.on(seen.device))
        maps = AttentionMaps(self.config.grid)
        with recording(model.recorders, maps):
            tokens, token_weights = model.encode(label, self.labels)
            condition = model.condition(seen, paint)
            model.schedule.set_timesteps(steps)
            for time in model.schedule.timesteps:
                out = model.unet(torch.cat([x, condition], dim=1), time.to(x.device), tokens).sample.float()
                x = model.schedule.step(out, int(time), x).prev_sample
        return maps.prior(token_weights, self.config.power)

    def _binding_losses(
        self, maps: AttentionMaps, token_weights: Float[Tensor, "n k"], amodal: Float[Tensor, "n r r"]
    ) -> Float[Tensor, " n"]:
        """Return the squared distances of A_C, A_S A_C and (A_S)^tau A_C to the amodal mask."""
        shape = resize_queries(rearrange(amodal, "n h w -> n (h w) 1"), self.config.cells, self.config.grid)
        cross = maps.cross_attention(token_weights)
        # Without A_S A_C, the self-attention may learn to swap inside and outside, which an even tau conceals.
        bound = [cross, maps.spread(cross, 1), maps.spread(cross, self.config.power)]
        return (torch.cat(bound, dim=2) - shape).square().mean(dim=1).sum(dim=1)

    def _clean_images(
        self, crops: ObjectCrops, amodal: Float[Tensor, "n r r"], known: Float[Tensor, "n r r"]
    ) -> Float[Tensor, "n 3 r r"]:
        """Return the whole objects on grey, with values in [-1, 1]."""
        area = crops.visible.sum(dim=(1, 2)).clamp_min(1)[:, None, None, None]
        mean = (crops.image * crops.visible[:, None]).sum(dim=(2, 3), keepdim=True) / area
        return (2 * torch.where(known[:, None] > 0.5, crops.image, mean) - 1) * amodal[:, None]

    def _visible_and_hole(self, crops: ObjectCrops) -> tuple[Float[Tensor, "n 3 r r"], Float[Tensor, "n 1 r r"]]:
        """Return the visible pixels on grey (0), and the mask of the pixels to inpaint."""
        visible = (crops.visible > 0.5).to(crops.image.dtype)[:, None]
        hole: Any = (crops.occluding > 0.5).to(crops.image.dtype)[:, None] if self.config.occluding else 1.0
        return (2 * crops.image - 1) * visible, hole * (1 - visible)


def read_prior_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of the small inpainting model from the weights file of a segmenter.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    return {k.removeprefix(SEGMENTER_PREFIX): v for k, v in weights.items() if k.startswith(SEGMENTER_PREFIX)}
