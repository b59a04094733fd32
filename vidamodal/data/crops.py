"""Model inputs cut out of masks and images, the same in training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from vidamodal.geometry import Cropper, Windows
from vidamodal.occlusion.evidence import DEPTH_PLANES, DepthComparison, WindowMasks, compare_depth, gather_evidence
from vidamodal.runs import LabelRuns, Runs

BOX_NUMBERS = 8
"""Numbers that describe an object's window in one frame: see `box_numbers`."""

VELOCITY = slice(3, 5)
"""Places of the numbers that tell how far the window moves in a frame."""

EXHAUSTIVE = 7
"""Place of the number that tells exhaustive scenes from partial ones."""

PLANES = 6
"""Channels of `TrackCrops.planes`."""


@dataclass(frozen=True)
class TrackCrops:
    """Model inputs of b tracks over t frames, in windows of s x s cells; masks hold the covered share of each cell."""

    visible: Float[Tensor, "b t s s"]
    """Visible mask of the object; zero in frames in which it is unknown."""
    others: Float[Tensor, "b t s s"]
    """Union of the visible masks of all other objects: the candidate occluders."""
    edges: Float[Tensor, "b t s s"]
    """Borders between the visible masks of two objects, or of an object and the background: `others` lacks them."""
    inside: Float[Tensor, "b t s s"]
    """Share of the cell that lies inside the image."""
    background: Float[Tensor, "b t s s"]
    """Pixels that certainly show no object, where nothing can be occluded; zero if the scene is partial."""
    order: Float[Tensor, "b t s s"]
    """On the other objects' visible masks, the evidence that they lie in front (1) or behind (-1)."""
    image: Float[Tensor, "b t c s s"]
    """Colours (red, green, blue) in [0, 1]; c = 0 if the model reads no pixels."""
    depth: Float[Tensor, "b t d s s"]
    """Evidence from depth (`vidamodal.occlusion.evidence.depth_planes`); zero where unknown. d = 0 if the model reads
    none."""
    known: Float[Tensor, "b t"]
    """1 in frames in which the visible mask is known, else 0."""
    box: Float[Tensor, "b t n"]
    """Description of the window: see `box_numbers`."""
    time: Float[Tensor, "b t"]
    """Frame numbers, relative to the middle of the clip."""
    valid: Bool[Tensor, "b t"]
    """False in frames that only pad the batch."""

    def to(self, device: torch.device | str) -> TrackCrops:
        """Return the crops on another device."""
        return TrackCrops(*(getattr(self, f.name).to(device) for f in fields(self)))

    def alone(self) -> TrackCrops:
        """Return the crops without any channel that describes other objects."""
        nothing = torch.zeros_like(self.others)
        depth = torch.zeros_like(self.depth)
        return replace(self, others=nothing, edges=nothing, background=nothing, order=nothing, depth=depth)

    def occluders(self) -> Float[Tensor, "b t s s"]:
        """Return the visible masks of all other objects except those known to lie behind this one."""
        return self.others * (self.order >= 0)

    def planes(self) -> Float[Tensor, "b t c s s"]:
        """Return the mask channels, followed by ``known`` as a constant channel."""
        known = self.known[..., None, None].expand_as(self.visible)
        return torch.stack([self.visible, self.others, self.edges, self.inside, self.background, known], dim=2)


MAPS = ("visible", "others", "edges", "inside", "background", "order", "image", "depth")
"""Fields of `TrackCrops` that have rows and columns."""


def mirrored(crops: TrackCrops) -> TrackCrops:
    """Return the crops of the mirrored image."""
    box = crops.box.clone()
    box[..., [0, 3]] *= -1
    return replace(crops, box=box, **{name: getattr(crops, name).flip(-1) for name in MAPS})


def halve(maps: Float[Tensor, "b t c s r"]) -> Float[Tensor, "bt d h w"]:
    """Halve the resolution of crops and fold the cells into four times the channels."""
    return nn.functional.pixel_unshuffle(rearrange(maps, "b t c s r -> (b t) c s r"), 2)


def boxes_and_areas(
    masks: Bool[np.ndarray, "n t h w"],
) -> tuple[Float[np.ndarray, "n t 4"], Float[np.ndarray, "n t"]]:
    """Return the boxes (top, left, bottom, right; nan for empty masks) and the areas of masks, in pixels."""
    rows = np.asarray(masks.any(axis=3))
    columns = np.asarray(masks.any(axis=2))
    height, width = masks.shape[2:]
    boxes = np.stack(
        [
            rows.argmax(axis=2),
            columns.argmax(axis=2),
            height - rows[..., ::-1].argmax(axis=2),
            width - columns[..., ::-1].argmax(axis=2),
        ],
        axis=2,
    ).astype(np.float64)
    areas = np.count_nonzero(masks, axis=(2, 3)).astype(np.float64)
    boxes[areas == 0] = np.nan
    return boxes, areas


