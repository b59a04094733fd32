"""Detection of objects: FCOS on a ResNet with a feature pyramid, or a pretrained DETR.

Boxes are those of amodal masks, so that a region contains the whole object. By default the detector has one class for
all objects, like the region proposals of Faster R-CNN, and the category is predicted from the features of the region:
this learns faster from few images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.backbones.pretrained import ExternalNetwork
from vidamodal.backbones.resnet import IMAGENET_MEAN, IMAGENET_STD, Block, build_resnet, load_resnet_weights
from vidamodal.segmenters.aisdiff.detr import read_detr
from vidamodal.segmenters.aisdiff.fcos import Fcos, FcosOutput, FcosTargets, Locations, fcos_losses
from vidamodal.segmenters.aisdiff.roi import box_overlaps, suppress


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of the detector; the backbone is described in the terms of transformers' ResNetConfig."""

    proposals: Literal["fcos", "detr"] = "fcos"
    """The model that proposes regions."""
    stem: int = 16
    widths: tuple[int, ...] = (24, 48, 96, 128)
    depths: tuple[int, ...] = (1, 1, 1, 1)
    block: Block = "basic"
    pooled: bool = False
    """Halve the resolution a second time in the stem, as in the original ResNet: for large canvases."""
    pretrained: str | None = None
    """Folder or Hub name of weights that the backbone starts from. Its batch normalisation is then frozen; a backbone
    that is trained from scratch uses group normalisation, which does not depend on the batch size."""
    width: int = 48
    """Channels of the pyramid and of the regions' features."""
    tower: int = 2
    """Convolutions of FCOS before the classes, and before the boxes."""
    classes: Literal["one", "labels"] = "one"
    """Classes of FCOS. They only serve detection: the category is predicted from the region."""
    candidates: int = 200
    """Locations of an image that enter non-maximum suppression."""
    most: int = 32
    """Maximum number of regions of an image."""
    mirrored: bool = True
    """Average the output of FCOS for an image and for its mirror image."""
    least: float = 0.35
    """Minimum score of a region: the square root of FCOS's product of class probability and centerness."""
    overlap: float = 0.5
    """IoU of boxes above which the one with the lower score is suppressed, also if their classes differ."""
    detr: str | None = None
    """Folder or Hub name of a model of the DETR family, which stays frozen. Its categories are ignored."""


@dataclass(frozen=True)
class Proposals:
    """Regions of one image, by decreasing score."""

    boxes: Float[Tensor, "n 4"]
    """Left, top, right and bottom in cells of the canvas."""
    scores: Float[Tensor, " n"]


