"""Evidence of what is in front of an object: the order of the listed objects, and the depth of every pixel.

Two objects are ordered by how many pixels one extends, or is predicted to extend, under the other: throughout,
``evidence[t, i, j]`` is the number of pixels by which object i extends under the visible mask of object j in frame t.
Depth is compared with the object's own in each cell of its window: see `compare_depth`. `gather_evidence` joins all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, label, uniform_filter

from vidamodal.geometry import Window, paste
from vidamodal.types import FrameOrder

SMOOTHING = 3.0
"""Standard deviation in frames of the Gaussian that pools evidence over time: the order of two objects persists."""

REACH = 12
"""Number of frames before and after a frame that contribute to its evidence."""

DOUBT = 8.0
"""Evidence in pixels that yields a confidence of one half."""

DEPTH_PLANES = 4
"""Channels of `depth_planes`."""

NEARER = 0.1
"""Least difference of disparity, as a share of the window's range, by which a cell is nearer than an object."""

STEEPNESS = 6.0
"""Factor of the relative disparity in the saturated plane, which tells signs apart close to zero."""

OWN_EROSION = 2
"""Cells by which the visible mask is eroded: cells at its border mix the disparities of two surfaces."""

OWN_SMOOTHING = 7
"""Side in cells of the box filter that smooths an object's own disparity."""

LEAST_KNOWN = 0.5
"""Least share of a window's cells with a known disparity that makes a rule of depth: sparse depth shows no surfaces."""

JUMP_REACH = 3
"""Largest distance in cells from the visible mask at which a jump in disparity touches it."""


def extends_under(
    visible: Bool[np.ndarray, "n t h w"], amodal: Bool[np.ndarray, "n t h w"]
) -> Float[np.ndarray, "t n n"]:
    """Return evidence from known masks.

    Only every other row and column is read, at a quarter of the cost; the counts are scaled to all pixels.
    """
    amodal_pixels, visible_pixels = (
        rearrange(masks[:, :, ::2, ::2].astype(np.float32), "n t h w -> t n (h w)") for masks in (amodal, visible)
    )
    evidence = 4.0 * amodal_pixels @ rearrange(visible_pixels, "t n p -> t p n")
    evidence[:, np.arange(len(visible)), np.arange(len(visible))] = 0
    return evidence


