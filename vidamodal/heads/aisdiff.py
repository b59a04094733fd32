"""AISDiff (2024): amodal instances with a shape prior from diffusion, from bare frames or beside masks.

Followed: a detector gives regions (section 3.1); of each, two branches segment what hides it and what is visible of
it, as in BCNet, and the visible one names its category; DiffSP (`DiffSP`) paints it whole and tells
where it looked; an attention map that is learnt, times that prior, times the amodal feature gives the amodal mask
(section 3.2, Fig. 3); all learn together by Eq. 1, whose detection loss is here that of FCOS.

Where the paper is silent: regions are a little larger than their boxes; graphs are complete, over the region's cells,
weighted by how alike their features are; what hides an object is what shows of all objects that hide part of it.

As a framewise head it sees the object's own visible mask, what others show in front of it and, where there is one, the
transformer's coarse mask, which it begins as a copy of; no category is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, normalize

from vidamodal.data.crops import TrackCrops
from vidamodal.heads.base import FrameSegmenter, FramewiseHead, HeadInputs
from vidamodal.heads.cumulative import in_front
from vidamodal.noise import Noise
from vidamodal.occlusion.layers import frame_layers
from vidamodal.segmenters.aisdiff.detector import Detector, DetectorConfig, Proposals
from vidamodal.segmenters.aisdiff.diffsp import DiffSP, PriorConfig
from vidamodal.segmenters.aisdiff.roi import enlarged, mask_overlaps, paste_masks, roi_align, suppress
from vidamodal.types import FrameInstance, InputError

JITTER = 0.06
"""How far regions are off in training, in sides (standard deviation)."""
HIDDEN, SHIFT = 0.8, 0.7
"""Share of objects that are hidden a second time to learn painting, and up to how many sides off what hides them is."""
COARSE = 6.0
"""Logits are this far from 0 at most where the head reads the coarse mask."""


@dataclass(frozen=True)
class SegmenterConfig:
    """Of the segmenter of bare frames."""

    size: int = 128
    """Cells a side of the canvas that frames are brought to."""
    labels: tuple[str, ...] = ()
    """The categories; empty: training finds them in its data."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    bins: int = 14
    """A side of a region's features; its masks have twice as many."""
    margin: float = 1.2
    """Sides of a region over those of its box."""
    shape_prior: bool = True
    """Off: no DiffSP, and the amodal feature is weighed by the attention alone. A control."""
    amodal: str = "predicted"
    """predicted | visible: copied from the visible branch. A control."""
    noise: str = "clip"
    """clip | frame: whether the frames of a clip share their noise."""
    least_score: float = 0.35
    """Instances below it are left out: weak ones lead tracks astray."""
    least_area: int = 4
    """Of an instance, so many cells must show."""
    same: float = 0.5
    """IoU of visible masks from which the worse instance is left out: boxes of different objects overlap in heaps, what
    shows of them does not."""
    learning_regions: int = 8
    """Of each picture, so many regions are learnt from; with 0 the detector learns alone, in a sixth of the time."""
    learning_steps: int = 2
    """Steps of DiffSP while the rest learns ..."""
    true_masks: float = 0.5
    """... and the share of regions in which it then sees the true masks, in place of the predicted ones."""


@dataclass(frozen=True)
class Config:
    """Of the framewise head."""

    width: int = 48
    """Channels of the region's features, which have a quarter of the window's cells a side."""
    image: bool = True
    """It sees the window's colours. DiffSP paints them, so that without them there is no shape prior."""
    shape_prior: bool = True
    prior: PriorConfig = field(default_factory=PriorConfig)
    per: str = "track"
    """track | frame: the prior is that of the frame in which most of the object is seen, of those that are completed
    together (a chunk of its track), or each frame has its own."""
    diffsp: str | None = None
    """A trained AISDiff segmenter, by folder or name, whose DiffSP this head begins with, and keeps as it is."""
    learning_steps: int = 2
    """Steps of DiffSP while the head learns."""


