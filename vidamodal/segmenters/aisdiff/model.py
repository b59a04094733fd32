"""AISDiff (2024): amodal instances of a frame with a shape prior from diffusion.

As in the paper:

- A detector proposes regions (section 3.1).
- Two branches per region, as in BCNet, segment the occluders and the visible part; the latter also classifies.
- DiffSP inpaints the object and returns a shape prior (see `vidamodal.segmenters.aisdiff.diffsp`). The product of a
  learned attention map, this prior and the amodal feature predicts the amodal mask (section 3.2, Fig. 3).
- All parts are trained together by Eq. 1. Its detection loss is that of FCOS here.

Choices where the paper is silent: regions are slightly larger than their boxes; graphs are complete over the cells of
a region; the occluder mask is the union of the visible masks of all occluders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, normalize

from vidamodal.errors import InputError
from vidamodal.noise import Noise
from vidamodal.occlusion.layers import layers_from_masks
from vidamodal.segmenters.aisdiff.config import AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.detector import Detector, Proposals
from vidamodal.segmenters.aisdiff.diffsp import DiffSP, ObjectCrops
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth, RegionSamples
from vidamodal.segmenters.aisdiff.mask_branches import AmodalPredictor, Branch
from vidamodal.segmenters.aisdiff.roi import enlarge_boxes, mask_overlaps, paste_masks, roi_align, suppress
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.types import FrameInstance

JITTER = 0.06
"""Standard deviation of the sides of training regions, relative to the size of the box."""
OCCLUDED_SHARE = 0.8
"""Share of objects that get an additional occluder when DiffSP is trained."""
MAX_SHIFT = 0.7
"""Maximum shift of the additional occluder, in sides of its region."""


@dataclass(frozen=True)
class Regions:
    """Output of the occluding and the visible branch for n regions; masks are logits with m cells per side."""

    boxes: Float[Tensor, "n 4"]
    """Boxes, enlarged by the margin."""
    image: Int[Tensor, " n"]
    """Index of the image."""
    features: Float[Tensor, "n c r r"]
    occluding: Float[Tensor, "n m m"]
    visible: Float[Tensor, "n m m"]
    embedding: Float[Tensor, "n c"]
    """Mean of the visible branch's features."""
    labels: Float[Tensor, "n k"]
    """Logits of the categories; k = 0 if there are none."""


@dataclass(frozen=True)
class RegionMasks:
    """Mask probabilities and categories of n regions."""

    visible: Float[Tensor, "n m m"]
    occluding: Float[Tensor, "n m m"]
    label: Int[Tensor, " n"]
    """Index of the category; -1 if there are none."""

    def replaced(self, chosen: Bool[Tensor, " n"], other: RegionMasks) -> RegionMasks:
        """Return the masks with those of the chosen regions replaced by others."""
        return RegionMasks(
            torch.where(chosen[:, None, None], other.visible, self.visible),
            torch.where(chosen[:, None, None], other.occluding, self.occluding),
            torch.where(chosen, other.label, self.label),
        )


