"""The whole model: tokenizer, spatio-temporal transformer and a framewise head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import HeadInputs, find_head
from vidamodal.models.tokenizer import MaskTokenizer, TokenizerConfig
from vidamodal.models.transformer import AmodalTransformer, TransformerConfig
from vidamodal.noise import Noise
from vidamodal.types import InputError
from vidamodal.windows import View, WindowConfig


@dataclass(frozen=True)
class ModelConfig:
    """All that a model folder's config.json says."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    head: str = "conv"
    chunk: int = 24
    """Frames that are predicted together; a longer video is cut into chunks aligned to frame 0."""
    overlap: int = 12
    """Frames that neighbouring chunks share; their logits are cross-faded."""
    threshold: float = 0.5
    """A pixel belongs to the object above this probability; chosen on validation scenes."""
    temperature: float = 1.0
    """Logits are divided by it before they become probabilities; fitted by `scripts/experiments/calibration`."""


SHARPNESS = 2.0
"""Codes of hypotheses are drawn from the predicted probabilities to this power: places are drawn one by one, and
unlikely codes among likely ones leave specks."""


@dataclass(frozen=True)
class AmodalOutput:
    """Logits of codes (None without tokens), of the coarse and of the refined amodal mask."""

    codes: Float[Tensor, "b t g g codes"] | None
    coarse: Float[Tensor, "b t s s"]
    refined: Float[Tensor, "b t s s"]


class AmodalModel(nn.Module):
    """Visible masks of tracks in, amodal masks of the same tracks out."""

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
        """How it looks at clips."""
        reads = self.config.transformer
        order = reads.order or self.head.reads_order
        return View(self.config.windows, self.config.tokenizer.crop, reads.image or self.head.reads_pixels, order)

    @property
    def stochastic(self) -> bool:
        """Whether its one pass is drawn, too."""
        return self.head.stochastic

    def forward(
        self, crops: TrackCrops, amodal: Int[Tensor, "b t g g"] | None = None, noise: Noise | None = None
    ) -> AmodalOutput:
        """One pass (K = 1). ``amodal``: codes already known, [MASK] elsewhere; by default all are to be predicted."""
        codes, inputs = self.look(crops, noise or Noise.of(0), amodal)
        return AmodalOutput(codes, inputs.coarse, self.head(inputs))

    def look(
        self, crops: TrackCrops, noise: Noise, amodal: Int[Tensor, "b t g g"] | None = None
    ) -> tuple[Float[Tensor, "b t g g codes"] | None, HeadInputs]:
        """Logits of codes (None without tokens) and what the head is to refine."""
        crops = crops if self.config.transformer.occluders else crops.alone()
        visible = self.encode(crops.visible)
        if amodal is None:
            amodal = torch.full_like(visible, self.transformer.mask_code)
        codes, features = self.transformer(crops, visible, amodal)
        if self.config.transformer.tokens:
            coarse = self.tokenizer.decode_soft(rearrange(codes, "b t g h n -> (b t) g h n"))
            coarse = rearrange(coarse, "(b t) s r -> b t s r", b=len(codes))
            return codes, HeadInputs(crops, coarse, features, noise)
        coarse = rearrange(codes.float(), "b t g h (p q) -> b t (g p) (h q)", p=4)
        return None, HeadInputs(crops, coarse, features, noise)

    def complete(self, crops: TrackCrops, generator: torch.Generator) -> AmodalOutput:
        """The prediction; the generator serves a head that draws."""
        output: AmodalOutput = self(crops, noise=Noise((generator,)))
        return output

    def encode(self, masks: Float[Tensor, "b t s s"]) -> Int[Tensor, "b t g g"]:
        """Codes of the masks of tracks."""
        codes = self.tokenizer.encode(rearrange(masks, "b t s r -> (b t) s r"))
        return rearrange(codes, "(b t) g h -> b t g h", b=len(masks))

    @torch.no_grad()
    def sample(self, crops: TrackCrops, steps: int, generator: torch.Generator) -> AmodalOutput:
        """A hypothesis: by a head that draws, else of codes drawn in ``steps`` rounds.

        The most confident codes are kept first (MaskGIT; C2F-Seg, section 3.3). Which places are kept is decided for
        all frames together (the mean confidence over the track), so that a hypothesis is one shape for the whole track;
        the draw uses one noise per place for all frames.
        """
        if self.head.stochastic:
            return self.complete(crops, generator)
        if not self.config.transformer.tokens:
            raise InputError("hypotheses are drawn as codes, and this model has none (transformer.tokens is false)")
        visible = self.encode(crops.visible)
        hidden = self.transformer.mask_code
        amodal = torch.full_like(visible, hidden)
        places = amodal.shape[2] * amodal.shape[3]
        for step in range(steps):
            codes, features = self.transformer(crops, visible, amodal)
            logits = SHARPNESS * codes.float()
            drawn = (logits + gumbel(logits.shape[2:], generator).to(logits.device)).argmax(dim=-1)  # Gumbel-max
            confidence = logits.log_softmax(-1).gather(-1, drawn[..., None])[..., 0].mean(dim=1)
            open_places = (amodal == hidden).all(dim=1)
            ranked = confidence.masked_fill(~open_places, -torch.inf).flatten(1).argsort(dim=1, descending=True)
            keep_open = int(places * torch.cos(torch.tensor(torch.pi / 2 * (step + 1) / steps)).item())
            closing = int(open_places[0].sum()) - keep_open
            chosen = torch.zeros_like(open_places).flatten(1).scatter(1, ranked[:, :closing], True)
            amodal = torch.where(chosen.view_as(open_places)[:, None], drawn, amodal)
        # The last round closed every place: the drawn codes are the coarse mask (Eq. 7).
        coarse = self.tokenizer.decode(rearrange(amodal, "b t g h -> (b t) g h"))
        coarse = rearrange(coarse, "(b t) s r -> b t s r", b=len(codes))
        return AmodalOutput(codes, coarse, self.head(HeadInputs(crops, coarse, features, Noise((generator,)))))


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Gumbel noise, drawn on the generator's device: the largest of logits plus noise is a draw of their softmax."""
    uniform = torch.rand(tuple(shape), generator=generator, device=generator.device)
    return -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7)))
