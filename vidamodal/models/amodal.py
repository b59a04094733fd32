"""The model of this project: mask tokenizer, spatio-temporal transformer and framewise head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import HeadInputs, find_head
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig
from vidamodal.models.transformer import AmodalTransformer, TransformerConfig
from vidamodal.noise import Noise
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig

SHARPNESS = 2.0
"""Power of the probabilities from which the codes of hypotheses are sampled. Places are sampled independently, and an
unlikely code among likely ones would leave specks."""


@dataclass(frozen=True)
class ModelConfig:
    """Configuration of the model, as in config.json."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    head: str = "conv"
    """Id of the head."""
    chunk: int = 24
    """Frames that are predicted together; longer videos are divided into chunks that start at frame 0."""
    overlap: int = 12
    """Frames that neighbouring chunks share, in which their logits are cross-faded."""
    threshold: float = 0.5
    """Probability above which a pixel belongs to the object."""
    temperature: float = 1.0
    """Divisor of the logits before they become probabilities, fitted on validation data."""
    partial: PartialDecision = field(default_factory=PartialDecision)
    """How masks are decided where an unlisted occluder is possible."""
    presence_threshold: float = 0.5
    """Probability of presence below which an object is gone, if the model predicts presence."""
    mirror: bool = False
    """Average the logits of the last pass with those of the mirrored windows; not in live prediction."""


@dataclass(frozen=True)
class AmodalOutput:
    """Logits of the codes (None for models without tokens), of the coarse and the refined amodal mask, and presence."""

    codes: Float[Tensor, "b t g g codes"] | None
    coarse: Float[Tensor, "b t s s"]
    refined: Float[Tensor, "b t s s"]
    presence: Float[Tensor, "b t"] | None = None
    """Logits of any of the object being inside the image; None if the model does not predict that."""


class KnownMasks(NamedTuple):
    """True amodal masks of some frames: the anchors from which the other frames are completed."""

    masks: Float[Tensor, "b t s s"]
    """Masks in the windows of the crops; ignored where they are not known."""
    known: Bool[Tensor, "b t"]


class CoarsePrediction(NamedTuple):
    """Predictions that precede the head."""

    codes: Float[Tensor, "b t g g codes"] | None
    """Logits of the codes; None for models without tokens."""
    inputs: HeadInputs
    presence: Float[Tensor, "b t"] | None
    """As in `AmodalOutput`."""


