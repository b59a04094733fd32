"""DiffSP, the diffusion shape prior of AISDiff (2024, section 3.2): where an inpainting model looks for an object.

A diffusion model is given the visible pixels of an object, the mask of what hides it and its category, and paints what
is missing. Kept is not the picture but where its layers attend: the cross-attention map of the category's token, A_C,
spread by the self-attention map A_S, both averaged over heads, layers and steps: (A_S)^tau . A_C.

Where the paper is silent: maps are brought to one resolution (linearly; rows of A_S sum to 1 again), and layers that
are finer give no self-attention; tau is 4, as in Dataset Diffusion (2023), which the paper follows; the prior of an
object goes from 0 at its least to 1 at its greatest cell; sampling is DDIM's, without guidance; pixels that are not the
object's are grey, and what may be painted is the occluding mask, or, without that, all but what is visible.

Beyond the paper: a small model of our own, which learns to paint the objects that the rest learns from. That alone
gives it no reason to attend to all of an object: a loss draws the map of the category's token to the object's mask, as
in Break-A-Scene (2023), before and after A_S has spread it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from vidamodal.backbones.pretrained import Outside, diffusers, first_line, how_to_get, one_line, read_pretrained
from vidamodal.noise import Noise
from vidamodal.types import InputError

TIMES = 1000
"""Steps of the noise schedule."""
BEGIN, NONE = 0, 1
"""Tokens that every text begins with, and that stands for no category; the labels follow. A single token would have all
attention everywhere."""


@dataclass(frozen=True)
class PriorConfig:
    """The inpainting model and how its attention is read. Sizes are of the model of our own, on pixels."""

    diffsp: str | None = None
    """A folder or a name on the Hub with a Stable-Diffusion inpainting model, in place of our own."""
    cells: int = 32
    """A side of the crops that are painted."""
    widths: tuple[int, ...] = (16, 32, 48)
    """Of the UNet's levels, each at half the side of the one before; all but the first attend."""
    text: int = 32
    """Width of tokens."""
    steps: int = 10
    """T (Table 5)."""
    power: int = 4
    """tau."""
    bind: float = 0.3
    """Weight of the loss that draws A_C, alone and spread, to the whole object while our own model learns; 0: none."""
    grid: int = 16
    """Cells a side of the maps."""
    together: int = 8
    """Objects that are painted at once, always as many, so that what else there is changes nothing."""
    category: bool = True
    """Whether the category is told (Table 6)."""
    occluding: bool = True
    """Whether the occluding mask is told (Table 6)."""


@dataclass
class Maps:
    """Sums of the attention maps of a run, by the side of their layers' maps, and how many of each there were."""

    grid: int
    cross: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    own: dict[int, tuple[Tensor, int]] = field(default_factory=dict)

    def reads(self, cells: int, crossed: bool) -> bool:
        """Whether maps of so many cells count: self-attention is never brought to a coarser grid."""
        return crossed or cells <= self.grid**2

    def add(self, weights: Float[Tensor, "n q k"], crossed: bool) -> None:
        """The attention of one layer at one step, the mean of its heads; of one that is read."""
        side, kind = round(weights.shape[1] ** 0.5), self.cross if crossed else self.own
        total, count = kind.get(side, (0.0, 0))
        kind[side] = (total + weights, count + 1)

    def crossed(self, told: Float[Tensor, "n k"]) -> Float[Tensor, "n g 1"]:
        """A_C: the cross-attention of the tokens that ``told`` weighs."""
        parts = [
            _resized((total * told[:, None]).sum(dim=-1, keepdim=True), side, self.grid)
            for side, (total, _) in self.cross.items()
        ]
        return torch.stack(parts).sum(dim=0) / sum(count for _, count in self.cross.values())

    def spread(self, found: Float[Tensor, "n g 1"], power: int) -> Float[Tensor, "n g 1"]:
        """(A_S)^tau . ``found``."""
        if not self.own:
            raise ValueError(f"no layer attends on {self.grid} x {self.grid} cells or fewer: raise prior.grid")
        parts = [count * _square(total.to(found), side, self.grid) for side, (total, count) in self.own.items()]
        mean = torch.stack(parts).sum(dim=0) / sum(count for _, count in self.own.values())
        for _ in range(power):
            found = mean @ found
        return found

    def prior(self, told: Float[Tensor, "n k"], power: int) -> Float[Tensor, "n g g"]:
        """(A_S)^tau . A_C, from 0 to 1. In double precision: what A_S has spread differs little between cells."""
        found = self.spread(self.crossed(told).double(), power)
        found = found - found.amin(dim=1, keepdim=True)
        found = found / found.amax(dim=1, keepdim=True).clamp_min(1e-12)
        return rearrange(found.float(), "n (h w) 1 -> n h w", h=self.grid)