class AISDiffSegmenter(FrameSegmenter):
    """Segmenter that detects objects and completes each in its region.

    Visible masks do not overlap: a cell belongs to the instance with the largest product of score and probability.
    Layers follow from the visible and the amodal masks. The score of an instance is that of the detector times the
    expected IoU of its amodal mask; its appearance consists of the mean feature of the region and that of the visible
    branch. Priors are sampled anew in each frame, since identities over time are determined afterwards.
    """

    ID = "aisdiff"
    config_class = AISDiffSegmenterConfig

    def __init__(self, config: AISDiffSegmenterConfig) -> None:
        super().__init__(config)
        _check_config(config)
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
        """Cells per side of the canvas."""
        return self.config.size

    @property
    def trains_prior(self) -> bool:
        """True if the shape prior comes from the small inpainting model, which is trained first."""
        return self.prior is not None and self.prior.own is not None

    def load_pretrained(self) -> None:
        """Load the backbone, the DETR and the inpainting model that the config names, if any."""
        self.detector.load_pretrained()
        if self.prior is not None:
            self.prior.load_external()

    def initialize_as_identity(self, new: set[str]) -> set[str]:
        """Initialise new blocks of the detector's backbone; see `Detector.initialize_as_identity`."""
        prefix = "detector."
        within = {name.removeprefix(prefix) for name in new if name.startswith(prefix)}
        return {prefix + name for name in self.detector.initialize_as_identity(within)}

    def use_diffsp(self, name: str) -> None:
        """Sample shape priors from a Stable-Diffusion inpainting model from now on.

        Args:
            name: Path of a folder, or name of a repository on the Hub.

        Raises:
            InputError: If it cannot be loaded, or if this segmenter has no shape prior.
        """
        if self.prior is None:
            raise InputError("this segmenter has no shape prior, so it cannot use an inpainting model. Leave it out.")
        self.prior.use_external(name)

    @torch.no_grad()
    def segment(self, frames: Float[Tensor, "t 3 s s"], seeds: Sequence[int]) -> list[list[FrameInstance]]:
        """Return the instances of each frame; see `FrameSegmenter.segment`."""
        return [self._segment_frame(frame[None], seed) for frame, seed in zip(frames, seeds, strict=True)]

    def segment_regions(
        self, maps: list[Float[Tensor, "b c _ _"]], boxes: Float[Tensor, "n 4"], image: Int[Tensor, " n"]
    ) -> Regions:
        """Segment the occluders and the visible part of regions.

        Args:
            maps: Pyramid of the images.
            boxes: Boxes of the regions, before enlargement.
            image: Index of each region's image.
        """
        boxes = enlarge_boxes(boxes, self.config.margin)
        features = roi_align(maps[0], boxes, image, self.config.bins, self.detector.stride)
        occluding_features, occluding = self.occluding(features)
        visible_features, visible = self.visible(features + occluding_features)
        embedding = reduce(visible_features, "n c h w -> n c", "mean")
        labels = embedding[:, :0] if self.category is None else self.category(embedding)
        return Regions(boxes, image, features, occluding, visible, embedding, labels)

    def shape_prior(
        self,
        images: Float[Tensor, "b 3 s s"],
        regions: Regions,
        masks: RegionMasks,
        noise: Float[Tensor, "n c z z"],
        steps: int | None = None,
    ) -> Float[Tensor, "n g g"]:
        """Return the shape prior M_sp of each region; arguments as in `DiffSP.forward`."""
        assert self.prior is not None
        size = self.prior.crop_size(images.device)
        crops = roi_align(images, regions.boxes, regions.image, size)
        visible, occluding = (
            interpolate(each[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
            for each in (masks.visible, masks.occluding)
        )
        prior: Tensor = self.prior(ObjectCrops(crops, visible, occluding, masks.label), noise, steps)
        return prior

    def losses(self, truth: FrameGroundTruth, regions: int, noise: Noise) -> dict[str, Tensor]:
        """Return the parts of Eq. 1, each as a sum.

        Args:
            truth: The images.
            regions: Maximum number of regions per image; 0 to train the detector only.
            noise: Random numbers.

        Returns:
            ``places`` and ``sides`` of FCOS (see `fcos_losses`), and ``class``, ``visible``, ``occluding`` and
            ``amodal`` of regions at jittered ground-truth boxes.
        """
        maps = self.detector(truth.image)
        parts: dict[str, Tensor] = {}
        if self.detector.fcos is not None:
            targets = self.detector.targets(truth.boxes, truth.valid)
            focal, centerness, sides = self.detector.losses(maps, targets, truth.labels)
            parts |= {"places": focal + centerness, "sides": sides}
        if regions:
            samples = RegionSamples.sample(truth, regions, JITTER, noise)
            parts |= self._region_losses(truth, maps, samples, noise)
        return parts

    def inpainting_loss(self, truth: FrameGroundTruth, regions: int, noise: Noise) -> Float[Tensor, ""]:
        """Return the sum of DiffSP's losses over objects, which it learns to inpaint as a whole.

        The colours of occluded regions are unknown, so that the loss leaves them out. Instead, the silhouette of
        another object of the image occludes most objects additionally, where the colours are known.

        Args:
            truth: The images.
            regions: Maximum number of objects per image.
            noise: Random numbers.
        """
        assert self.prior is not None
        size = self.config.prior.cells
        samples = RegionSamples.sample(truth, regions, JITTER, noise)
        boxes = enlarge_boxes(samples.boxes, self.config.margin)
        image = roi_align(truth.image, boxes, samples.image, size)
        visible, amodal, occluding = samples.masks_in(boxes, size).unbind(dim=1)
        random = noise.uniform(samples.weight, 3)
        shift = MAX_SHIFT * (2 * random[:, :2] - 1)
        front = _silhouettes_of_others(samples, boxes, shift, len(truth.boxes), size)
        front = front * (random[:, 2] < OCCLUDED_SHARE)[:, None, None]
        known = 1 - (amodal - visible).clamp_min(0)
        crops = ObjectCrops(image, visible * (1 - front), torch.maximum(occluding, front), samples.labels)
        return (samples.weight * self.prior.inpainting_losses(crops, amodal, known, noise)).sum()

    def _region_losses(
        self,
        truth: FrameGroundTruth,
        maps: list[Float[Tensor, "b c _ _"]],
        samples: RegionSamples,
        noise: Noise,
    ) -> dict[str, Tensor]:
        regions = self.segment_regions(maps, samples.boxes, samples.image)
        visible, amodal, occluding = samples.masks_in(regions.boxes, 2 * self.config.bins).unbind(dim=1)
        parts: dict[str, Tensor] = {}
        if self.config.labels:
            losses = cross_entropy(regions.labels.float(), samples.labels.clamp_min(0), reduction="none")
            parts["class"] = (samples.weight * (samples.labels >= 0) * losses).sum()
        parts["visible"] = (samples.weight * _mask_losses(regions.visible, visible)).sum()
        parts["occluding"] = (samples.weight * _mask_losses(regions.occluding, occluding)).sum()
        if self.amodal is not None:
            prior = None
            if self.prior is not None:
                true_masks = RegionMasks(visible, occluding, samples.labels)
                uniform = noise.uniform(truth.boxes, len(samples.weight) // len(truth.boxes))
                chosen = rearrange(uniform, "b r -> (b r)") < self.config.true_masks
                masks = self._region_masks(regions).replaced(chosen, true_masks)
                start = self.prior.initial_noise(noise, samples.weight)
                prior = self.shape_prior(truth.image, regions, masks, start, self.config.learning_steps)
            logits = self.amodal(regions.features, prior)[:, 0]
            parts["amodal"] = (samples.weight * _mask_losses(logits, amodal)).sum()
        return parts

    def _region_masks(self, regions: Regions) -> RegionMasks:
        """Return the predicted probabilities and categories, without gradients."""
        label = torch.full_like(regions.image, -1) if self.category is None else regions.labels.argmax(dim=1)
        visible, occluding = (each.detach().float().sigmoid() for each in (regions.visible, regions.occluding))
        return RegionMasks(visible, occluding, label)

    def _segment_frame(self, image: Float[Tensor, "1 3 s s"], seed: int) -> list[FrameInstance]:
        maps = self.detector(image)
        (proposals,) = self.detector.propose(image, maps)
        count = len(proposals.scores)
        if not count:
            return []
        regions = self.segment_regions(maps, proposals.boxes, torch.zeros(count, dtype=torch.long, device=image.device))
        masks = self._region_masks(regions)
        amodal = masks.visible
        if self.amodal is not None:
            prior = None
            if self.prior is not None:
                noise = self.prior.initial_noise(Noise.of(seed), image).expand(count, -1, -1, -1)
                prior = self.shape_prior(image, regions, masks, noise)
            amodal = self.amodal(regions.features, prior)[:, 0].float().sigmoid()
        return self._assemble(proposals, regions, masks, amodal)

    def _assemble(
        self, proposals: Proposals, regions: Regions, masks: RegionMasks, amodal: Float[Tensor, "n m m"]
    ) -> list[FrameInstance]:
        """Return the instances of a frame on its canvas, the front layer first."""
        scores = proposals.scores.float() * _expected_iou(amodal)
        probability = paste_masks(masks.visible, regions.boxes, self.size)
        distinct = suppress(mask_overlaps(probability > 0.5), scores, self.config.same)
        scores = torch.zeros_like(scores).index_copy(0, distinct, scores[distinct])
        claims = torch.where(probability > 0.5, probability * scores[:, None, None], 0)
        best, owner = claims.max(dim=0)
        numbers = torch.arange(len(scores), device=owner.device)
        visible = ((owner == numbers[:, None, None]) & (best > 0)).cpu().numpy()
        amodal_masks = (paste_masks(amodal, regions.boxes, self.size) > 0.5).cpu().numpy() | visible
        pooled = torch.cat([reduce(regions.features, "n c h w -> n c", "mean"), regions.embedding], dim=1).float()
        appearance = normalize(pooled, dim=1).cpu().numpy()
        large = np.count_nonzero(visible, axis=(1, 2)) >= self.config.least_area
        (kept,) = np.nonzero(large & (scores >= self.config.least_score).cpu().numpy())
        layers, _ = layers_from_masks(visible[kept], amodal_masks[kept])
        names = [self.config.labels[k] if k >= 0 else None for k in masks.label.tolist()]
        instances = [
            FrameInstance(visible[k], amodal_masks[k], int(layer), names[k], float(scores[k]), appearance[k])
            for k, layer in zip(kept, layers, strict=True)
        ]
        return sorted(instances, key=lambda each: (each.layer, -each.score))


def _check_config(config: AISDiffSegmenterConfig) -> None:
    if min(config.bins, config.least_area, config.learning_steps, config.margin) < 1 or config.learning_regions < 0:
        raise ValueError(
            "segmenter.bins, least_area, learning_steps and margin must be at least 1, learning_regions at least 0"
        )
    for name in ("least_score", "same", "true_masks"):
        if not 0 <= getattr(config, name) <= 1:  # also false for NaN
            raise ValueError(f"segmenter.{name} must lie between 0 and 1, not at {getattr(config, name)}")
    if config.learning_regions == 0 and config.detector.proposals != "fcos":
        raise ValueError("segmenter.learning_regions: 0 trains the detector only, but a DETR is not trained")


def _silhouettes_of_others(
    samples: RegionSamples, boxes: Float[Tensor, "n 4"], shift: Float[Tensor, "n 2"], images: int, cells: int
) -> Float[Tensor, "n cells cells"]:
    """Return the visible mask of the next region's object of the same image, shifted by sides of its region."""
    following = torch.arange(len(boxes), device=boxes.device).view(images, -1).roll(-1, dims=1).flatten()
    boxes = boxes[following]
    boxes = boxes + repeat(shift * (boxes[:, 2:] - boxes[:, :2]), "n two -> n (side two)", side=2)
    visible = samples.masks[following, :1] * samples.weight[following, None, None, None]
    return (roi_align(visible, boxes, torch.arange(len(boxes), device=boxes.device), cells)[:, 0] >= 0.5).float()


def _mask_losses(logits: Float[Tensor, "n m m"], truth: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """Return the binary cross-entropy of each region."""
    return binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").mean(dim=(1, 2))


def _expected_iou(probability: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """Return the expected IoU of the mask above one half, for independent cells."""
    inside = (probability > 0.5).to(probability.dtype)
    shared = (probability * inside).sum(dim=(1, 2))
    return shared / (inside.sum(dim=(1, 2)) + (probability * (1 - inside)).sum(dim=(1, 2))).clamp_min(1e-6)