class GraphConvolution(nn.Module):
    """A layer of a graph convolution network (Kipf and Welling, 2017) over a region's cells, added to its input; edges
    are learnt from the features, as in BCNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width, width // 2, 1)
        self.value = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.GroupNorm(8, width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        nodes = "n c h w -> n (h w) c"
        query, key, value = (rearrange(part(x), nodes) for part in (self.query, self.key, self.value))
        edges = (query @ rearrange(key, "n k c -> n c k") * query.shape[-1] ** -0.5).softmax(dim=-1)
        return x + torch.relu(self.norm(rearrange(edges @ value, "n (h w) c -> n c h w", h=x.shape[2])))


class Branch(nn.Module):
    """Feature extraction and mask prediction of the occluding or of the visible mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.extract = nn.Sequential(convolution(width, width), GraphConvolution(width), convolution(width, width))
        self.predict = MaskPrediction(width)

    def forward(self, x: Float[Tensor, "n c r r"]) -> tuple[Float[Tensor, "n c r r"], Float[Tensor, "n m m"]]:
        """Features, and logits at twice the resolution."""
        features = self.extract(x)
        return features, self.predict(features)[:, 0]


class MaskPrediction(nn.Sequential):
    """A 2 x 2 transposed convolution of stride 2 and one of 1 x 1."""

    def __init__(self, width: int, planes: int = 1) -> None:
        super().__init__(nn.ConvTranspose2d(width, width, 2, stride=2), nn.ReLU(), nn.Conv2d(width, planes, 1))


class AmodalPredictor(nn.Module):
    """The Shape Prior Amodal Predictor (Fig. 3)."""

    def __init__(self, width: int, planes: int = 1) -> None:
        super().__init__()
        self.extract = nn.Sequential(convolution(width, width), convolution(width, width))
        self.attend = nn.Sequential(convolution(width, width), nn.Conv2d(width, 1, 3, padding=1), nn.Sigmoid())
        self.predict = MaskPrediction(width, planes)

    def forward(
        self, x: Float[Tensor, "n c r r"], prior: Float[Tensor, "n g g"] | None
    ) -> Float[Tensor, "n planes m m"]:
        """Logits at twice the resolution; without a prior, that is 1 everywhere."""
        amodal = self.extract(x)
        attention = self.attend(amodal)
        if prior is not None:
            attention = attention * interpolate(prior[:, None], size=x.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.predict(attention * amodal)
        return logits


@dataclass(frozen=True)
class FrameTruth:
    """b pictures of s x s cells with their true instances, m places for each of them."""

    image: Float[Tensor, "b 3 s s"]
    """Colours in [0, 1]."""
    boxes: Float[Tensor, "b m 4"]
    """Of the amodal masks: left, top, right, bottom in cells."""
    labels: Int[Tensor, "b m"]
    """Numbers of the vocabulary; -1: not known."""
    visible: Bool[Tensor, "b m s s"]
    amodal: Bool[Tensor, "b m s s"]
    occluding: Bool[Tensor, "b m s s"]
    """What shows of all objects that hide part of it."""
    valid: Bool[Tensor, "b m"]
    """False where there is no instance."""

    @property
    def size(self) -> int:
        """How many instances."""
        return int(self.valid.sum())

    @staticmethod
    def join(parts: Sequence[FrameTruth]) -> FrameTruth:
        """All pictures of several samples."""
        return FrameTruth(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(FrameTruth)))


