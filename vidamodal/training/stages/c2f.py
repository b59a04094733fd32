"""The two stages in which C2F-Seg learns (sections 3.2 to 3.4, appendix A.1), as modules whose forward gives losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv2d,
    cross_entropy,
    max_pool2d,
    pad,
    relu,
    softplus,
)

from vidamodal.data.clips import TrainingBatch
from vidamodal.models.c2f.model import C2F, draw
from vidamodal.models.c2f.vqgan import Discriminator, VqGan
from vidamodal.training.losses import LossConfig
from vidamodal.training.stages.ours import ClipStage, MicroStep, TokenizerStage, each_clip, generators

SMOOTHING = 0.1
"""Of the labels of codes, as released."""


class VqGanStage(TokenizerStage):
    """Stage 1: the VQ-GAN learns whole masks, against a discriminator that learns to tell them from real ones.

    One optimiser serves both players. The generator's terms see the discriminator's weights as constants and a copy of
    its running statistics, the discriminator's terms see the generator's masks as constants, so that one backward pass
    gives each its own gradient, and every parameter one, as DDP wants it.
    """

    tokenizer: VqGan

    def __init__(self, model: C2F, config: LossConfig) -> None:
        super().__init__(model, config)
        assert isinstance(model.tokenizer, VqGan)
        self.variant = model.config.variant

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        masks = rearrange(batch.amodal, "b t s r -> (b t) s r")
        weight = batch.counted.flatten() / step.divide["frames"]

        def mean(values: Float[Tensor, "n ..."]) -> Tensor:
            return (values.flatten(1).mean(dim=1) * weight).sum()

        made = self.tokenizer.reconstruct(masks)
        real, features = self.tokenizer.discriminator(masks[:, None])
        fake, _ = self.tokenizer.discriminator(made.image.detach())
        score, seen = _without_learning(self.tokenizer.discriminator, made.image)
        # L_rec: L1, and in place of LPIPS the distance of the discriminator's features.
        reconstruction = mean((made.image[:, 0] - masks).abs())
        for truth, guess in zip(features, seen, strict=True):
            reconstruction = reconstruction + mean((truth.detach() - guess).abs()) / len(seen)
        # L_GAN: what the discriminator and what the generator minimise.
        if self.variant == "paper":
            critic, adversarial = mean(softplus(-real)) + mean(softplus(fake)), -mean(softplus(score))
        else:
            critic, adversarial = (mean(relu(1 - real)) + mean(relu(1 + fake))) / 2, -mean(score)
        balance = _balance(reconstruction, adversarial, self.tokenizer.last_layer, self.variant)
        quantisation = mean(made.quantisation[:, None])
        hard, truth = made.image[:, 0].detach() > 0.5, masks > 0.5
        iou = (hard & truth).sum(dim=(1, 2)) / (hard | truth).sum(dim=(1, 2)).clamp_min(1)
        return {
            "loss": reconstruction + quantisation + balance * adversarial + critic,
            "reconstruction": reconstruction.detach(),
            "quantisation": quantisation.detach(),
            "critic": critic.detach(),
            "balance": balance / step.divide["batches"],
            "iou": mean(iou[:, None]).detach(),
            "codes_used": cast(Tensor, made.codes.unique().numel() / step.divide["batches"]),
        }


def _without_learning(discriminator: Discriminator, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What the discriminator says, with gradients for the images alone and nothing of it remembered."""
    state = {name: value.detach() for name, value in discriminator.named_parameters()}
    state |= {name: value.clone() for name, value in discriminator.named_buffers()}
    return cast(tuple[Tensor, list[Tensor]], functional_call(discriminator, state, (images,)))


def _balance(reconstruction: Tensor, adversarial: Tensor, weights: Tensor, variant: str) -> Tensor:
    """The adaptive weight lambda of A.1: the ratio of both losses' gradients in the decoder's last layer."""
    (rebuild,) = torch.autograd.grad(reconstruction, weights, retain_graph=True)
    (deceive,) = torch.autograd.grad(adversarial, weights, retain_graph=True)
    if variant == "paper":
        return (rebuild.norm() / (deceive.norm() + 1e-6)).detach()
    return 0.75 * (rebuild.norm() / (deceive.norm() + 1e-4)).clamp(0, 1e4).detach()


