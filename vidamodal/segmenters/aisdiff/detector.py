"""Where objects are: FCOS (2019) on a ResNet with a feature pyramid, or any DETR of transformers in its place.

Followed: focal loss on classes, centre-ness and GIoU of the distances to the four sides, an object on the level of its
size and only near its centre, of several that a place lies in the smallest one. Boxes are amodal: a region must hold
the whole object. By default all objects are one class to the detector, as they are to Faster R-CNN's region proposals,
and the category comes from the region's own features, which learns sooner where there are few pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, softplus

from vidamodal.backbones.pretrained import (
    UNREADABLE,
    Outside,
    first_line,
    one_line,
    read_pretrained,
    take_weights,
    transformers,
)
from vidamodal.backbones.resnet import MEAN, STD
from vidamodal.segmenters.aisdiff.roi import box_overlaps, generalised_iou, suppress
from vidamodal.types import InputError

REACH = 8.0
"""A level has the objects whose farthest side lies up to so many of its cells away."""
NEAR = 1.5
"""Places up to so many cells from an object's centre stand for it."""
GAMMA, ALPHA, RARE = 2.0, 0.25, 0.01
"""Of the focal loss, and the probability that it begins with."""


@dataclass(frozen=True)
class DetectorConfig:
    """The backbone as transformers' ResNetConfig names it, and what stands on it."""

    proposals: str = "fcos"
    """fcos | detr: who says where objects are."""
    stem: int = 16
    widths: tuple[int, ...] = (24, 48, 96, 128)
    depths: tuple[int, ...] = (1, 1, 1, 1)
    block: str = "basic"
    """basic | bottleneck"""
    pooled: bool = False
    """The stem halves the picture a second time, as published: for large canvases."""
    pretrained: str | None = None
    """A name on the Hub or a folder whose weights the backbone begins with. It then keeps its batch normalisation,
    frozen; one that learns from nothing normalises groups of channels, whatever the size of its batches."""
    width: int = 48
    """Channels of the pyramid, and of the regions' features."""
    tower: int = 2
    """Convolutions before the classes, and before the boxes."""
    classes: str = "one"
    """one | labels: what FCOS tells apart, to find objects: the category is read from what is found."""
    candidates: int = 200
    """Places of a picture that are looked at before suppression ..."""
    most: int = 32
    """... and regions that may remain."""
    mirrored: bool = True
    """FCOS looks at a picture's mirror image as well, and the mean of both counts."""
    least: float = 0.35
    """Their least score, which is the root of FCOS's product of class and centre-ness."""
    overlap: float = 0.5
    """IoU of boxes from which the worse one is suppressed, whatever its class: an object is found once."""
    detr: str | None = None
    """A folder or a name on the Hub with a model of the DETR family, used as it is: its labels are not asked."""


@dataclass(frozen=True)
class Proposals:
    """Regions of one picture, best first."""

    boxes: Float[Tensor, "n 4"]
    """Left, top, right, bottom in cells of the canvas."""
    scores: Float[Tensor, " n"]


@dataclass(frozen=True)
class Targets:
    """What FCOS has to say at each of l places."""

    object: Int[Tensor, "b l"]
    """Number of the object that a place stands for; -1: none."""
    box: Float[Tensor, "b l 4"]
    """Its box."""
    centred: Float[Tensor, "b l"]
    """Centre-ness (Eq. 3 of FCOS): 1 in the middle of the box; 0 where there is no object."""