@dataclass(frozen=True)
class Drawn:
    """Some instances of each picture, r of each, as n = b r regions."""

    boxes: Float[Tensor, "n 4"]
    image: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    masks: Float[Tensor, "n 3 s s"]
    """Visible, amodal and occluding."""
    weight: Float[Tensor, " n"]
    """0 where a picture has no more instances."""

    @staticmethod
    def of(truth: FrameTruth, count: int, jitter: float, noise: Noise) -> Drawn:
        """Each instance as likely as another, its box moved and resized by so many sides (standard deviation)."""
        count = min(count, truth.valid.shape[1])
        order = torch.where(truth.valid, noise.uniform(truth.boxes, truth.valid.shape[1]), 2.0)
        chosen = order.argsort(dim=1)[:, :count]

        def take(values: Tensor) -> Tensor:
            rows = torch.arange(len(values), device=values.device)[:, None]
            return rearrange(values[rows, chosen], "b r ... -> (b r) ...")

        boxes = take(truth.boxes)
        moved = rearrange(noise.normal(truth.boxes, count, 4), "b r four -> (b r) four")
        boxes = boxes + jitter * moved * repeat(boxes[:, 2:] - boxes[:, :2], "n two -> n (side two)", side=2)
        masks = torch.stack([take(each) for each in (truth.visible, truth.amodal, truth.occluding)], dim=1).float()
        image = torch.arange(len(truth.boxes), device=boxes.device).repeat_interleave(count)
        return Drawn(boxes, image, take(truth.labels), masks, take(truth.valid).float())

    def within(self, boxes: Float[Tensor, "n 4"], cells: int) -> Float[Tensor, "n 3 cells cells"]:
        """The masks in boxes of their own."""
        own = torch.arange(len(boxes), device=boxes.device)
        return (roi_align(self.masks, boxes, own, cells) >= 0.5).float()


@dataclass(frozen=True)
class Regions:
    """What the visible part of the network says of n regions; masks are logits, with m cells a side."""

    boxes: Float[Tensor, "n 4"]
    """Enlarged by the margin."""
    image: Int[Tensor, " n"]
    """The picture that each lies in."""
    features: Float[Tensor, "n c r r"]
    occluding: Float[Tensor, "n m m"]
    visible: Float[Tensor, "n m m"]
    about: Float[Tensor, "n c"]
    """The visible branch's features, averaged."""
    labels: Float[Tensor, "n k"]
    """Logits of the categories; none (k = 0) where there are no labels."""