class AmodalModel(nn.Module):
    """Completes the visible masks of tracks: crops of visible masks in, amodal masks of the same tracks out."""

    def __init__(self, config: ModelConfig, head_config: Any = None) -> None:
        super().__init__()
        head_class = find_head(config.head)
        codec = config.tokenizer
        self.config = config
        self.tokenizer = MaskTokenizer(codec)
        self.transformer = AmodalTransformer(config.transformer, codec.crop, codec.grid, codec.codes)
        self.head_config = head_config or head_class.config_class()
        self.head = head_class(self.head_config, codec.crop, config.transformer.features)

    @property
    def view(self) -> View:
        """The windows and input channels of the model."""
        reads = self.config.transformer
        return View(
            self.config.windows,
            self.config.tokenizer.crop,
            reads.image or self.head.reads_pixels,
            reads.order or self.head.reads_order,
            reads.depth_planes or self.head.reads_depth,
        )

    @property
    def stochastic(self) -> bool:
        """True if the prediction is sampled."""
        return self.head.stochastic

    @property
    def takes_anchors(self) -> bool:
        """True if the model completes tracks from true masks of some of their frames."""
        return self.config.transformer.tokens

    def forward(
        self, crops: TrackCrops, amodal: Int[Tensor, "b t g g"] | None = None, noise: Noise | None = None
    ) -> AmodalOutput:
        """Return the prediction of one pass.

        Args:
            crops: Inputs of b tracks over t frames.
            amodal: Known amodal codes, and `transformer.mask_code` elsewhere; by default no code is known.
            noise: Used by a head that samples.
        """
        coarse = self.predict_coarse(crops, noise or Noise.of(0), amodal)
        return AmodalOutput(coarse.codes, coarse.inputs.coarse, self.head(coarse.inputs), coarse.presence)

    def predict_coarse(
        self, crops: TrackCrops, noise: Noise, amodal: Int[Tensor, "b t g g"] | None = None
    ) -> CoarsePrediction:
        """Return the logits of the codes (Eq. 6; None without tokens), the inputs of the head and the presence.

        The coarse mask is decoded from the expected codes (Eq. 7), or read from the features without tokens.
        """
        crops = self._shown(crops)
        visible = self.encode(crops.visible)
        if amodal is None:
            amodal = torch.full_like(visible, self.transformer.mask_code)
        codes, features, presence = self.transformer(crops, visible, amodal)
        if self.config.transformer.tokens:
            coarse = self.tokenizer.decode_soft(rearrange(codes, "b t g h n -> (b t) g h n"))
            coarse = rearrange(coarse, "(b t) s r -> b t s r", b=len(codes))
            return CoarsePrediction(codes, HeadInputs(crops, coarse, features, noise), presence)
        coarse = rearrange(codes.float(), "b t g h (p q) -> b t (g p) (h q)", p=4)
        return CoarsePrediction(None, HeadInputs(crops, coarse, features, noise), presence)

    def complete(self, crops: TrackCrops, generator: torch.Generator, known: KnownMasks | None = None) -> AmodalOutput:
        """Return the prediction, from the true masks of some frames if they are known.

        The generator is used by a head that samples.
        """
        output: AmodalOutput = self(crops, self.known_codes(crops, known), Noise((generator,)))
        return output

    def known_codes(self, crops: TrackCrops, known: KnownMasks | None) -> Int[Tensor, "b t g g"]:
        """Return the codes of known masks, and ``transformer.mask_code`` in all other frames."""
        grid, unknown = self.config.tokenizer.grid, self.transformer.mask_code
        nothing = torch.full((*crops.known.shape, grid, grid), unknown, device=crops.known.device)
        if known is None:
            return nothing
        return torch.where(known.known[:, :, None, None], self.encode(known.masks), nothing)

    def encode(self, masks: Float[Tensor, "b t s s"]) -> Int[Tensor, "b t g g"]:
        """Return the codes of the masks of tracks (Eq. 1)."""
        codes = self.tokenizer.encode(rearrange(masks, "b t s r -> (b t) s r"))
        return rearrange(codes, "(b t) g h -> b t g h", b=len(masks))

    @torch.no_grad()
    def sample(
        self, crops: TrackCrops, steps: int, generator: torch.Generator, known: KnownMasks | None = None
    ) -> AmodalOutput:
        """Return a hypothesis: sampled by the head if it is stochastic, else from codes sampled in ``steps`` rounds.

        Each round keeps the most confident codes (MaskGIT; C2F-Seg, section 3.3). Confidence is the mean over the
        frames of a track, and all frames share one noise per position, so that a hypothesis is one shape for the
        whole track.

        Raises:
            InputError: If the model has no tokens and its head does not sample.
        """
        if self.head.stochastic:
            return self.complete(crops, generator, known)
        if not self.config.transformer.tokens:
            raise InputError(
                "this model cannot sample hypotheses (transformer.tokens is false). Request one, or use another model."
            )
        crops = self._shown(crops)
        visible = self.encode(crops.visible)
        amodal = self.known_codes(crops, known)
        for step in range(steps):
            codes, features, presence = self.transformer(crops, visible, amodal)
            amodal = self._keep_most_confident(codes, amodal, torch.pi / 2 * (step + 1) / steps, generator)
        # After the last round every position has a code: they give the coarse mask (Eq. 7).
        coarse = self.tokenizer.decode(rearrange(amodal, "b t g h -> (b t) g h"))
        coarse = rearrange(coarse, "(b t) s r -> b t s r", b=len(codes))
        refined = self.head(HeadInputs(crops, coarse, features, Noise((generator,))))
        return AmodalOutput(codes, coarse, refined, presence)

    def _shown(self, crops: TrackCrops) -> TrackCrops:
        """Return the crops without the other objects if the model does not read these."""
        return crops if self.config.transformer.occluders else crops.alone()

    def _keep_most_confident(
        self,
        codes: Float[Tensor, "b t g g codes"],
        amodal: Int[Tensor, "b t g g"],
        angle: float,
        generator: torch.Generator,
    ) -> Int[Tensor, "b t g g"]:
        """Add the most confident sampled codes to ``amodal``; a share cos(angle) of all positions stays masked.

        In frames that are not known from the start, the same positions are masked.
        """
        logits = SHARPNESS * codes.float()
        sampled = (logits + gumbel_noise(logits.shape[2:], generator).to(logits.device)).argmax(dim=-1)
        confidence = logits.log_softmax(-1).gather(-1, sampled[..., None])[..., 0].mean(dim=1)
        unknown = amodal == self.transformer.mask_code
        masked = unknown.any(dim=1)
        ranked = confidence.masked_fill(~masked, -torch.inf).flatten(1).argsort(dim=1, descending=True)
        places = amodal.shape[2] * amodal.shape[3]
        still_masked = int(places * torch.cos(torch.tensor(angle)).item())
        count = max(int(masked[0].sum()) - still_masked, 0)  # 0 if all frames are known
        chosen = torch.zeros_like(masked).flatten(1).scatter(1, ranked[:, :count], True)
        return torch.where(chosen.view_as(masked)[:, None] & unknown, sampled, amodal)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Sample Gumbel noise on the generator's device: the argmax of logits plus noise is a sample of their softmax."""
    uniform = torch.rand(tuple(shape), generator=generator, device=generator.device)
    return -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7)))
