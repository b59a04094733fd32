"""Inpainting models of DiffSP: a small one that is trained with the segmenter, and Stable Diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.backbones.pretrained import find_pretrained, quiet_libraries, read_pretrained
from vidamodal.errors import InputError
from vidamodal.hub import download_hint, first_line
from vidamodal.segmenters.aisdiff.attention_maps import AttentionRecorder, install_recorders

TIMESTEPS = 1000
"""Steps of the noise schedule."""
BEGIN_TOKEN, NO_CATEGORY_TOKEN = 0, 1
"""First tokens of the vocabulary; the categories follow. Every text starts with BEGIN_TOKEN, because the attention to
a single token would be the same everywhere."""
EXAMPLE = "stable-diffusion-v1-5/stable-diffusion-inpainting"
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_FILES = (
    *(f"{part}/{file}.safetensors" for part, file in _WEIGHTS.items()),
    *(f"{part}/*.{suffix}" for part in (*_WEIGHTS, "tokenizer", "scheduler") for suffix in ("json", "txt")),
)
"""Files that are downloaded from a repository on the Hub."""


@dataclass(frozen=True)
class PriorConfig:
    """The inpainting model, and how a shape prior is made of its attention. Sizes are those of the small model."""

    diffsp: str | None = None
    """Folder or Hub name of a Stable-Diffusion inpainting model to use instead of the small one."""
    cells: int = 32
    """Cells per side of the inpainted crops."""
    widths: tuple[int, ...] = (16, 32, 48)
    """Channels of the UNet's levels, each with half the resolution of the previous one; all but the first attend."""
    text: int = 32
    """Channels of the tokens."""
    steps: int = 10
    """Sampling steps: T (Table 5)."""
    power: int = 4
    """Power of the self-attention: tau."""
    bind: float = 0.3
    """Weight of the training loss that binds A_C, before and after spreading, to the amodal mask."""
    grid: int = 16
    """Cells per side of the attention maps."""
    together: int = 8
    """Objects per batch. Batches are padded to this size, so that results do not depend on the other objects."""
    category: bool = True
    """Condition on the category (Table 6)."""
    occluding: bool = True
    """Condition on the occluder mask (Table 6)."""


