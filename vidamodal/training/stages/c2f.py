"""C2F-Seg (sections 3.2 to 3.4, appendix A.1): the codec learns first, then backbone, transformer and refinement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

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
from vidamodal.models.c2f.model import C2F, C2FConfig, sample_codes
from vidamodal.models.c2f.vqgan import Discriminator, Variant, VqGan
from vidamodal.models.folder import Model
from vidamodal.training.family import MaskFamily
from vidamodal.training.losses import LossConfig
from vidamodal.training.stage import ClipStage, MicroStep, apply_by_clip, generators
from vidamodal.training.stages.amodal import TokenizerStage, count_codes, mask_iou
from vidamodal.types import InputError

if TYPE_CHECKING:
    from vidamodal.training.config import TrainConfig

SMOOTHING = 0.1
"""Label smoothing of codes in the released code."""


@dataclass(frozen=True)
class C2FFamily(MaskFamily):
    """C2F-Seg."""

    ID = "c2f"
    family: Literal["c2f"] = "c2f"
    network: C2FConfig = field(default_factory=C2FConfig)

    def check(self, config: TrainConfig) -> None:
        """Reject a stage for the other codec, and a VQ-GAN whose two players would be split over processes."""
        for stage in config.stages:
            if stage.kind in ("vqgan", "tokenizer") and (stage.kind == "vqgan") != (self.network.codec == "vqgan"):
                raise InputError(
                    f"stages: {stage.kind!r} cannot train the codec {self.network.codec!r}. "
                    "Change model.network.codec or the stage."
                )
            if config.shard and stage.kind == "vqgan" and stage.steps:
                raise InputError("shard: the VQ-GAN's two players cannot be split. Train this stage without shard.")

    def new_model(self, _config: TrainConfig) -> C2F:
        """Return a model with random weights."""
        return C2F(self.network)

    def load_pretrained(self, model: Model) -> None:
        """Load the pretrained backbone, if the config names one."""
        assert isinstance(model, C2F)
        model.backbone.load_pretrained()


class VqGanStage(TokenizerStage):
    """Stage 1: the VQ-GAN learns to reconstruct amodal masks against a discriminator (section 3.2, A.1).

    One optimiser serves both players. The generator's terms use the discriminator's weights as constants and a copy of
    its running statistics, the discriminator's terms use the generator's masks as constants, so that one backward pass
    gives each player its own gradient, and every parameter a gradient, as DDP requires.
    """

    ID = "vqgan"
    families = ("c2f",)
    tokenizer: VqGan

    def __init__(self, model: C2F, loss: LossConfig) -> None:
        super().__init__(model, loss)
        assert isinstance(model.tokenizer, VqGan)
        self.variant = model.config.variant

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the losses of both players, the adaptive weight, the IoU and the number of codes in use."""
        masks = rearrange(batch.amodal, "b t s r -> (b t) s r")
        weight = batch.counted.flatten() / step.divide["frames"]
        generated = self.tokenizer.reconstruct(masks)
        reconstruction, adversarial, critic = self._game(masks, generated.image, weight)
        balance = _adaptive_weight(reconstruction, adversarial, self.tokenizer.last_layer, self.variant)
        quantisation = _mean(generated.quantisation[:, None], weight)
        iou = mask_iou(generated.image[:, 0].detach() > 0.5, masks > 0.5)
        return {
            "loss": reconstruction + quantisation + balance * adversarial + critic,
            "reconstruction": reconstruction.detach(),
            "quantisation": quantisation.detach(),
            "critic": critic.detach(),
            "balance": balance / step.divide["batches"],
            "iou": _mean(iou[:, None], weight).detach(),
            "codes_used": count_codes(generated.codes) / step.divide["batches"],
        }

    def _game(
        self, masks: Float[Tensor, "n s s"], images: Float[Tensor, "n 1 s s"], weight: Float[Tensor, " n"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return L_rec, and L_GAN of the generator and of the discriminator."""
        real, real_features = self.tokenizer.discriminator(masks[:, None])
        fake, _ = self.tokenizer.discriminator(images.detach())
        score, features = _apply_as_constant(self.tokenizer.discriminator, images)
        # L1, and in place of LPIPS the distance of the discriminator's features.
        reconstruction = _mean((images[:, 0] - masks).abs(), weight)
        for true, made in zip(real_features, features, strict=True):
            reconstruction = reconstruction + _mean((true.detach() - made).abs(), weight) / len(features)
        if self.variant == "paper":
            critic = _mean(softplus(-real), weight) + _mean(softplus(fake), weight)
            return reconstruction, -_mean(softplus(score), weight), critic
        critic = (_mean(relu(1 - real), weight) + _mean(relu(1 + fake), weight)) / 2
        return reconstruction, -_mean(score, weight), critic


def _mean(values: Float[Tensor, "n ..."], weight: Float[Tensor, " n"]) -> Tensor:
    """Return the weighted sum of the means of n maps."""
    return (values.flatten(1).mean(dim=1) * weight).sum()


def _apply_as_constant(discriminator: Discriminator, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return scores and features with gradients for the images alone; running statistics are not updated."""
    state = {name: value.detach() for name, value in discriminator.named_parameters()}
    state |= {name: value.clone() for name, value in discriminator.named_buffers()}
    return cast(tuple[Tensor, list[Tensor]], functional_call(discriminator, state, (images,)))


def _adaptive_weight(reconstruction: Tensor, adversarial: Tensor, weights: Tensor, variant: Variant) -> Tensor:
    """Return lambda of A.1: the ratio of both losses' gradients in the decoder's last layer."""
    (rebuild,) = torch.autograd.grad(reconstruction, weights, retain_graph=True)
    (deceive,) = torch.autograd.grad(adversarial, weights, retain_graph=True)
    norms: list[Tensor] = [gradient.norm() for gradient in (rebuild, deceive)]
    if variant == "paper":
        return (norms[0] / (norms[1] + 1e-6)).detach()
    return 0.75 * (norms[0] / (norms[1] + 1e-4)).clamp(0, 1e4).detach()


class C2FStage(ClipStage):
    """Stage 2: backbone, transformer and refinement learn together on the frozen codec (Eqs. 6 and 10).

    As released, the refinement learns on a coarse mask sampled from the best five codes at each position, which the
    transformer predicts while it sees up to half of the true ones.
    """

    ID = "c2f"
    families = ("c2f",)
    name = "amodal"
    validates = True

    def __init__(self, model: C2F, _loss: LossConfig) -> None:
        nn.Module.__init__(self)
        self.view, self.model, self.released = model.view, model, model.config.variant == "released"
        model.tokenizer.requires_grad_(False)

    def train(self, mode: bool = True) -> C2FStage:
        """Set the training mode of all but the codec."""
        super().train(mode)
        self.model.tokenizer.eval()
        return self

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The transformer."""
        return (self.model.transformer,)

    def counts(self, batch: TrainingBatch, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the counts of object-frames and of the codes that the loss covers."""
        weight = batch.counted * batch.crops.valid
        masked = self._mask_codes(batch, generators(seeds))
        return {"frames": weight.sum(), "codes": self._code_weights(weight, masked).sum()}

    def forward(self, batch: TrainingBatch, step: MicroStep) -> dict[str, Tensor]:
        """Return the losses of codes (Eq. 6) and of both branches of the refinement (Eq. 10)."""
        model, weight, randoms = self.model, batch.counted * batch.crops.valid, generators(step.seeds)
        masked = self._mask_codes(batch, randoms)
        target = model.encode(batch.amodal)
        visible = apply_by_clip(degrade_masks, batch.crops.visible, randoms)
        maps = model.image_maps(batch.crops)
        known = torch.where(masked, model.mask_code, target)
        logits = model.transformer(maps[-1], model.encode(visible), known, batch.crops.valid).float()
        parts = {"codes": self._code_loss(logits, target, self._code_weights(weight, masked)) / step.divide["codes"]}
        if model.refiner is not None:
            with torch.no_grad():
                sampled = apply_by_clip(_sample_of_five, logits[..., : model.mask_code], randoms)
                coarse = torch.sigmoid(model.tokenizer.decode(rearrange(sampled, "b t g h -> (b t) g h")))
            refined = model.refiner(maps, coarse)
            for name, truth in (("visible", batch.crops.visible), ("amodal", batch.amodal)):
                truth = rearrange(truth, "b t s r -> (b t) s r")
                bce = binary_cross_entropy_with_logits(getattr(refined, name), truth, reduction="none")
                parts[name] = (bce.mean(dim=(1, 2)) * weight.flatten()).sum() / step.divide["frames"]
        parts["loss"] = torch.stack(list(parts.values())).sum()
        return parts

    def _mask_codes(self, batch: TrainingBatch, randoms: Sequence[torch.Generator]) -> Bool[Tensor, "b t g g"]:
        """Return which codes are masked. It must be the first that is sampled for every clip."""
        codes = torch.zeros(*batch.counted.shape, *[self.model.config.tokenizer.grid] * 2)
        masks = apply_by_clip(lambda clip, random: mask_places(clip, self.released, random), codes, randoms)
        return masks.to(batch.counted.device)

    def _code_weights(self, weight: Float[Tensor, "b t"], masked: Bool[Tensor, "b t g g"]) -> Float[Tensor, "b t g g"]:
        """Return the weight of each code in Eq. 6: only masked codes count; as released, all do."""
        return weight[:, :, None, None] * (torch.ones_like(masked) if self.released else masked)

    def _code_loss(
        self,
        logits: Float[Tensor, "b t g g classes"],
        target: Int[Tensor, "b t g g"],
        weights: Float[Tensor, "b t g g"],
    ) -> Tensor:
        """Return the weighted sum of Eq. 6; as released, with smoothed labels."""
        smoothing = SMOOTHING if self.released else 0.0
        loss = cross_entropy(logits.flatten(0, 3), target.flatten(), reduction="none", label_smoothing=smoothing)
        return (loss.view_as(target) * weights).sum()


def _sample_of_five(logits: Float[Tensor, "b t g g codes"], random: torch.Generator) -> Int[Tensor, "b t g g"]:
    return sample_codes(logits, 5, random)


def mask_places(
    target: Shaped[Tensor, "b t g g"], released: bool, generator: torch.Generator
) -> Bool[Tensor, "b t g g"]:
    """Return which codes are masked: 50 to 100 % of each frame, one ratio per track, different positions in each frame.

    The ratio is uniform (paper) or max(cos(pi u / 2), 0.5) of a uniform u (released).
    """
    b, t, g, _ = target.shape
    uniform = torch.rand(b, 1, 1, generator=generator)
    ratio = torch.cos(math.pi / 2 * uniform).clamp_min(0.5) if released else 0.5 + 0.5 * uniform
    rank = torch.rand(b, t, g * g, generator=generator).argsort(dim=-1).argsort(dim=-1)
    return (rank < (ratio * g * g).round()).view(target.shape).to(target.device)


def degrade_masks(masks: Float[Tensor, "b t s s"], generator: torch.Generator) -> Float[Tensor, "b t s s"]:
    """Return visible masks degraded as in the released training code, independently in each frame.

    A tenth is blurred and thresholded at one half; half is dilated or eroded, one to four times with squares of 5 to 13
    pixels, each time blurred with probability 0.1; the rest is unchanged. Pixels are those of crops of 256.
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
    """Return the maximum within a square, ignoring what lies beyond the crop."""
    reach = max(1, round((size - 1) / 2))
    mask = max_pool2d(mask, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return max_pool2d(mask, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def _blur(mask: Tensor, scale: float) -> Tensor:
    """Return the mask after a Gaussian of 35 pixels with a deviation of 11, thresholded at one half."""
    reach = max(1, round(17 * scale))
    at = torch.arange(-reach, reach + 1, device=mask.device)
    kernel = torch.exp(-((at / (11 * scale)) ** 2) / 2)
    kernel = (kernel / kernel.sum()).to(mask.dtype)
    mask = pad(mask, (reach,) * 4, mode="replicate")
    mask = conv2d(conv2d(mask, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return (mask > 0.5).to(mask.dtype)