class Capture:
    """Attention as diffusers computes it, which tells `Maps` of itself. Goes in place of its processors."""

    def __init__(self, crossed: bool) -> None:
        self.crossed = crossed
        self.maps: Maps | None = None

    def __call__(
        self,
        attention: Any,
        hidden_states: Float[Tensor, "n q d"],
        encoder_hidden_states: Float[Tensor, "n k e"] | None = None,
        attention_mask: None = None,
        *_: Any,
        **__: Any,
    ) -> Float[Tensor, "n q d"]:
        if attention_mask is not None:
            raise ValueError("attention is read where all tokens are seen")
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and attention.norm_cross:
            context = attention.norm_encoder_hidden_states(context)
        query, key, value = (
            rearrange(part, "n k (h c) -> n h k c", h=attention.heads)
            for part in (attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context))
        )
        if self.maps is not None and self.maps.reads(query.shape[2], self.crossed):
            weights = (query.float() @ key.float().transpose(-1, -2) * attention.scale).softmax(dim=-1)
            self.maps.add(weights.mean(dim=1), self.crossed)
            seen = weights.to(value) @ value
        else:  # which does not hold all weights at once
            seen = scaled_dot_product_attention(query, key, value, scale=attention.scale)
        out = rearrange(seen, "n h k c -> n k (h c)")
        for layer in attention.to_out:
            out = layer(out)
        return out / attention.rescale_output_factor


def capture(unet: Any) -> list[Capture]:
    """Make the transformer blocks of a UNet tell of their attention; what they give stays as it was."""
    told = []
    for name, module in unet.named_modules():
        if name.endswith((".attn1", ".attn2")):
            told.append(Capture(name.endswith(".attn2")))
            module.set_processor(told[-1])
    return told


@contextmanager
def listening(told: list[Capture], maps: Maps) -> Iterator[None]:
    """Gather the maps of what runs inside."""
    for each in told:
        each.maps = maps
    try:
        yield
    finally:
        for each in told:
            each.maps = None