def front_confidence(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Return the signed confidence that object j (last axis) lies in front of object i, from evidence.

    Returns:
        Values in (-1, 1) for each frame: positive if j lies in front, negative if it lies behind, 0 if unknown.
    """
    pooled = _pool_over_time(evidence)
    reverse = pooled.transpose(0, 2, 1)
    return np.asarray((pooled - reverse) / (pooled + reverse + DOUBT))


def front_confidence_from_order(order: Sequence[FrameOrder], ids: Sequence[int]) -> Float[np.ndarray, "t n n"]:
    """Return the signed confidence that object j (last axis) lies in front of object i, from a known order.

    Args:
        order: Pairs (front id, back id) of each frame. Pairs with other ids are ignored.
        ids: Ids of the n objects.

    Returns:
        1 and -1 for the listed pairs, 0 for all others.
    """
    places = {key: place for place, key in enumerate(ids)}
    out = np.zeros((len(order), len(ids), len(ids)), dtype=np.float16)
    for t, pairs in enumerate(order):
        for front, back in pairs:
            if front in places and back in places:
                out[t, places[back], places[front]] = 1
                out[t, places[front], places[back]] = -1
    return out


def occluder_weights(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Return the weight with which object j (last axis) may occlude object i, from evidence of independent completions.

    If two objects are each completed under the other, at most one of the completions is right. The weaker one is
    scaled by the ratio of the two.

    Returns:
        Weights in [0, 1] for each frame.
    """
    pooled = _pool_over_time(evidence)
    # One pixel is added to both, so that a ratio of almost nothing means nothing.
    return np.asarray(np.minimum(1.0, (pooled + 1) / (pooled.transpose(0, 2, 1) + 1)))


def label_weights(
    evidence: Float[np.ndarray, "t m m"], places: Sequence[int], exhaustive: bool, constrain: bool = True
) -> Float[np.ndarray, "t n labels"]:
    """Return the weight with which each of n objects may extend under each label; label 0 is no object.

    In an exhaustive scene nothing is occluded where no object is visible, and no object is occluded by one that lies
    behind it. This applies after the network: inside its loss it gained nothing and spoiled the raw output.

    Args:
        evidence: Evidence of all m objects, which have the labels 1 to m.
        places: The n objects, by their place among all.
        exhaustive: True if pixels without a label certainly show no object.
        constrain: False for weights of 1.
    """
    weights = np.ones((len(evidence), len(places), evidence.shape[2] + 1))
    if constrain:
        weights[:, :, 1:] = occluder_weights(evidence)[:, places]
        weights[:, :, 0] = not exhaustive
    return weights


@dataclass(frozen=True)
class DepthComparison:
    """The disparity in the window of an object, compared with the object's own."""

    relative: Float[np.ndarray, "s s"]
    """Disparity minus the object's own, over the range of the window; 0 where unknown."""
    known: Bool[np.ndarray, "s s"]
    touching: Bool[np.ndarray, "s s"]
    """Cells in front of the object: see `touching_jump`."""
    own: Float[np.ndarray, "s s"]
    """Disparity of the object: that of the nearest cell inside its visible mask, smoothed."""
    spread: float
    """Range (5 to 95 %) of the window's disparities."""

    def is_dense(self, inside: Float[np.ndarray, "s s"]) -> bool:
        """Return whether most of the part of the window that lies inside the image has a known disparity."""
        return bool(self.known.sum() >= LEAST_KNOWN * inside.sum())

    def planes(self) -> Float[np.ndarray, "4 s s"]:
        """Return the planes that models read: see `depth_planes`."""
        saturated, half = np.tanh(STEEPNESS * self.relative), np.clip(self.relative / 2, -1, 1)
        return np.stack([saturated, half, self.known, self.touching]).astype(np.float32)


def depth_planes(disparity: Float[np.ndarray, "s s"], visible: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "4 s s"]:
    """Describe how much nearer each cell of a window is than the object, whatever scale and shift the disparity has.

    Args:
        disparity: Disparity of each cell, larger where the surface is nearer; nan where it is unknown.
        visible: Share of each cell that the visible mask of the object covers.

    Returns:
        Four planes: the relative disparity saturated by a hyperbolic tangent; half the relative disparity, clipped to
        [-1, 1]; 1 where the disparity is known; and 1 on unlisted occluders as `touching_jump` finds them. All are 0
        where the disparity is unknown, and everywhere if there is no comparison: see `compare_depth`.
    """
    comparison = compare_depth(disparity, visible)
    return np.zeros((DEPTH_PLANES, *disparity.shape), np.float32) if comparison is None else comparison.planes()


def compare_depth(disparity: Float[np.ndarray, "s s"], visible: Float[np.ndarray, "s s"]) -> DepthComparison | None:
    """Compare the disparity in the window of an object with the object's own.

    The arguments are those of `depth_planes`.

    Returns:
        None if nothing of the object is visible, if its disparity is unknown, or if all disparities are the same.
    """
    mask, known = visible > 0.5, np.isfinite(disparity)
    core = _eroded(mask & known)
    if not core.any():
        return None
    values = disparity[known]
    places = round(0.05 * (len(values) - 1)), round(0.95 * (len(values) - 1))
    low, high = np.partition(values, places)[list(places)]
    spread = float(high - low)
    if not spread > 1e-6 * max(abs(low), abs(high)):
        return None
    rows, columns = distance_transform_edt(~core, return_distances=False, return_indices=True)
    own = uniform_filter(disparity[rows, columns], OWN_SMOOTHING, mode="nearest")
    relative = np.where(known, (disparity - own) / spread, 0).astype(np.float32)
    return DepthComparison(relative, known, touching_jump(relative, mask), own, spread)


def touching_jump(relative: Float[np.ndarray, "s s"], mask: Bool[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    """Return the cells of surfaces that lie in front of an object and touch its visible mask with a jump in disparity.

    The ground in front of an object touches it too, but there the disparity grows gradually: a jump is a slope of at
    least `NEARER` a cell.

    Args:
        relative: Disparity of each cell minus that of the object, over the range of the window.
        mask: Visible mask of the object.
    """
    nearer = (relative > NEARER) & ~mask
    seeds = np.zeros_like(mask)
    ring = mask
    for distance in range(1, JUMP_REACH + 1):
        ring = _dilated(ring)
        seeds |= ring & (relative > distance * NEARER)
    seeds &= nearer
    if not seeds.any():
        return seeds
    components, count = label(nearer, np.ones((3, 3)))
    touching = np.zeros(count + 1, dtype=bool)
    touching[components[seeds]] = True
    return np.asarray(touching[components])


@dataclass(frozen=True)
class WindowMasks:
    """Visible masks of the listed objects in the window of one of them, as covered shares of the cells."""

    own: Float[np.ndarray, "s s"]
    """The object itself; zero if its visible mask is unknown."""
    taken: Float[np.ndarray, "s s"]
    """All listed objects."""
    inside: Float[np.ndarray, "s s"]
    """The image."""
    order: Float[np.ndarray, "s s"]
    """On the others, the evidence that they lie in front (1) or behind (-1)."""


@dataclass(frozen=True)
class WindowEvidence:
    """What is known of the cells around an object: who is in front, what is behind; the rest is unknown."""

    others: Float[np.ndarray, "s s"]
    """Share of each cell that others cover: the candidate occluders."""
    background: Float[np.ndarray, "s s"]
    """Share that certainly shows no object, where nothing can be occluded."""
    order: Float[np.ndarray, "s s"]
    """On the others, the evidence that they lie in front (1) or behind (-1)."""


def gather_evidence(masks: WindowMasks, exhaustive: bool, comparison: DepthComparison | None = None) -> WindowEvidence:
    """Gather what masks, order, the kind of scene and depth say of the cells around an object.

    Args:
        masks: The masks of all listed objects in the window.
        exhaustive: True if pixels without a label certainly show no object.
        comparison: Depth as a rule for partial scenes: unlisted surfaces that touch the object and are nearer are
            occluders, and all others whose depth is known are background. None for no such rule.
    """
    others = np.maximum(masks.taken - masks.own, 0)
    free = np.maximum(masks.inside - masks.taken, 0)
    if exhaustive:
        return WindowEvidence(others, free, masks.order)
    if comparison is None:
        return WindowEvidence(others, np.zeros_like(free), masks.order)
    occluder = free * comparison.touching
    background = free * (comparison.known & ~comparison.touching)
    return WindowEvidence(others + occluder, background, masks.order + occluder)


def open_pixels(
    comparison: DepthComparison, window: Window, disparity: Float[np.ndarray, "h w"]
) -> tuple[slice, slice, Bool[np.ndarray, "p q"]]:
    """Return the pixels of a window under which an object may extend by the rule of `gather_evidence`.

    These are the pixels of touching, nearer surfaces, and those without a disparity.

    Args:
        comparison: The comparison in the cells of the window.
        window: The window.
        disparity: Disparity of the frame.

    Returns:
        The rows and the columns that the window covers, and the pixels there.
    """
    rows, columns, own = paste(comparison.own, window, *disparity.shape)
    close = paste(_dilated(comparison.touching).astype(np.float32), window, *disparity.shape)[2] > 0
    values = disparity[rows, columns]
    nearer = (values - own) > NEARER * comparison.spread
    return rows, columns, (close & nearer) | ~np.isfinite(values)


def _eroded(mask: Bool[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    """Return the mask eroded by at most `OWN_EROSION` cells, by as many as leave any of it."""
    for _ in range(OWN_EROSION):
        smaller = ~_dilated(~mask)
        if not smaller.any():
            break
        mask = smaller
    return mask


def _dilated(mask: Bool[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    """Return the mask and its four neighbours; faster than scipy on small grids."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _pool_over_time(evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n n"]:
    """Add up the evidence of each frame and its neighbours, weighted by a Gaussian."""
    if len(evidence) < 2:
        return evidence
    return np.asarray(gaussian_filter1d(evidence, SMOOTHING, axis=0, mode="constant", radius=REACH))
