"""CondDiff-AMO (AAAI 2026): amodal completion as the denoising of a mask.

Implemented as in the paper:

- the Unidirectional State Transition (section 3.2, Eqs. 4 and 5);
- the Pyramid Condition Network with the noisy mask and a time token in every stage, followed by Occlusion-aware
  Context Refinement (section 3.3, Eqs. 6 and 7);
- the Denoising Network with Local Emphasis and the Adaptive Feature Gate (Eqs. 8 and 9);
- weighted BCE and IoU losses (Eq. 10) and the Visible-Guided Prediction Ensemble (section 3.4, Eqs. 11 and 12).

Choices where the paper is silent or contradicts itself:

- The noise has a cosine schedule in continuous time; networks get the logarithm of the signal-to-noise ratio.
- Amodal states survive until time t with probability 1 - t.
- The reverse step of Eqs. 4 and 5 mixes the predicted mask with the modal state by the random numbers of the forward
  process, and adds noise again.
- Sampling starts from the noisy modal state (section 3.2), which is pure noise at t = 1 (section 3.4).
- The weights of Eq. 10 are those of structure losses, with a neighbourhood proportional to the window.

Beyond the paper: noise with a larger grain, since independent cells reveal shapes; noise shared by the frames of a
track; the coarse mask as a condition and as the modal state; training states made of predictions (``rollout``); a
condition that is computed once instead of in every step (``late``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import FramewiseHead, HeadInputs, probability_logits, window_colours
from vidamodal.heads.conddiff.config import CondDiffConfig
from vidamodal.heads.conddiff.diffusion import SamplingNoise, add_noise, ensemble, log_snr_at, reverse_step
from vidamodal.heads.conddiff.networks import ConditionNetwork, DenoisingNetwork

NEIGHBOURHOOD = 31 / 256
"""Side of the neighbourhood that determines a cell's weight in the loss, relative to the window: see
`neighbourhood_side`."""


@dataclass(frozen=True)
class Condition:
    """Inputs of the networks besides the noisy mask and the time, and the logits that their output corrects."""

    planes: Float[Tensor, "bt c s s"]
    features: Float[Tensor, "bt d g g"]
    base: Float[Tensor, "b t s s"]


class CondDiffHead(FramewiseHead):
    """Head that samples an amodal mask for each frame by denoising."""

    ID = "conddiff"
    config_class = CondDiffConfig

    def __init__(self, config: CondDiffConfig, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.start == "coarse" and not channels:
            raise ValueError("head.start is coarse, but there is no coarse mask without a transformer")
        if config.steps < 1:
            raise ValueError(f"head.steps must be at least 1, not {config.steps}")
        self.config, self.has_transformer = config, channels > 0
        self.stochastic, self.reads_pixels = not config.regression, config.image
        planes = 3 * config.image + config.mask + 5 * config.context + self.has_transformer
        self.condition = ConditionNetwork(config, planes, channels)
        self.denoise = DenoisingNetwork(config.width, planes, config.pyramid.strides[0])
        if self.has_transformer:  # the untrained head returns the coarse mask
            for parameter in self.denoise.leave[-1].parameters():
                nn.init.zeros_(parameter)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Condition and denoising network."""
        return self.condition, self.denoise

    def load_pretrained(self) -> None:
        """Load the weights of the Pyramid Condition Network that the config names, if any."""
        self.condition.pyramid.load_pretrained()

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Sample masks in T steps (section 3.4) and return logits of their ensemble."""
        modal, condition = self._modal_state(inputs), self._condition(inputs)
        if self.config.regression:
            return self._predict(condition, 2 * modal - 1, log_snr_at(modal, 1.0))
        predictions = self._sample(inputs, modal, condition)
        final = ensemble(predictions) if self.config.vgpe else predictions[-1]
        return probability_logits(final.float())

    def training_logits(self, inputs: HeadInputs, truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """Predict the mask from its state at a random time of each frame (Eqs. 1, 4 and 5)."""
        modal, condition = self._modal_state(inputs), self._condition(inputs)
        if self.config.regression:
            return self._predict(condition, 2 * modal - 1, log_snr_at(modal, 1.0))
        noise = SamplingNoise.sample(inputs, 2, False, self.config.grain)
        time = self._uniform(inputs)
        if self.config.blind:
            time = time.masked_fill(self._uniform(inputs) < self.config.blind, 1.0)
        if self.config.rollout:
            predicted = self._uniform(inputs) < self.config.rollout
            truth = torch.where(predicted, self._first_prediction(condition, modal, noise.gaussian(2)), truth)
        log_snr = log_snr_at(modal, time)
        state = torch.where(noise.transition < 1 - time, truth, modal) if self.config.ust else truth
        return self._predict(condition, add_noise(state, noise.gaussian(1), log_snr), log_snr)

    def loss(
        self, logits: Float[Tensor, "b t s s"], truth: Float[Tensor, "b t s s"], inside: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t"]:
        """Return weighted BCE + weighted IoU (Eq. 10); cells near an outline have up to six times the weight."""
        logits, side = logits.float(), neighbourhood_side(logits.shape[-1])
        average = avg_pool2d(truth, side, stride=1, padding=side // 2, count_include_pad=False)
        weight = (1 + 5 * (average - truth).abs()) * inside
        bce = binary_cross_entropy_with_logits(logits, truth, reduction="none")
        probability = torch.sigmoid(logits)
        overlap = _sum(probability * truth * weight)
        union = _sum((probability + truth) * weight) - overlap
        return _sum(bce * weight) / _sum(weight).clamp_min(1) + 1 - (overlap + 1) / (union + 1)

    def _sample(
        self, inputs: HeadInputs, modal: Float[Tensor, "b t s s"], condition: Condition
    ) -> Float[Tensor, "steps b t s s"]:
        """Return the predicted mask of each sampling step."""
        steps, config = self.config.steps, self.config
        encoded = self.condition(condition.planes, condition.features, None, None) if config.late else None
        noise = SamplingNoise.sample(inputs, steps, config.noise == "track", config.grain)
        noisy, state, predictions = noise.gaussian(steps).expand_as(modal), modal, []
        for step in range(steps, 0, -1):
            log_snr, next_time = log_snr_at(modal, step / steps), (step - 1) / steps
            if config.ust:
                noisy = add_noise(state, noise.gaussian(step), log_snr)
            prediction = torch.sigmoid(self._predict(condition, noisy, log_snr, encoded))
            if config.vgpe and step <= steps / 2:  # Eq. 11, read as a condition on the steps made so far
                prediction = torch.maximum(prediction, inputs.crops.visible)
            predictions.append(prediction)
            mask = (prediction > noise.threshold).float() if config.draw else prediction
            if config.ust:
                state = torch.where(noise.transition < 1 - next_time, mask, modal)
            elif next_time:
                noisy = reverse_step(noisy, mask, log_snr, log_snr_at(modal, next_time), noise.gaussian(step - 1))
        return torch.stack(predictions)

    @torch.no_grad()
    def _first_prediction(
        self, condition: Condition, modal: Float[Tensor, "b t s s"], gaussian: Float[Tensor, "b t s s"]
    ) -> Float[Tensor, "b t s s"]:
        """Return the mask that the first sampling step predicts."""
        log_snr = log_snr_at(modal, 1.0)
        prediction = torch.sigmoid(self._predict(condition, add_noise(modal, gaussian, log_snr), log_snr))
        return (prediction > 0.5).float() if self.config.draw else prediction

    def _predict(
        self,
        condition: Condition,
        noisy: Float[Tensor, "b t s s"],
        log_snr: Float[Tensor, "b t 1 1"],
        encoded: Float[Tensor, "bt width p p"] | None = None,
    ) -> Float[Tensor, "b t s s"]:
        """Return logits of the clean mask; ``encoded`` is the output of the condition network, if known already."""
        mask, time = rearrange(noisy, "b t s r -> (b t) 1 s r"), rearrange(log_snr, "b t 1 1 -> (b t)")
        if encoded is None:
            late = self.config.late
            encoded = self.condition(
                condition.planes, condition.features, None if late else mask, None if late else time
            )
        logits: Tensor = self.denoise(mask, condition.planes, encoded, time)
        return condition.base + rearrange(logits.float(), "(b t) 1 s r -> b t s r", b=len(noisy))

    def _condition(self, inputs: HeadInputs) -> Condition:
        """Collect cat(I, M_v) of Eq. 6 and the channels beyond the paper."""
        crops, coarse = inputs.crops, inputs.coarse.float()
        planes = [crops.visible[:, :, None][:, :, :0]]
        if self.config.image:
            planes.append(window_colours(crops))
        if self.config.mask:
            planes.append(crops.visible[:, :, None])
        if self.config.context:
            planes.append(_context(crops))
        if self.has_transformer:
            planes.append(torch.sigmoid(coarse)[:, :, None])
        base = coarse if self.has_transformer else torch.zeros_like(coarse)
        return Condition(_flatten(torch.cat(planes, dim=2)), _flatten(inputs.features), base)

    def _modal_state(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        """Return the state in which the transition ends."""
        if self.config.start == "visible":
            return inputs.crops.visible
        return torch.maximum(torch.sigmoid(inputs.coarse.float()), inputs.crops.visible)

    def _uniform(self, inputs: HeadInputs) -> Float[Tensor, "b t 1 1"]:
        return inputs.noise.uniform(inputs.coarse, inputs.coarse.shape[1], 1, 1)


def neighbourhood_side(cells: int) -> int:
    """Return the side of the neighbourhood in a window of so many cells per side: the nearest odd number."""
    return 2 * round((NEIGHBOURHOOD * cells - 1) / 2) + 1


def _context(crops: TrackCrops) -> Float[Tensor, "b t 5 s s"]:
    known = crops.known[..., None, None].expand_as(crops.visible)
    return torch.stack([crops.others, crops.edges, crops.inside, crops.background, known], dim=2)


def _flatten(maps: Float[Tensor, "b t c s s"]) -> Float[Tensor, "bt c s s"]:
    return rearrange(maps, "b t c s r -> (b t) c s r")


def _sum(maps: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t"]:
    return reduce(maps, "b t h w -> b t", "sum")