class DiffSP(nn.Module):
    """Crops of objects to their shape priors."""

    def __init__(self, config: PriorConfig, labels: tuple[str, ...]) -> None:
        super().__init__()
        if not 1 <= config.steps <= TIMES or config.power < 0 or min(config.together, config.grid) < 1:
            raise ValueError(
                f"prior.steps lies between 1 and {TIMES}, prior.power from 0, prior.together and grid from 1 up"
            )
        self.config, self.labels = config, labels
        self.own = Inpainter(config, len(labels)) if config.diffsp is None else None
        self.given = None if config.diffsp is None else Outside(read_inpainting, config.diffsp)

    def take(self, name: str) -> None:
        """Use the Stable-Diffusion inpainting model of this folder or name on the Hub from now on, with the paper's T:
        that of the config was chosen for our own. InputError if it cannot be had."""
        given = Outside(partial(read_inpainting, where="--diffsp"), name)
        given.on(torch.device("cpu"))
        self.own, self.given = None, given
        self.config = replace(self.config, steps=PriorConfig.steps)

    def cells(self, device: torch.device) -> int:
        """A side of the crops that it takes. Those of Stable Diffusion are read for it."""
        return self.config.cells if self.given is None else int(self.given.on(device).cells)

    def noise(self, noise: Noise, like: Tensor) -> Float[Tensor, "n c r r"]:
        """What painting begins with, for the n objects of ``like``."""
        if self.given is None:
            return noise.normal(like, 3, self.config.cells, self.config.cells)
        return noise.normal(like, *self.given.on(like.device).latents)

    @torch.no_grad()
    def forward(
        self,
        image: Float[Tensor, "n 3 r r"],
        visible: Float[Tensor, "n r r"],
        occluding: Float[Tensor, "n r r"],
        label: Int[Tensor, " n"],
        noise: Float[Tensor, "n c z z"],
        steps: int | None = None,
    ) -> Float[Tensor, "n g g"]:
        """M_sp of each object, from 0 to 1. Colours and masks lie in [0, 1]; the label -1 is none."""
        seen, paint = self._condition(image, visible, occluding)
        label = label if self.config.category else torch.full_like(label, -1)
        given, count, parts = (seen.float(), paint.float(), label, noise.float()), self.config.together, []
        for begin in range(0, len(label), count):
            part = [each[begin : begin + count] for each in given]
            short = count - len(part[0])
            filled = [torch.cat([each, each[-1:].expand(short, *each.shape[1:])]) for each in part]
            parts.append(self._paint(steps or self.config.steps, *filled)[: count - short])
        return torch.cat(parts)

    def _paint(
        self,
        steps: int,
        seen: Float[Tensor, "n 3 r r"],
        paint: Float[Tensor, "n 1 r r"],
        label: Int[Tensor, " n"],
        x: Float[Tensor, "n c z z"],
    ) -> Float[Tensor, "n g g"]:
        """Sampling, of which only the attention is kept."""
        model = self.own if self.given is None else self.given.on(seen.device)
        assert model is not None
        maps = Maps(self.config.grid)
        with listening(model.told, maps):
            tokens, told = model.text(label, self.labels)
            given = model.given(seen, paint)
            model.schedule.set_timesteps(steps)
            for time in model.schedule.timesteps:
                out = model.unet(torch.cat([x, given], dim=1), time.to(x.device), tokens).sample.float()
                x = model.schedule.step(out, int(time), x).prev_sample
        return maps.prior(told, self.config.power)

    def learn(
        self,
        image: Float[Tensor, "n 3 r r"],
        visible: Float[Tensor, "n r r"],
        occluding: Float[Tensor, "n r r"],
        whole: Float[Tensor, "n r r"],
        known: Float[Tensor, "n r r"],
        label: Int[Tensor, " n"],
        noise: Noise,
    ) -> Float[Tensor, " n"]:
        """The loss of painting each object whole, on grey, over the cells that are ``known``, plus that of attention.

        Cells that are not known have the mean colour of what is visible under the noise.
        """
        assert self.own is not None
        label = torch.where(noise.uniform(image) < NAMELESS, -1, label) if self.config.category else label * 0 - 1
        seen, paint = self._condition(image, visible, occluding)
        usual = (image * visible[:, None]).sum(dim=(2, 3), keepdim=True) / visible.sum(dim=(1, 2)).clamp_min(1)[
            :, None, None, None
        ]
        clean = (2 * torch.where(known[:, None] > 0.5, image, usual) - 1) * whole[:, None]
        time = (noise.uniform(image) * TIMES).long().clamp_max(TIMES - 1)
        spoilt = self.own.schedule.add_noise(clean, self.noise(noise, image), time)
        tokens, told = self.own.text(label, self.labels)
        maps = Maps(self.config.grid)
        with listening(self.own.told, maps):
            out = self.own.unet(torch.cat([spoilt, self.own.given(seen, paint)], dim=1), time, tokens).sample
        wrong = (out.float() - clean).square().mean(dim=1) * known
        painting = wrong.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp_min(1)
        shape = _resized(rearrange(whole, "n h w -> n (h w) 1"), self.config.cells, self.config.grid)
        crossed = maps.crossed(told)
        # Once as well: else A_S may come to swap inside and outside, which an even tau puts right again.
        drawn = [crossed, maps.spread(crossed, 1), maps.spread(crossed, self.config.power)]
        off = (torch.cat(drawn, dim=2) - shape).square().mean(dim=1).sum(dim=1)
        return painting + self.config.bind * off

    def _condition(
        self, image: Float[Tensor, "n 3 r r"], visible: Float[Tensor, "n r r"], occluding: Float[Tensor, "n r r"]
    ) -> tuple[Float[Tensor, "n 3 r r"], Float[Tensor, "n 1 r r"]]:
        """The object's visible pixels, grey (0) elsewhere, and where may be painted."""
        visible = (visible > 0.5).to(image.dtype)[:, None]
        told = (occluding > 0.5).to(image.dtype)[:, None] if self.config.occluding else 1.0
        return (2 * image - 1) * visible, told * (1 - visible)