def box_numbers(
    windows: Windows, areas: Float[np.ndarray, "n t"], height: int, width: int, exhaustive: bool
) -> Float[np.ndarray, "n t 8"]:
    """Describe each window by eight numbers.

    Args:
        windows: Windows of n tracks over t frames.
        areas: Visible areas in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        exhaustive: True if every object that may occlude another is listed.

    Returns:
        Position (x, y) of the centre relative to the image, log2 of the side over the image's height, velocity (x, y)
        in sides per frame, four times the visible area over the window's, whether the object is visible, and whether
        the scene is exhaustive.
    """
    out = np.zeros((*areas.shape, BOX_NUMBERS), dtype=np.float32)
    out[..., :2] = windows.center / (width, height) - 0.5
    out[..., 2] = np.log2(windows.areas) / 2 - np.log2(height)
    if areas.shape[1] > 1:
        velocity = np.diff(windows.center, axis=1) / windows.side[:, 1:]
        out[..., VELOCITY] = np.concatenate([velocity[:, :1], velocity], axis=1)
    out[..., 5] = 4 * areas / windows.areas
    out[..., 6] = areas > 0
    out[..., EXHAUSTIVE] = exhaustive
    return out


@dataclass(frozen=True)
class FrameMap:
    """Visible masks of all listed objects in one frame."""

    labels: LabelRuns
    """Number of the object that each pixel shows; 0 for none."""
    image: UInt8[np.ndarray, "h w 3"] | None = None
    """Colours of the frame; None if the model reads no pixels."""
    disparity: Float[np.ndarray, "h w"] | None = None
    """One over the depth, up to scale and shift; nan where unknown. None if all of it is unknown."""


@dataclass(frozen=True)
class FrameCrops:
    """Input channels of one object-frame: see `TrackCrops`."""

    visible: Float[np.ndarray, "s s"]
    others: Float[np.ndarray, "s s"]
    edges: Float[np.ndarray, "s s"]
    inside: Float[np.ndarray, "s s"]
    background: Float[np.ndarray, "s s"]
    order: Float[np.ndarray, "s s"]
    image: Float[np.ndarray, "c s s"]
    depth: Float[np.ndarray, "d s s"]
    comparison: DepthComparison | None = None
    """The comparison that was used as a rule: every cell whose depth is known is then an occluder or background."""


def cut_frame(
    cropper: Cropper,
    visible: Runs | None,
    frame: FrameMap,
    exhaustive: bool,
    front: Float[np.ndarray, " labels"] | None = None,
    depth: bool = False,
    rule: bool = False,
) -> FrameCrops:
    """Cut the input channels of one object out of a frame.

    Args:
        cropper: Window of the object.
        visible: Visible mask of the object; None if unknown.
        frame: Visible masks of all listed objects, this one included.
        exhaustive: True if pixels without a label certainly show no object.
        front: Confidence for each label that its object lies in front (1) or behind (-1); 0 if unknown, and for label
            0 and the object itself. None if nothing is known.
        depth: True to make the planes of depth, which are zero if the frame has no disparity.
        rule: True to tell occluders from the background by depth in partial scenes: see
            `vidamodal.occlusion.evidence.gather_evidence`.
    """
    inside = cropper.inside
    nothing = np.zeros_like(inside)
    own = nothing if visible is None else cropper.cut(visible.pieces)
    labels = frame.labels
    if front is not None and front.any():
        taken, order = cropper.cut_values(labels.pieces, [None, front[labels.piece_labels]])
    else:
        taken, order = cropper.cut(labels.pieces), nothing
    comparison = _compare_depth(cropper, own, frame.disparity) if depth or rule else None
    decisive = comparison if rule and not exhaustive and comparison and comparison.is_dense(inside) else None
    masks = WindowMasks(own, taken, inside, order)
    evidence = gather_evidence(masks, exhaustive, decisive)
    return FrameCrops(
        own,
        evidence.others,
        cropper.cut(labels.borders.pieces),
        inside,
        evidence.background,
        evidence.order,
        np.zeros((0, *inside.shape), np.float32) if frame.image is None else cropper.cut_image(frame.image),
        _depth_planes(comparison, inside.shape) if depth else np.zeros((0, *inside.shape), np.float32),
        decisive,
    )


def _compare_depth(
    cropper: Cropper, visible: Float[np.ndarray, "s s"], disparity: Float[np.ndarray, "h w"] | None
) -> DepthComparison | None:
    """Compare the depth in a window with the object's own; None if either is unknown."""
    if disparity is None or not visible.any():
        return None
    return compare_depth(cropper.pick(disparity, outside=np.float32(np.nan)), visible)


def _depth_planes(comparison: DepthComparison | None, shape: tuple[int, ...]) -> Float[np.ndarray, "4 s s"]:
    return np.zeros((DEPTH_PLANES, *shape), np.float32) if comparison is None else comparison.planes()


def stack_crops(
    frames: Sequence[Sequence[FrameCrops]],
    known: Bool[np.ndarray, "b t"],
    box: Float[np.ndarray, "b t 8"],
    time: Float[np.ndarray, "b t"],
) -> TrackCrops:
    """Stack the crops of b tracks over t frames to tensors.

    Args:
        frames: Crops of each track in each frame.
        known: True where the visible mask is known.
        box: Numbers of each window: see `box_numbers`.
        time: Frame numbers, relative to the middle of the clip.
    """

    def planes(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.stack([getattr(f, name) for f in track]) for track in frames])).float()

    return TrackCrops(
        planes("visible"),
        planes("others"),
        planes("edges"),
        planes("inside"),
        planes("background"),
        planes("order"),
        planes("image"),
        planes("depth"),
        torch.from_numpy(np.asarray(known, dtype=np.float32)),
        torch.from_numpy(np.asarray(box, dtype=np.float32)),
        torch.from_numpy(np.asarray(time, dtype=np.float32)),
        torch.ones(known.shape, dtype=torch.bool),
    )