class InpaintingModel(Protocol):
    """Interface of inpainting models, for n objects."""

    unet: Any
    schedule: Any
    recorders: list[AttentionRecorder]

    def encode(
        self, label: Int[Tensor, " n"], labels: tuple[str, ...]
    ) -> tuple[Float[Tensor, "n k d"], Float[Tensor, "n k"]]:
        """Return the tokens of each object's text, and the weights of those that stand for its category.

        Args:
            label: Index of the category; -1 if it is unknown.
            labels: Names of the categories.
        """

    def condition(self, seen: Float[Tensor, "n 3 r r"], paint: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n c z z"]:
        """Return the channels that the UNet sees besides the noisy image.

        Args:
            seen: Visible pixels in [-1, 1]; 0 elsewhere.
            paint: Mask of the pixels to inpaint.
        """


class Inpainter(nn.Module):
    """A small inpainting model on pixels with one token per category."""

    def __init__(self, config: PriorConfig, labels: int) -> None:
        super().__init__()
        _check_sizes(config)
        self.unet = _build_unet(config)
        self.recorders = install_recorders(self.unet)
        self.vocabulary = nn.Embedding(2 + labels, config.text)
        self.schedule = _build_schedule()

    def encode(
        self, label: Int[Tensor, " n"], _labels: tuple[str, ...]
    ) -> tuple[Float[Tensor, "n 2 d"], Float[Tensor, "n 2"]]:
        """Return the tokens of each object and their weights; see `InpaintingModel.encode`."""
        category = torch.where(label >= 0, label + 2, NO_CATEGORY_TOKEN)
        ids = torch.stack([torch.full_like(category, BEGIN_TOKEN), category], dim=1)
        return self.vocabulary(ids), torch.tensor([0.0, 1.0], device=label.device).expand(len(label), 2)

    def condition(self, seen: Float[Tensor, "n 3 r r"], paint: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n 4 r r"]:
        """Return the mask to inpaint and the visible pixels."""
        return torch.cat([paint, seen], dim=1)


class StableInpainting(nn.Module):
    """A Stable-Diffusion inpainting model: tokenizer, text encoder, VAE, UNet and schedule."""

    def __init__(self, tokenizer: Any, encoder: nn.Module, vae: Any, unet: Any, schedule: Any) -> None:
        super().__init__()
        self.tokenizer, self.encoder, self.vae, self.unet, self.schedule = tokenizer, encoder, vae, unet, schedule
        self.recorders = install_recorders(unet)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        return self.vae.config.latent_channels, self.unet.config.sample_size, self.unet.config.sample_size

    @property
    def crop_size(self) -> int:
        """Pixels per side of the crops."""
        scale: int = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return int(self.unet.config.sample_size) * scale

    def encode(
        self, label: Int[Tensor, " n"], labels: tuple[str, ...]
    ) -> tuple[Float[Tensor, "n k d"], Float[Tensor, "n k"]]:
        """Return the tokens of each prompt, and equal weights for the words of its category.

        Without a category, the end token of the empty prompt has all the weight.
        """
        names = ["" if k < 0 else labels[k].replace("_", " ") for k in label.tolist()]
        prompts = [f"a photo of a {name}" if name else "" for name in names]
        ids = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        weights = torch.zeros(ids.shape)
        for row, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
            # The words of a prompt lie between its begin token and its end token; the category comes last.
            end = len(self.tokenizer(prompt, truncation=True).input_ids) - 1
            count = len(self.tokenizer(name, add_special_tokens=False).input_ids) if name else 0
            weights[row, max(end - count, 1) : end] = 1
            if not weights[row].any():
                weights[row, end] = 1
        weights = weights / weights.sum(dim=1, keepdim=True)
        return self.encoder(ids.to(label.device))[0], weights.to(label.device)

    def condition(self, seen: Float[Tensor, "n 3 r r"], paint: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n c z z"]:
        """Return the mask to inpaint and the latents of the visible pixels."""
        latents = self.vae.encode(seen).latent_dist.mode() * self.vae.config.scaling_factor
        return torch.cat([interpolate(paint, size=latents.shape[-2:], mode="nearest"), latents], dim=1)


def read_inpainting(name: str, setting: str = "prior.diffsp") -> StableInpainting:
    """Load a Stable-Diffusion inpainting model in the folder layout of diffusers, from safetensors.

    Args:
        name: Path of a folder, or name of a repository on the Hub.
        setting: Name of the setting that ``name`` comes from, for error messages.

    Raises:
        InputError: If the model cannot be loaded, is incomplete, or does not inpaint.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = str(find_pretrained(name, setting, EXAMPLE, _FILES))
    unet = read_pretrained(UNet2DConditionModel, folder, setting, EXAMPLE, subfolder="unet")
    vae = read_pretrained(AutoencoderKL, folder, setting, EXAMPLE, subfolder="vae")
    encoder = read_pretrained(CLIPTextModel, folder, setting, EXAMPLE, subfolder="text_encoder")
    try:
        with quiet_libraries():
            tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
            schedule = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers accepts a tokenizer without words
            raise ValueError("its tokenizer has no vocabulary")
    except Exception as error:  # tokenizers raise plain exceptions
        raise InputError(
            f"{setting}: {name!r} is incomplete: {first_line(error)}. {download_hint(EXAMPLE, setting)}"
        ) from error
    if unet.config.in_channels != 9:
        raise InputError(
            f"{setting}: {name!r} is not an inpainting model: its UNet has {unet.config.in_channels} input channels "
            f"instead of 9. {download_hint(EXAMPLE, setting)}"
        )
    return StableInpainting(tokenizer, encoder, vae, unet, schedule)


def _check_sizes(config: PriorConfig) -> None:
    levels = len(config.widths)
    if levels < 2 or any(width % 8 for width in config.widths):
        raise ValueError(f"prior.widths must be two or more numbers divisible by 8, not {config.widths}")
    scale = 2 ** (levels - 1)
    coarsest, odd = divmod(config.cells, scale)
    if odd or not 1 <= coarsest <= config.grid <= config.cells:
        raise ValueError(
            f"prior.cells must be a multiple of {scale}, and prior.grid must lie between prior.cells / {scale} and "
            "prior.cells"
        )
    if config.text < 1 or min(config.widths) < 1 or config.bind < 0:
        raise ValueError("prior.text and prior.widths must be at least 1, and prior.bind at least 0")


def _build_unet(config: PriorConfig) -> Any:
    from diffusers import UNet2DConditionModel

    attending = len(config.widths) - 1
    return UNet2DConditionModel(
        sample_size=config.cells,
        in_channels=3 + 1 + 3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=config.widths,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * attending,
        up_block_types=("CrossAttnUpBlock2D",) * attending + ("UpBlock2D",),
        cross_attention_dim=config.text,
        attention_head_dim=2,  # which diffusers takes for the number of heads
        norm_num_groups=8,
    )


def _build_schedule() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        clip_sample=True,
        timestep_spacing="trailing",
    )