class Detector(nn.Module):
    """Feature pyramid and region proposals of images."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: DetectorConfig, size: int, labels: tuple[str, ...]) -> None:
        """Build the detector.

        Args:
            config: Settings.
            size: Cells per side of the canvas.
            labels: Names of the categories.
        """
        super().__init__()
        _check_config(config)
        self.config, self.stride = config, 4 if config.pooled else 2
        if size < 1 or size % (8 * self.stride):
            raise ValueError(f"a canvas of {size} cells is not a multiple of the pyramid's {8 * self.stride} cells")
        self.backbone = build_resnet(config.stem, config.widths, config.depths, config.block, config.pooled)
        if config.pretrained is None:
            _use_group_norm(self.backbone)
        self.lateral = nn.ModuleList(nn.Conv2d(width, config.width, 1) for width in config.widths)
        levels = 4 if config.detr is None else 1
        self.smooth = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in range(levels))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.locations = Locations(size, self.stride)
        self.fcos: Fcos | None = None
        self.detr: ExternalNetwork | None = None
        if config.detr is None:
            classes = len(labels) if config.classes == "labels" and labels else 1
            self.fcos = Fcos(config.width, config.tower, classes)
        else:
            self.detr = ExternalNetwork(read_detr, config.detr)

    def train(self, mode: bool = True) -> Detector:
        """Set the training mode; batch normalisation, which only pretrained backbones have, stays frozen."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> list[Float[Tensor, "b c _ _"]]:
        """Return the pyramid of images with colours in [0, 1].

        The first map, at ``stride`` cells, is for regions. Those for FCOS follow, at 2, 4 and 8 times this stride.
        """
        maps = self.backbone((images - self.mean) / self.deviation).feature_maps
        merged = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        for k in (2, 1, 0):
            merged[k] = merged[k] + interpolate(merged[k + 1], scale_factor=2.0, mode="nearest")
        return [smooth(each) for smooth, each in zip(self.smooth, merged, strict=False)]

    @torch.no_grad()
    def propose(self, images: Float[Tensor, "b 3 s s"], maps: list[Float[Tensor, "b c _ _"]]) -> list[Proposals]:
        """Return the regions of each image.

        Args:
            images: Colours in [0, 1].
            maps: Their pyramid.
        """
        size = images.shape[-1]
        if self.detr is not None:
            boxes, scores = self.detr.on(images.device)(images)
            boxes = boxes * size
        else:
            output = self._fcos_output(images, maps)
            # The square root does not change the order of FCOS's product.
            scores = (output.logits.sigmoid().amax(dim=-1) * output.centerness.sigmoid()).sqrt()
            boxes = self.locations.boxes(output.sides)
        return [self._select(*each) for each in zip(boxes.clamp(0, size), scores, strict=True)]

    def targets(self, boxes: Float[Tensor, "b m 4"], valid: Bool[Tensor, "b m"]) -> FcosTargets:
        """Return the training targets of FCOS; see `Locations.targets`."""
        return self.locations.targets(boxes, valid)

    def losses(
        self, maps: list[Float[Tensor, "b c _ _"]], targets: FcosTargets, labels: Int[Tensor, "b m"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the losses of FCOS for a pyramid; see `fcos_losses`."""
        assert self.fcos is not None
        output = self.fcos(maps[1:]).float()
        return fcos_losses(output, self.locations.boxes(output.sides), targets, labels)

    def load_pretrained(self) -> None:
        """Load the backbone's weights and the DETR that the config names, if any.

        Raises:
            InputError: If they cannot be loaded or do not fit.
        """
        if self.config.pretrained is not None:
            load_resnet_weights(self.backbone, self.config.pretrained, "detector.pretrained", "microsoft/resnet-18")
        if self.detr is not None:
            self.detr.on(torch.device("cpu"))

    def initialize_as_identity(self, new: set[str]) -> set[str]:
        """Initialise new residual blocks of the backbone so that they do not change their input.

        The last normalisation of such a block returns 0; its input is positive, so that the final rectifier keeps it.

        Args:
            new: Names of the weights that an earlier model lacks.

        Returns:
            The names of the weights of these blocks. All weights of a block must be new.
        """
        initialized: set[str] = set()
        for name, block in self.backbone.named_modules():
            if not hasattr(block, "shortcut") or not isinstance(block.shortcut, nn.Identity):
                continue
            weights = {f"backbone.{name}.{weight}" for weight in block.state_dict()}
            if weights <= new:
                last = block.layer[-1].normalization
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
                initialized |= weights
        return initialized

    def _fcos_output(self, images: Float[Tensor, "b 3 s s"], maps: list[Float[Tensor, "b c _ _"]]) -> FcosOutput:
        assert self.fcos is not None
        output: FcosOutput = self.fcos(maps[1:])
        if not self.config.mirrored:
            return output.float()
        other = self.locations.flip(self.fcos(self(images.flip(-1))[1:]))
        pairs = ((output.logits, other.logits), (output.sides, other.sides), (output.centerness, other.centerness))
        return FcosOutput(*((one + two) / 2 for one, two in pairs)).float()

    def _select(self, boxes: Float[Tensor, "l 4"], scores: Float[Tensor, " l"]) -> Proposals:
        """Apply the limits on scores, overlaps and numbers."""
        order = torch.argsort(scores, descending=True, stable=True)[: self.config.candidates]
        order = order[scores[order] >= self.config.least]
        overlaps = box_overlaps(boxes[order], boxes[order])
        kept = order[suppress(overlaps, scores[order], self.config.overlap)[: self.config.most]]
        return Proposals(boxes[kept], scores[kept])


def _check_config(config: DetectorConfig) -> None:
    if (config.proposals == "detr") != (config.detr is not None):
        raise ValueError("detector.detr must be set if detector.proposals is detr, and only then")
    if len(config.widths) != 4 or len(config.depths) != 4:
        raise ValueError("detector.widths and detector.depths must have four entries, one for each stage")
    if config.width % 8 or any(width % 8 for width in (config.stem, *config.widths)):
        raise ValueError("detector.stem, widths and width must be divisible by 8")
    if min(config.stem, *config.widths, config.width, *config.depths, config.candidates, config.most) < 1:
        raise ValueError("detector.stem, widths, depths, width, candidates and most must be at least 1")
    if config.tower < 0 or not (0 <= config.least <= 1 and 0 <= config.overlap <= 1):
        raise ValueError("detector.tower must be at least 0, detector.least and detector.overlap between 0 and 1")


def _use_group_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(8, child.num_features))
        else:
            _use_group_norm(child)