class Segmenter(FrameSegmenter):
    """Whole frames to instances in layers.

    Visible masks do not overlap: a cell goes to the instance with the greatest score times probability. Layers follow
    from the visible and the amodal masks. An instance's score is the detector's, times the expected IoU of its amodal
    mask under the predictor's probabilities; its appearance is the region's feature and that of its visible branch,
    averaged. Priors are drawn anew in each frame: who is who is only found out from what this gives.
    """

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        for name, allowed in (("amodal", ("predicted", "visible")), ("noise", ("clip", "frame"))):
            if getattr(config, name) not in allowed:
                raise ValueError(f"segmenter.{name} is {getattr(config, name)!r}: choose {' or '.join(allowed)}")
        if min(config.bins, config.least_area, config.learning_steps, config.margin) < 1 or config.learning_regions < 0:
            raise ValueError(
                "segmenter.bins, least_area, learning_steps and margin must be at least 1, learning_regions at least 0"
            )
        for name in ("least_score", "same", "true_masks"):
            if not 0 <= getattr(config, name) <= 1:  # nor NaN
                raise ValueError(f"segmenter.{name} lies between 0 and 1, not at {getattr(config, name)}")
        if config.learning_regions == 0 and config.detector.proposals != "fcos":
            raise ValueError("with segmenter.learning_regions: 0 FCOS learns alone, and a DETR stays as it is")
        self.config: SegmenterConfig = config
        width = config.detector.width
        self.detector = Detector(config.detector, config.size, config.labels)
        self.occluding, self.visible = Branch(width), Branch(width)
        self.category = nn.Linear(width, len(config.labels)) if config.labels else None
        predicted = config.amodal == "predicted"
        self.amodal = AmodalPredictor(width) if predicted else None
        self.prior = DiffSP(config.prior, config.labels) if predicted and config.shape_prior else None

    @property
    def size(self) -> int:
        return self.config.size

    @property
    def paints(self) -> bool:
        """Whether there is a model of our own that learns to paint."""
        return self.prior is not None and self.prior.own is not None

    def load_pretrained(self) -> None:
        """Put weights in that the config names; InputError if they cannot be had."""
        self.detector.load_pretrained()
        for outside in (self.detector.detr, None if self.prior is None else self.prior.given):
            if outside is not None:
                outside.on(torch.device("cpu"))

    def pass_through(self, new: set[str]) -> set[str]:
        """The detector's backbone can grow."""
        of = "detector."
        within = {name.removeprefix(of) for name in new if name.startswith(of)}
        return {of + name for name in self.detector.pass_through(within)}

    def use_diffsp(self, name: str) -> None:
        """Draw priors from the Stable-Diffusion inpainting model of this folder or name on the Hub from now on.

        InputError if it cannot be had, or if this segmenter has no use for one.
        """
        if self.prior is None:
            raise InputError("this segmenter has no shape prior that could be drawn from another model")
        self.prior.take(name)

    @torch.no_grad()
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        return [self._instances(frame[None], seed) for frame, seed in zip(frames, seeds, strict=True)]

    def look(
        self, maps: list[Float[Tensor, "b c _ _"]], boxes: Float[Tensor, "n 4"], image: Int[Tensor, " n"]
    ) -> Regions:
        """Occlusion-aware visible segmentation of regions, from the pictures' pyramid."""
        boxes = enlarged(boxes, self.config.margin)
        features = roi_align(maps[0], boxes, image, self.config.bins, self.detector.stride)
        behind, occluding = self.occluding(features)
        about, visible = self.visible(features + behind)
        about = reduce(about, "n c h w -> n c", "mean")
        labels = about[:, :0] if self.category is None else self.category(about)
        return Regions(boxes, image, features, occluding, visible, about, labels)

    def shape_prior(
        self,
        images: Float[Tensor, "b 3 s s"],
        regions: Regions,
        visible: Float[Tensor, "n m m"],
        occluding: Float[Tensor, "n m m"],
        label: Int[Tensor, " n"],
        noise: Float[Tensor, "n c z z"],
        steps: int | None = None,
    ) -> Float[Tensor, "n g g"]:
        """M_sp of each region, from its masks' probabilities and its label."""
        assert self.prior is not None
        cells = self.prior.cells(images.device)
        crops = roi_align(images, regions.boxes, regions.image, cells)
        visible, occluding = (
            interpolate(each[:, None], size=(cells, cells), mode="bilinear", align_corners=False)[:, 0]
            for each in (visible, occluding)
        )
        prior: Tensor = self.prior(crops, visible, occluding, label, noise, steps)
        return prior

    def learn(self, truth: FrameTruth, regions: int, noise: Noise) -> dict[str, Tensor]:
        """The parts of Eq. 1, each a sum: ``places`` and ``sides`` of the detector (see `Detector.losses`), and over
        so many regions of each picture, at true boxes that are moved a little, ``class``, ``visible``, ``occluding``
        and ``amodal``; no regions, none of these."""
        maps = self.detector(truth.image)
        parts: dict[str, Tensor] = {}
        if self.detector.fcos is not None:
            targets = self.detector.targets(truth.boxes, truth.valid)
            focal, centre, sides = self.detector.losses(maps, targets, truth.labels)
            parts |= {"places": focal + centre, "sides": sides}
        if not regions:
            return parts
        drawn = Drawn.of(truth, regions, JITTER, noise)
        found = self.look(maps, drawn.boxes, drawn.image)
        visible, amodal, occluding = drawn.within(found.boxes, 2 * self.config.bins).unbind(dim=1)
        told = drawn.weight * (drawn.labels >= 0)
        if self.config.labels:
            parts["class"] = (
                told * cross_entropy(found.labels.float(), drawn.labels.clamp_min(0), reduction="none")
            ).sum()
        parts["visible"] = (drawn.weight * _cross_entropy(found.visible, visible)).sum()
        parts["occluding"] = (drawn.weight * _cross_entropy(found.occluding, occluding)).sum()
        if self.amodal is not None:
            prior = None
            if self.prior is not None:
                drawing = rearrange(noise.uniform(truth.boxes, len(told) // len(truth.boxes)), "b r -> (b r)")
                known = drawing < self.config.true_masks
                mine = known[:, None, None]
                prior = self.shape_prior(
                    truth.image, found,
                    torch.where(mine, visible, found.visible.detach().float().sigmoid()),
                    torch.where(mine, occluding, found.occluding.detach().float().sigmoid()),
                    torch.where(known, drawn.labels, self._label(found)),
                    self.prior.noise(noise, told), self.config.learning_steps,
                )  # fmt: skip
            logits = self.amodal(found.features, prior)[:, 0]
            parts["amodal"] = (drawn.weight * _cross_entropy(logits, amodal)).sum()
        return parts

    def learn_to_paint(self, truth: FrameTruth, regions: int, noise: Noise) -> Float[Tensor, ""]:
        """The sum of DiffSP's losses over so many objects of each picture.

        Objects are painted whole, and nobody knows the colours of what is really hidden: those cells are left out of
        the loss. Instead most objects are hidden a second time, behind the silhouette of another one of the picture,
        where the colours are known.
        """
        assert self.prior is not None
        cells = self.config.prior.cells
        drawn = Drawn.of(truth, regions, JITTER, noise)
        boxes = enlarged(drawn.boxes, self.config.margin)
        image = roi_align(truth.image, boxes, drawn.image, cells)
        visible, whole, occluding = drawn.within(boxes, cells).unbind(dim=1)
        where = noise.uniform(drawn.weight, 3)
        front = self._another(drawn, boxes, SHIFT * (2 * where[:, :2] - 1), len(truth.boxes), cells)
        front = front * (where[:, 2] < HIDDEN)[:, None, None]
        known = 1 - (whole - visible).clamp_min(0)
        losses = self.prior.learn(
            image, visible * (1 - front), torch.maximum(occluding, front), whole, known, drawn.labels, noise
        )
        return (drawn.weight * losses).sum()

    def _another(
        self, drawn: Drawn, boxes: Float[Tensor, "n 4"], shift: Float[Tensor, "n 2"], pictures: int, cells: int
    ) -> Float[Tensor, "n cells cells"]:
        """What shows of the next region's object, moved by so many sides of its own region."""
        following = torch.arange(len(boxes), device=boxes.device).view(pictures, -1).roll(-1, dims=1).flatten()
        boxes = boxes[following]
        boxes = boxes + repeat(shift * (boxes[:, 2:] - boxes[:, :2]), "n two -> n (side two)", side=2)
        shown = drawn.masks[following, :1] * drawn.weight[following, None, None, None]
        return (roi_align(shown, boxes, torch.arange(len(boxes), device=boxes.device), cells)[:, 0] >= 0.5).float()

    def _instances(self, image: Float[Tensor, "1 3 s s"], seed: int) -> list[FrameInstance]:
        maps = self.detector(image)
        (found,) = self.detector.propose(image, maps)
        if not len(found.scores):
            return []
        regions = self.look(maps, found.boxes, torch.zeros(len(found.scores), dtype=torch.long, device=image.device))
        seen, label = regions.visible.float().sigmoid(), self._label(regions)
        whole = seen
        if self.amodal is not None:
            prior = None
            if self.prior is not None:
                noise = self.prior.noise(Noise.of(seed), image).expand(len(label), -1, -1, -1)
                occluding = regions.occluding.float().sigmoid()
                prior = self.shape_prior(image, regions, seen, occluding, label, noise)
            whole = self.amodal(regions.features, prior)[:, 0].float().sigmoid()
        return self._assembled(found, regions, seen, whole, label)

    def _label(self, regions: Regions) -> Int[Tensor, " n"]:
        if self.category is None:
            return torch.full_like(regions.image, -1)
        return regions.labels.argmax(dim=1)

    def _assembled(
        self,
        found: Proposals,
        regions: Regions,
        seen: Float[Tensor, "n m m"],
        whole: Float[Tensor, "n m m"],
        label: Int[Tensor, " n"],
    ) -> list[FrameInstance]:
        """The instances of a frame on its canvas, those in front first."""
        scores = found.scores.float() * _expected_iou(whole)
        probability = paste_masks(seen, regions.boxes, self.size)
        single = suppress(mask_overlaps(probability > 0.5), scores, self.config.same)
        scores = torch.zeros_like(scores).index_copy(0, single, scores[single])
        claims = torch.where(probability > 0.5, probability * scores[:, None, None], 0)
        best, owner = claims.max(dim=0)
        numbers = torch.arange(len(scores), device=owner.device)
        visible = ((owner == numbers[:, None, None]) & (best > 0)).cpu().numpy()
        amodal = (paste_masks(whole, regions.boxes, self.size) > 0.5).cpu().numpy() | visible
        about = torch.cat([reduce(regions.features, "n c h w -> n c", "mean"), regions.about], dim=1).float()
        appearance = normalize(about, dim=1).cpu().numpy()
        shown = np.count_nonzero(visible, axis=(1, 2)) >= self.config.least_area
        (kept,) = np.nonzero(shown & (scores >= self.config.least_score).cpu().numpy())
        layers, _ = frame_layers(visible[kept], amodal[kept])
        names = [self.config.labels[k] if k >= 0 else None for k in label.tolist()]
        out = [
            FrameInstance(visible[k], amodal[k], int(layer), names[k], float(scores[k]), appearance[k])
            for k, layer in zip(kept, layers, strict=True)
        ]
        return sorted(out, key=lambda each: (each.layer, -each.score))


def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """3 x 3, normalised over groups of channels, and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(8, after), nn.ReLU()
    )


def _cross_entropy(logits: Float[Tensor, "n m m"], truth: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """The mean over each region."""
    return binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").mean(dim=(1, 2))


def _expected_iou(probability: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """Of the mask from one half up, where each cell is inside with its probability, by itself."""
    inside = (probability > 0.5).to(probability.dtype)
    shared = (probability * inside).sum(dim=(1, 2))
    return shared / (inside.sum(dim=(1, 2)) + (probability * (1 - inside)).sum(dim=(1, 2))).clamp_min(1e-6)


class Head(FramewiseHead):
    """Completes one object in its window; its prior is painted behind what others show in front of it."""

    order = True

    def __init__(self, config: Config, crop: int, channels: int) -> None:
        super().__init__(config, crop, channels)
        if config.per not in ("track", "frame"):
            raise ValueError(f"head.per is {config.per!r}: choose track or frame")
        if config.width % 8 or crop % 4:
            raise ValueError("head.width must be divisible by 8, and the window's cells by 4")
        if config.shape_prior and not config.image:
            raise ValueError("head.shape_prior paints colours: leave image on, or switch the prior off")
        self.config, self.pixels, self.joined = config, config.image, channels > 0
        self.draws = config.shape_prior
        planes = 3 * config.image + 2 + self.joined
        self.enter = nn.Sequential(convolution(planes, config.width, 2), convolution(config.width, config.width, 2))
        self.bring = nn.Conv2d(channels, config.width, 1) if channels else None
        self.amodal = AmodalPredictor(config.width, 4)
        self.prior = DiffSP(config.prior, ()).requires_grad_(False) if config.shape_prior else None
        if self.joined:  # it begins as a copy of the coarse mask
            for parameter in self.amodal.predict[-1].parameters():
                nn.init.zeros_(parameter)

    def requires_grad_(self, requires_grad: bool = True) -> Head:
        """But for DiffSP, which learns elsewhere."""
        super().requires_grad_(requires_grad)
        if self.prior is not None:
            self.prior.requires_grad_(False)
        return self

    def forward(self, inputs: HeadInputs) -> Float[Tensor, "b t s s"]:
        return self._complete(inputs, None)

    def learn(self, inputs: HeadInputs, _truth: Float[Tensor, "b t s s"]) -> Float[Tensor, "b t s s"]:
        """With a prior drawn in fewer steps."""
        return self._complete(inputs, self.config.learning_steps)

    def _complete(self, inputs: HeadInputs, steps: int | None) -> Float[Tensor, "b t s s"]:
        b, crops, coarse = len(inputs.coarse), inputs.crops, inputs.coarse.float()
        planes = [torch.stack([crops.visible, in_front(crops)], dim=2)]
        if self.config.image:
            planes.insert(0, _colours(crops))
        if self.joined:
            planes.append(torch.sigmoid(coarse)[:, :, None])
        x = self.enter(rearrange(torch.cat(planes, dim=2), "b t c s r -> (b t) c s r"))
        # What the transformer knows of this track.
        if self.bring is not None:
            features = self.bring(rearrange(inputs.features, "b t c g k -> (b t) c g k"))
            x = x + interpolate(features, size=x.shape[-2:], mode="bilinear", align_corners=False)
        prior = None if self.prior is None else rearrange(self.shape_prior(inputs, steps), "b t g k -> (b t) g k")
        delta = nn.functional.pixel_shuffle(self.amodal(x, prior).float(), 2)
        delta = rearrange(delta, "(b t) 1 s r -> b t s r", b=b)
        return coarse + delta if self.joined else delta

    def shape_prior(self, inputs: HeadInputs, steps: int | None = None) -> Float[Tensor, "b t g g"]:
        """M_sp of each object-frame, painted in every frame or only in that which shows most of the object."""
        assert self.prior is not None
        crops, (b, t) = inputs.crops, inputs.coarse.shape[:2]
        planes = torch.stack([crops.visible, in_front(crops)], dim=2)
        given = torch.cat([_colours(crops), planes], dim=2)
        if self.config.per == "track":
            best = reduce(crops.visible * crops.known[..., None, None], "b t s r -> b t", "sum").argmax(dim=1)
            given = given[torch.arange(b, device=best.device), best][:, None]
        frames = given.shape[1]
        cells = self.prior.cells(given.device)
        given = interpolate(
            rearrange(given, "b t c s r -> (b t) c s r"), size=(cells, cells), mode="bilinear", antialias=True,
            align_corners=False,
        )  # fmt: skip
        noise = repeat(self.prior.noise(inputs.noise, inputs.coarse), "b c z w -> (b t) c z w", t=frames)
        nameless = torch.full((b * frames,), -1, device=given.device)
        prior = self.prior(given[:, :3], given[:, 3], given[:, 4], nameless, noise, steps)
        return rearrange(prior, "(b t) g k -> b t g k", b=b).expand(-1, t, -1, -1)

    def load_pretrained(self) -> None:
        """Put the DiffSP of the segmenter that ``config.diffsp`` names in; InputError if it cannot be had, or if a
        DiffSP of our own is to be used and none is named: it learns with a segmenter."""
        if self.prior is None:
            return
        if self.prior.given is not None:
            self.prior.given.on(torch.device("cpu"))
            return
        assert self.prior.own is not None
        if self.config.diffsp is None:
            raise InputError(
                "head.diffsp: name a trained AISDiff segmenter (aisdiff is bundled, configs/aisdiff.yaml trains one), "
                "or set head.prior.diffsp to a Stable-Diffusion inpainting model, or head.shape_prior to false"
            )
        from vidamodal.models.folder import find_model  # which imports the heads

        path = find_model(self.config.diffsp) / "model.safetensors"
        try:
            found = {k.removeprefix(OWN): v for k, v in load_file(path).items() if k.startswith(OWN)}
        except (OSError, SafetensorError) as error:
            raise InputError(f"head.diffsp: {path} cannot be read as safetensors: {error}") from error
        if "vocabulary.weight" in found:
            found["vocabulary.weight"] = found["vocabulary.weight"][:2]  # which are no labels
        wanted = self.prior.own.state_dict()
        if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in wanted.items()}:
            raise InputError(f"head.diffsp: {path} holds no DiffSP of the sizes that head.prior asks for")
        self.prior.own.load_state_dict(found)


OWN = "prior.own."
"""Where a segmenter keeps its DiffSP."""


def _colours(crops: TrackCrops) -> Float[Tensor, "b t 3 s s"]:
    if crops.image.shape[2] != 3:
        raise InputError("this head reads pixels, and this input has masks alone")
    return crops.image