class C2FStage(ClipStage):
    """Stage 2: backbone, transformer and refinement learn together on the frozen codec (Eqs. 6 and 10).

    As released, the refinement learns on a coarse mask drawn from the best five codes at each place, which the
    transformer predicts while it sees up to half of the true ones.
    """

    name = "amodal"

    def __init__(self, model: C2F, _config: LossConfig) -> None:
        super().__init__(model.view)
        self.model, self.released = model, model.config.variant == "released"
        model.tokenizer.requires_grad_(False)

    def train(self, mode: bool = True) -> C2FStage:
        super().train(mode)
        self.model.tokenizer.eval()  # codec and codebook stay as they are
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model.transformer,)

    def counts(self, batch: TrainingBatch, seeds: Sequence[int]) -> dict[str, Tensor]:
        weight = batch.counted * batch.crops.valid
        return {"frames": weight.sum(), "codes": self._places(weight, self._mask(batch, generators(seeds))).sum()}

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        model, weight, randoms = self.model, batch.counted * batch.crops.valid, generators(step.seeds)
        masked = self._mask(batch, randoms)
        target = model.encode(batch.amodal)
        visible = each_clip(spoil, batch.crops.visible, randoms)
        maps = model.look(batch.crops)
        known = torch.where(masked, model.mask_code, target)
        logits = model.transformer(maps[-1], model.encode(visible), known, batch.crops.valid).float()
        parts = {"codes": self._code_loss(logits, target, self._places(weight, masked)) / step.divide["codes"]}
        if model.refiner is not None:
            with torch.no_grad():
                drawn = each_clip(_draw_of_five, logits[..., : model.mask_code], randoms)
                coarse = torch.sigmoid(model.tokenizer.decode(rearrange(drawn, "b t g h -> (b t) g h")))
            refined = model.refiner(maps, coarse)
            truths = {"visible": batch.crops.visible, "amodal": batch.amodal}
            for name, truth in truths.items():
                truth = rearrange(truth, "b t s r -> (b t) s r")
                bce = binary_cross_entropy_with_logits(getattr(refined, name), truth, reduction="none")
                parts[name] = (bce.mean(dim=(1, 2)) * weight.flatten()).sum() / step.divide["frames"]
        parts["loss"] = torch.stack(list(parts.values())).sum()
        return parts

    def _mask(self, batch: TrainingBatch, randoms: Sequence[torch.Generator]) -> Bool[Tensor, "b t g g"]:
        """The first that is drawn of every clip."""
        codes = torch.zeros(*batch.counted.shape, *[self.model.config.tokenizer.grid] * 2)
        masks = each_clip(lambda clip, random: mask_places(clip, self.released, random), codes, randoms)
        return masks.to(batch.counted.device)

    def _places(self, weight: Float[Tensor, "b t"], masked: Bool[Tensor, "b t g g"]) -> Float[Tensor, "b t g g"]:
        """How much each code counts in Eq. 6: masked ones alone, as released all of them."""
        return weight[:, :, None, None] * (torch.ones_like(masked) if self.released else masked)

    def _code_loss(
        self,
        logits: Float[Tensor, "b t g g classes"],
        target: Int[Tensor, "b t g g"],
        places: Float[Tensor, "b t g g"],
    ) -> Tensor:
        """The sum of Eq. 6 over these places; as released with smoothed labels."""
        smoothing = SMOOTHING if self.released else 0.0
        loss = cross_entropy(logits.flatten(0, 3), target.flatten(), reduction="none", label_smoothing=smoothing)
        return (loss.view_as(target) * places).sum()


def _draw_of_five(logits: Float[Tensor, "b t g g codes"], random: torch.Generator) -> Int[Tensor, "b t g g"]:
    return draw(logits, 5, random)


def mask_places(
    target: Shaped[Tensor, "b t g g"], released: bool, generator: torch.Generator
) -> Bool[Tensor, "b t g g"]:
    """Which codes are masked: one ratio a track, 50 to 100 % of each frame's places, each frame's drawn for itself.

    The ratio is uniform (paper) or max(cos(pi u / 2), 0.5) of a uniform u (released).
    """
    b, t, g, _ = target.shape
    uniform = torch.rand(b, 1, 1, generator=generator)
    ratio = torch.cos(math.pi / 2 * uniform).clamp_min(0.5) if released else 0.5 + 0.5 * uniform
    rank = torch.rand(b, t, g * g, generator=generator).argsort(dim=-1).argsort(dim=-1)
    return (rank < (ratio * g * g).round()).view(target.shape).to(target.device)


def spoil(masks: Float[Tensor, "b t s s"], generator: torch.Generator) -> Float[Tensor, "b t s s"]:
    """Visible masks as the released code makes them worse in training, each frame for itself.

    A tenth is blurred and cut at one half; half is dilated or eroded, one to four times with squares of 5 to 13 pixels,
    each time blurred with a chance of a tenth; the rest stays. Pixels are those of crops of 256.
    """
    scale = masks.shape[-1] / 256
    out = []
    for mask in masks.flatten(0, 1)[:, None, None]:  # (1, 1, s, s)
        kind, grow = torch.rand(2, generator=generator).tolist()
        if kind < 0.1:
            mask = _blur(mask, scale)
        elif kind < 0.6:
            for _ in range(int(torch.randint(1, 5, (), generator=generator))):
                size = int(torch.randint(5, 14, (), generator=generator)) * scale
                mask = _dilate(mask, size) if grow < 0.5 else 1 - _dilate(1 - mask, size)
                if torch.rand((), generator=generator) < 0.1:
                    mask = _blur(mask, scale)
        out.append(mask)
    return torch.cat(out).view_as(masks)


def _dilate(mask: Tensor, size: float) -> Tensor:
    """The greatest value within a square; what lies beyond the crop has no say."""
    reach = max(1, round((size - 1) / 2))
    mask = max_pool2d(mask, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return max_pool2d(mask, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def _blur(mask: Tensor, scale: float) -> Tensor:
    """A Gaussian of 35 pixels with a deviation of 11, cut at one half."""
    reach = max(1, round(17 * scale))
    at = torch.arange(-reach, reach + 1, device=mask.device)
    kernel = torch.exp(-((at / (11 * scale)) ** 2) / 2)
    kernel = (kernel / kernel.sum()).to(mask.dtype)
    mask = pad(mask, (reach,) * 4, mode="replicate")
    mask = conv2d(conv2d(mask, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return (mask > 0.5).to(mask.dtype)