class Detector(nn.Module):
    """Pictures (b, 3, s, s) to feature maps and proposals."""

    mean: Tensor
    deviation: Tensor
    points: Tensor
    strides: Tensor
    reach: Tensor
    mirror: Tensor

    def __init__(self, config: DetectorConfig, size: int, labels: tuple[str, ...]) -> None:
        super().__init__()
        if config.proposals not in ("fcos", "detr") or config.classes not in ("one", "labels"):
            raise ValueError("detector.proposals is fcos or detr, and detector.classes one or labels")
        if (config.proposals == "detr") != (config.detr is not None):
            raise ValueError("detector.detr names the model of proposals: detr, and of nothing else")
        if len(config.widths) != 4 or len(config.depths) != 4:
            raise ValueError("the detector's backbone has four stages: four widths and four depths")
        if config.width % 8 or any(width % 8 for width in (config.stem, *config.widths)):
            raise ValueError("the detector's widths must be divisible by 8")
        if config.block not in ("basic", "bottleneck"):
            raise ValueError(f"detector.block is {config.block!r}: choose basic or bottleneck")
        if min(config.stem, *config.widths, config.width, *config.depths, config.candidates, config.most) < 1:
            raise ValueError("the detector's widths and depths, candidates and most must be at least 1")
        if config.tower < 0 or not (0 <= config.least <= 1 and 0 <= config.overlap <= 1):
            raise ValueError("detector.tower must be at least 0, detector.least and overlap lie between 0 and 1")
        first = 4 if config.pooled else 2
        if size < 1 or size % (8 * first):
            raise ValueError(f"a canvas of {size} cells does not hold whole cells of the pyramid: {8 * first} each")
        self.config, self.stride = config, first
        self.backbone = _backbone(config)
        if config.pretrained is None:
            _normalise_groups(self.backbone)
        self.lateral = nn.ModuleList(nn.Conv2d(width, config.width, 1) for width in config.widths)
        levels = 4 if config.detr is None else 1
        self.smooth = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in range(levels))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.register_buffer("points", torch.cat([_places(size, first * k) for k in (2, 4, 8)]), persistent=False)
        cells = [(size // (first * k)) ** 2 for k in (2, 4, 8)]
        limits = [REACH * first * k for k in (2, 4)]
        ends = torch.tensor([[0.0, limits[0]], limits, [limits[1], math.inf]])
        counts = torch.tensor(cells)
        self.register_buffer("reach", ends.repeat_interleave(counts, dim=0), persistent=False)
        strides = torch.tensor([2.0, 4.0, 8.0]) * first
        self.register_buffer("strides", strides.repeat_interleave(counts), persistent=False)
        numbers = torch.arange(sum(cells)).split(cells)
        turned = [level.view(math.isqrt(len(level)), -1).flip(1).flatten() for level in numbers]
        self.register_buffer("mirror", torch.cat(turned), persistent=False)
        self.fcos = None
        self.detr: Outside | None = None
        if config.detr is None:
            self.fcos = Fcos(config, len(labels) if config.classes == "labels" and labels else 1)
        else:
            self.detr = Outside(read_detr, config.detr)

    def train(self, mode: bool = True) -> Detector:
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):  # of pretrained weights
                module.eval()
        return self

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> list[Float[Tensor, "b c _ _"]]:
        """The pyramid: for regions at ``stride`` cells, then for FCOS at 2, 4 and 8 times that."""
        maps = self.backbone((images - self.mean) / self.deviation).feature_maps
        brought = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        for k in (2, 1, 0):
            brought[k] = brought[k] + interpolate(brought[k + 1], scale_factor=2.0, mode="nearest")
        return [smooth(each) for smooth, each in zip(self.smooth, brought, strict=False)]

    @torch.no_grad()
    def propose(self, images: Float[Tensor, "b 3 s s"], maps: list[Float[Tensor, "b c _ _"]]) -> list[Proposals]:
        """The regions of each picture, from its pyramid or from the DETR."""
        if self.detr is not None:
            return self._by_detr(images)
        assert self.fcos is not None
        told: Sequence[Tensor] = self.fcos(maps[1:])
        if self.config.mirrored:
            turned = self._mirrored(*self.fcos(self(images.flip(-1))[1:]))
            told = [(one + other) / 2 for one, other in zip(told, turned, strict=True)]
        logits, sides, centred = (each.float() for each in told)
        scores = (logits.sigmoid().amax(dim=-1) * centred.sigmoid()).sqrt()  # FCOS's product has the same order
        boxes = self._boxes(sides).clamp(0, images.shape[-1])
        return [self._chosen(*each) for each in zip(boxes, scores, strict=True)]

    def targets(self, boxes: Float[Tensor, "b m 4"], valid: Bool[Tensor, "b m"]) -> Targets:
        """From the true boxes; those that are not valid only fill up."""
        points, corners = self.points[:, None, :], boxes[:, None]
        sides = torch.cat([points - corners[..., :2], corners[..., 2:] - points], dim=-1)
        far, near = sides.amax(dim=-1), sides.amin(dim=-1)
        off = (points - (corners[..., :2] + corners[..., 2:]) / 2).abs().amax(dim=-1)
        stands = (near > 0) & (off < NEAR * self.strides[:, None]) & valid[:, None]
        stands &= (far > self.reach[:, :1]) & (far <= self.reach[:, 1:])
        area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)[:, None].expand_as(far)
        smallest, chosen = torch.where(stands, area, math.inf).min(dim=-1)
        found = smallest.isfinite()
        box = boxes.gather(1, repeat(chosen, "b l -> b l four", four=4))
        left, top, right, bottom = sides.gather(2, repeat(chosen, "b l -> b l 1 four", four=4))[:, :, 0].unbind(dim=-1)
        ratio = (torch.minimum(left, right) * torch.minimum(top, bottom)) / (
            torch.maximum(left, right) * torch.maximum(top, bottom)
        ).clamp_min(1e-6)
        return Targets(torch.where(found, chosen, -1), box, torch.where(found, ratio.clamp_min(0).sqrt(), 0))

    def losses(
        self, maps: list[Float[Tensor, "b c _ _"]], targets: Targets, labels: Int[Tensor, "b m"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Sums over all places: the focal loss, that of centre-ness (both to be divided by the number of places that
        stand for an object) and GIoU's, weighted by centre-ness (to be divided by its sum)."""
        assert self.fcos is not None
        logits, sides, centred = (each.float() for each in self.fcos(maps[1:]))
        found = targets.object >= 0
        wanted = torch.zeros_like(logits)
        if logits.shape[-1] == 1:
            wanted[found] = 1
        else:
            label = labels.gather(1, targets.object.clamp_min(0))
            told = found & (label >= 0)
            wanted[told] = nn.functional.one_hot(label[told], logits.shape[-1]).to(wanted)
        cross = binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        missed = (logits.sigmoid() - wanted).abs() ** GAMMA
        focal = (cross * missed * torch.where(wanted > 0, ALPHA, 1 - ALPHA)).sum()
        centre = binary_cross_entropy_with_logits(centred[found], targets.centred[found], reduction="sum")
        apart = 1 - generalised_iou(self._boxes(sides)[found], targets.box[found])
        return focal, centre, (apart * targets.centred[found]).sum()

    def load_pretrained(self) -> None:
        """Put the weights of ``config.pretrained`` in, if there is one; InputError if they cannot be had or do not fit.

        Safetensors only; a folder, or a name on the Hub, which may be offline.
        """
        name, where = self.config.pretrained, "detector.pretrained"
        if name is not None:
            given = read_pretrained(_library().ResNetBackbone, name, where, "microsoft/resnet-18", out_features=_STAGES)
            take_weights(self.backbone, given, name, where)

    def pass_through(self, new: set[str]) -> set[str]:
        """Make blocks of the backbone add nothing at first, of those whose weights are all in `new`.

        A residual block whose last normalisation gives 0 passes on what it gets, which is positive already: a backbone
        that grows this way says at first what it said before. Returns the names of their weights.
        """
        passing: set[str] = set()
        for name, block in self.backbone.named_modules():
            if not hasattr(block, "shortcut") or not isinstance(block.shortcut, nn.Identity):
                continue
            weights = {f"backbone.{name}.{weight}" for weight in block.state_dict()}
            if weights <= new:
                last = block.layer[-1].normalization
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
                passing |= weights
        return passing

    def _boxes(self, sides: Float[Tensor, "b l 4"]) -> Float[Tensor, "b l 4"]:
        """From the distances to the sides, in cells of a place's level."""
        sides = sides * self.strides[:, None]
        return torch.cat([self.points - sides[..., :2], self.points + sides[..., 2:]], dim=-1)

    def _mirrored(
        self, logits: Float[Tensor, "b l k"], sides: Float[Tensor, "b l 4"], centred: Float[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b l k"], Float[Tensor, "b l 4"], Float[Tensor, "b l"]]:
        """What FCOS says of a mirror image, as of the picture itself."""
        return logits[:, self.mirror], sides[:, self.mirror][..., [2, 1, 0, 3]], centred[:, self.mirror]

    def _chosen(self, boxes: Float[Tensor, "l 4"], scores: Float[Tensor, " l"]) -> Proposals:
        order = torch.argsort(scores, descending=True, stable=True)[: self.config.candidates]
        order = order[scores[order] >= self.config.least]
        kept = order[
            suppress(box_overlaps(boxes[order], boxes[order]), scores[order], self.config.overlap)[: self.config.most]
        ]
        return Proposals(boxes[kept], scores[kept])

    def _by_detr(self, images: Float[Tensor, "b 3 s s"]) -> list[Proposals]:
        assert self.detr is not None
        boxes, scores = self.detr.on(images.device)(images)
        size = images.shape[-1]
        return [self._chosen(*each) for each in zip((boxes * size).clamp(0, size), scores, strict=True)]


class Fcos(nn.Module):
    """Classes, distances to the four sides and centre-ness at every place of the levels, with shared weights."""

    def __init__(self, config: DetectorConfig, classes: int) -> None:
        super().__init__()
        self.of_class, self.of_box = (_tower(config.width, config.tower) for _ in range(2))
        self.classes = nn.Conv2d(config.width, classes, 3, padding=1)
        self.sides = nn.Conv2d(config.width, 4, 3, padding=1)
        self.centred = nn.Conv2d(config.width, 1, 3, padding=1)
        nn.init.normal_(self.classes.weight, 0, 0.01)
        nn.init.constant_(self.classes.bias, -math.log(1 / RARE - 1))  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 2.0)  # type: ignore[arg-type]

    def forward(
        self, maps: list[Float[Tensor, "b c _ _"]]
    ) -> tuple[Float[Tensor, "b l k"], Float[Tensor, "b l 4"], Float[Tensor, "b l"]]:
        """Logits, distances in cells and logits, over the places of all levels."""
        out = []
        for each in maps:
            about, where = self.of_class(each), self.of_box(each)
            out.append((self.classes(about), softplus(self.sides(where)), self.centred(where)))
        logits, sides, centred = (
            torch.cat([rearrange(level, "b k h w -> b (h w) k") for level in kind], dim=1)
            for kind in zip(*out, strict=True)
        )
        return logits, sides, centred[..., 0]


class Detr(nn.Module):
    """A model of the DETR family, with the size and the colours that its image processor gives it."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, processor: Mapping[str, Any]) -> None:
        """``processor``: what stands in preprocessor_config.json; empty: colours as the first DETR has them, and the
        size that comes."""
        super().__init__()
        self.model = model
        told = [processor.get(name) or usual for name, usual in (("image_mean", MEAN), ("image_std", STD))]
        if not processor.get("do_normalize", True):
            told = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)]
        for name, values in zip(("mean", "deviation"), told, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1), persistent=False)
        size = processor.get("size") if processor.get("do_resize", True) else None
        if isinstance(size, dict):
            size = size.get("height", size.get("shortest_edge"))
        self.size = None if size is None else int(size)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b q 4"], Float[Tensor, "b q"]]:
        """Boxes as parts of the picture's side, and scores, of pictures in [0, 1]."""
        if self.size is not None and self.size != images.shape[-1]:
            images = interpolate(images, (self.size, self.size), mode="bilinear", antialias=True).clamp(0, 1)
        found = self.model(pixel_values=(images - self.mean) / self.deviation)
        config: Any = self.model.config
        logits, names = found.logits.float(), config.id2label
        # Some of the family have a last class that is none, the others say yes or no to each.
        shares = logits.softmax(dim=-1)[..., :-1] if logits.shape[-1] == len(names) + 1 else logits.sigmoid()
        middle, extent = found.pred_boxes.float().chunk(2, dim=-1)
        return torch.cat([middle - extent / 2, middle + extent / 2], dim=-1), shares.amax(dim=-1)


def read_detr(name: str) -> Detr:
    """A model of the DETR family, by folder or name on the Hub; InputError if it cannot be had."""
    library, where = transformers("the proposals of a DETR", "diffusion"), "detector.detr"
    model = read_pretrained(library.AutoModelForObjectDetection, name, where, "PekingU/rtdetr_r18vd")
    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").is_file():
        return Detr(model, {})
    try:
        with one_line():
            processor, _ = library.ImageProcessingMixin.get_image_processor_dict(name)
        return Detr(model, processor)
    except UNREADABLE as error:
        raise InputError(f"{where}: {name!r} does not say how pictures are prepared: {first_line(error)}") from error


def _tower(width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _places(size: int, stride: int) -> Float[Tensor, "l 2"]:
    """The centres (x, y) of a level's cells, row by row."""
    at = (torch.arange(size // stride) + 0.5) * stride
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).flatten(0, 1)


_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def _backbone(config: DetectorConfig) -> Any:
    settings = _library().ResNetConfig(
        embedding_size=config.stem,
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        layer_type=config.block,
        out_features=_STAGES,
    )
    backbone = _library().ResNetBackbone(settings)
    if not config.pooled:
        backbone.embedder.pooler = nn.Identity()
    return backbone


def _normalise_groups(module: nn.Module) -> None:
    """Normalise groups of channels in place of batches."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(8, child.num_features))
        else:
            _normalise_groups(child)


def _library() -> Any:
    return transformers("the detector's ResNet", "diffusion")