NAMELESS = 0.1
"""Share of objects that learn without their category, so that this can be left out."""


class Inpainter(nn.Module):
    """A small inpainting model on pixels; its text is one token a label."""

    def __init__(self, config: PriorConfig, labels: int) -> None:
        super().__init__()
        levels = len(config.widths)
        if levels < 2 or any(width % 8 for width in config.widths):
            raise ValueError(f"prior.widths must be two or more, divisible by 8, not {config.widths}")
        coarsest, odd = divmod(config.cells, 2 ** (levels - 1))
        if odd or not 1 <= coarsest <= config.grid <= config.cells:
            raise ValueError(
                f"prior.cells must be a multiple of {2 ** (levels - 1)}, and prior.grid lie between prior.cells and "
                f"{2 ** (levels - 1)} times fewer"
            )
        if config.text < 1 or min(config.widths) < 1 or config.bind < 0:
            raise ValueError("prior.text and widths must be at least 1, prior.bind at least 0")
        library = diffusers("the shape prior's UNet")
        self.unet = library.UNet2DConditionModel(
            sample_size=config.cells,
            in_channels=3 + 1 + 3,
            out_channels=3,
            layers_per_block=1,
            block_out_channels=config.widths,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
            up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
            cross_attention_dim=config.text,
            attention_head_dim=2,  # which diffusers takes for the number of heads
            norm_num_groups=8,
        )
        self.told = capture(self.unet)
        self.vocabulary = nn.Embedding(2 + labels, config.text)
        self.schedule = library.DDIMScheduler(
            num_train_timesteps=TIMES,
            beta_schedule="scaled_linear",
            prediction_type="sample",
            clip_sample=True,
            timestep_spacing="trailing",
        )

    def text(
        self, label: Int[Tensor, " n"], _labels: tuple[str, ...]
    ) -> tuple[Float[Tensor, "n 2 d"], Float[Tensor, "n 2"]]:
        """Tokens, and which of them is the category's."""
        known = torch.where(label >= 0, label + 2, NONE)
        ids = torch.stack([torch.full_like(known, BEGIN), known], dim=1)
        return self.vocabulary(ids), torch.tensor([0.0, 1.0], device=label.device).expand(len(label), 2)

    def given(self, seen: Float[Tensor, "n 3 r r"], paint: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n 4 r r"]:
        """What joins the noisy picture."""
        return torch.cat([paint, seen], dim=1)


class StableInpainting(nn.Module):
    """The pieces of a Stable-Diffusion inpainting model: tokenizer, text encoder, VAE, UNet and schedule."""

    def __init__(self, tokenizer: Any, encoder: nn.Module, vae: Any, unet: Any, schedule: Any) -> None:
        super().__init__()
        self.tokenizer, self.encoder, self.vae, self.unet, self.schedule = tokenizer, encoder, vae, unet, schedule
        self.told = capture(unet)

    @property
    def latents(self) -> tuple[int, int, int]:
        """Channels and sides of what is painted."""
        return self.vae.config.latent_channels, self.unet.config.sample_size, self.unet.config.sample_size

    @property
    def cells(self) -> int:
        """A side of the crops."""
        return int(self.unet.config.sample_size) * 2 ** (len(self.vae.config.block_out_channels) - 1)

    def text(
        self, label: Int[Tensor, " n"], labels: tuple[str, ...]
    ) -> tuple[Float[Tensor, "n k d"], Float[Tensor, "n k"]]:
        """Tokens, and the share of each in the category's: its words, or the text's end where there is none."""
        names = ["" if k < 0 else labels[k].replace("_", " ") for k in label.tolist()]
        prompts = [f"a photo of a {name}" if name else "" for name in names]
        ids = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        told = torch.zeros(ids.shape)
        for row, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
            # After the text's beginning come its words, and then its end.
            last = len(self.tokenizer(prompt, truncation=True).input_ids) - 1
            count = len(self.tokenizer(name, add_special_tokens=False).input_ids) if name else 0
            told[row, max(last - count, 1) : last] = 1
            if not told[row].any():
                told[row, last] = 1
        told = told / told.sum(dim=1, keepdim=True)
        return self.encoder(ids.to(label.device))[0], told.to(label.device)

    def given(self, seen: Float[Tensor, "n 3 r r"], paint: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n c z z"]:
        """What joins the noisy latents: where to paint, and the latents of what is seen."""
        latents = self.vae.encode(seen).latent_dist.mode() * self.vae.config.scaling_factor
        return torch.cat([interpolate(paint, size=latents.shape[-2:], mode="nearest"), latents], dim=1)


def read_inpainting(name: str, where: str = "prior.diffsp") -> StableInpainting:
    """By folder or name on the Hub, in diffusers' layout, safetensors only; InputError, which names the setting
    ``where``, if it cannot be had."""
    library = diffusers("a Stable-Diffusion inpainting model")
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = read_pretrained(library.UNet2DConditionModel, name, where, EXAMPLE, subfolder="unet")
    vae = read_pretrained(library.AutoencoderKL, name, where, EXAMPLE, subfolder="vae")
    encoder = read_pretrained(CLIPTextModel, name, where, EXAMPLE, subfolder="text_encoder")
    try:
        with one_line():
            tokenizer = CLIPTokenizer.from_pretrained(name, subfolder="tokenizer")
            schedule = library.DDIMScheduler.from_pretrained(name, subfolder="scheduler")
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # which the package takes for one
            raise ValueError("there is no vocabulary in tokenizer")
    except Exception as error:  # such as the tokenizer's own, which are of no narrower kind
        raise InputError(
            f"{where}: {name!r} is not complete: {first_line(error)}; {how_to_get(EXAMPLE, where)}"
        ) from error
    if unet.config.in_channels != 9:
        raise InputError(
            f"{where}: {name!r} does not inpaint: its UNet has {unet.config.in_channels} channels, and takes 9 to do so"
        )
    return StableInpainting(tokenizer, encoder, vae, unet, schedule)


EXAMPLE = "stable-diffusion-v1-5/stable-diffusion-inpainting"


def _square(weights: Float[Tensor, "n q q"], side: int, grid: int) -> Float[Tensor, "n g g"]:
    """Self-attention on grid x grid cells; rows sum to 1."""
    if side == grid:
        brought = weights
    else:
        over = _resized(weights, side, grid)
        brought = rearrange(_resized(rearrange(over, "n q k -> n k q"), side, grid), "n k q -> n q k")
    return brought / brought.sum(dim=-1, keepdim=True)


def _resized(weights: Float[Tensor, "n q k"], side: int, grid: int) -> Float[Tensor, "n g k"]:
    """Maps over side x side queries brought to grid x grid: linearly, or to the mean where that is coarser."""
    maps = rearrange(weights, "n (h w) k -> n k h w", h=side)
    if side < grid:
        maps = interpolate(maps, size=(grid, grid), mode="bilinear", align_corners=False)
    elif side > grid:
        maps = interpolate(maps, size=(grid, grid), mode="area")
    return rearrange(maps, "n k h w -> n (h w) k")
