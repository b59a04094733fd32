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
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, normalize

from vidamodal.noise import Noise
from vidamodal.occlusion.layers import layers_from_masks
from vidamodal.segmenters.aisdiff.config import AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.detector import Detector, Proposals
from vidamodal.segmenters.aisdiff.diffsp import DiffSP
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth, RegionSamples
from vidamodal.segmenters.aisdiff.networks import AmodalPredictor, Branch
from vidamodal.segmenters.aisdiff.roi import enlarged, mask_overlaps, paste_masks, roi_align, suppress
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.types import FrameInstance, InputError

JITTER = 0.06
"""How far regions are off in training, in sides (standard deviation)."""
HIDDEN, SHIFT = 0.8, 0.7
"""Share of objects that are hidden a second time to learn painting, and up to how many sides off what hides them is."""


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


class AISDiffSegmenter(FrameSegmenter):
    """Whole frames to instances in layers.

    Visible masks do not overlap: a cell goes to the instance with the greatest score times probability. Layers follow
    from the visible and the amodal masks. An instance's score is the detector's, times the expected IoU of its amodal
    mask under the predictor's probabilities; its appearance is the region's feature and that of its visible branch,
    averaged. Priors are drawn anew in each frame: who is who is only found out from what this gives.
    """

    ID = "aisdiff"
    config_class = AISDiffSegmenterConfig

    def __init__(self, config: AISDiffSegmenterConfig) -> None:
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
        self.config: AISDiffSegmenterConfig = config
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

    def learn(self, truth: FrameGroundTruth, regions: int, noise: Noise) -> dict[str, Tensor]:
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
        drawn = RegionSamples.of(truth, regions, JITTER, noise)
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

    def learn_to_paint(self, truth: FrameGroundTruth, regions: int, noise: Noise) -> Float[Tensor, ""]:
        """The sum of DiffSP's losses over so many objects of each picture.

        Objects are painted whole, and nobody knows the colours of what is really hidden: those cells are left out of
        the loss. Instead most objects are hidden a second time, behind the silhouette of another one of the picture,
        where the colours are known.
        """
        assert self.prior is not None
        cells = self.config.prior.cells
        drawn = RegionSamples.of(truth, regions, JITTER, noise)
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
        self, drawn: RegionSamples, boxes: Float[Tensor, "n 4"], shift: Float[Tensor, "n 2"], pictures: int, cells: int
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
        layers, _ = layers_from_masks(visible[kept], amodal[kept])
        names = [self.config.labels[k] if k >= 0 else None for k in label.tolist()]
        out = [
            FrameInstance(visible[k], amodal[k], int(layer), names[k], float(scores[k]), appearance[k])
            for k, layer in zip(kept, layers, strict=True)
        ]
        return sorted(out, key=lambda each: (each.layer, -each.score))


def _cross_entropy(logits: Float[Tensor, "n m m"], truth: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """The mean over each region."""
    return binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").mean(dim=(1, 2))


def _expected_iou(probability: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """Of the mask from one half up, where each cell is inside with its probability, by itself."""
    inside = (probability > 0.5).to(probability.dtype)
    shared = (probability * inside).sum(dim=(1, 2))
    return shared / (inside.sum(dim=(1, 2)) + (probability * (1 - inside)).sum(dim=(1, 2))).clamp_min(1e-6)
