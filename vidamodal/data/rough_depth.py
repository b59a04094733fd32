"""Exact disparity made as rough as that of monocular depth models, for training.

Scale, shift and single wrong frames need no treatment: `vidamodal.occlusion.evidence.depth_planes` cancels the first
two. Quantisation, halos at edges and objects that the depth model misses are left out on purpose: they measure how a
trained model takes to degradations that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter

from vidamodal.geometry import Window, paste

USED = 0.7
"""Probability of each degradation."""

GAMMA = (0.6, 1.5)
"""Smallest and largest exponent of the disparity: the response curve of a depth model."""

GAMMA_FLICKER = 0.1
"""Standard deviation of the logarithm of the exponent from frame to frame."""

BLUR = 0.02
"""Largest side of the box filter that blurs a frame twice, relative to the larger side of the image."""

WARP, WARP_CELLS = 0.015, 24
"""Standard deviation of the displacement of edges, relative to the larger side, and the cells in which it is drawn."""

OFFSET, OFFSET_FREEDOM = 0.06, 3.0
"""Scale of an object's offset, as a share of the clip's range, and the degrees of freedom of its Student's t
distribution: its heavy tails put some objects into the wrong order."""

NOISE, NOISE_CELLS = 0.08, 5
"""Standard deviation of low-frequency noise, as a share of the range, and the cells in which it is drawn."""

FLICKERING = 0.4
"""Share of the warp and of the noise that changes from frame to frame."""

UNKNOWN = 0.2
"""Probability that a run of at most half of the frames has no disparity."""


def degrade_depth(
    disparity: Float[np.ndarray, "t h w"],
    masks: Bool[np.ndarray, "n t h w"],
    rng: np.random.Generator,
    strength: float = 1.0,
) -> Float[np.ndarray, "t h w"]:
    """Return the disparity of a clip as a monocular depth model might estimate it.

    Each degradation is used with probability `USED`: objects are shifted and flattened, a response curve is applied,
    edges are displaced and blurred, low-frequency noise is added, and some frames are unknown.

    Args:
        disparity: Disparity of every pixel; larger is nearer.
        masks: Visible masks of the n objects that may be shifted and flattened.
        rng: Source of randomness.
        strength: Factor of all degradations in [0, 1]; 0 changes nothing.

    Returns:
        The degraded disparity, with nan in unknown frames.
    """
    low, high = np.percentile(disparity[:, ::4, ::4], (1, 99))
    if strength == 0 or not high > low:
        return np.asarray(disparity, dtype=np.float32)
    values = ((disparity - low) / (high - low)).astype(np.float32)
    moved, *others = rng.random(1 + len(_STEPS)) < USED
    if moved:
        _move_objects(values, masks, rng, strength)
    for step, used in zip(_STEPS, others, strict=True):
        if used:
            values = step(values, rng, strength)
    values = values * np.float32(high - low) + np.float32(low)
    if rng.random() < UNKNOWN * strength:
        first, count = rng.integers(len(values)), rng.integers(1, len(values) // 2 + 2)
        values[first : first + count] = np.nan
    return np.asarray(values)


def _move_objects(
    values: Float[np.ndarray, "t h w"], masks: Bool[np.ndarray, "n t h w"], rng: np.random.Generator, strength: float
) -> None:
    """Shift and flatten objects in place, each by amounts that hold for the whole clip."""
    for mask in masks:
        areas = np.count_nonzero(mask, axis=(1, 2))
        means = (values * mask).sum(axis=(1, 2)) / np.maximum(areas, 1)
        kept = 1 - strength * rng.random()
        shift = (1 - kept) * means + OFFSET * strength * rng.standard_t(OFFSET_FREEDOM)
        values[mask] = kept * values[mask] + np.repeat(shift, areas)


def _bend(values: Float[np.ndarray, "t h w"], rng: np.random.Generator, strength: float) -> Float[np.ndarray, "t h w"]:
    """Apply a response curve that changes a little from frame to frame."""
    exponent = rng.uniform(*np.log(GAMMA)) + rng.normal(0, GAMMA_FLICKER, (len(values), 1, 1))
    return np.asarray(np.maximum(values, 0) ** np.exp(strength * exponent).astype(np.float32))


def _warp(values: Float[np.ndarray, "t h w"], rng: np.random.Generator, strength: float) -> Float[np.ndarray, "t h w"]:
    """Displace the edges."""
    height, width = values.shape[1:]
    amount = WARP * strength * rng.random() * max(height, width)
    out = np.empty_like(values)
    fields = (_smooth_fields(rng, values.shape, WARP_CELLS) for _ in range(2))
    for t, (down, right) in enumerate(zip(*fields, strict=True)):
        rows = np.arange(height)[:, None] + np.rint(amount * down).astype(np.intp)
        columns = np.arange(width) + np.rint(amount * right).astype(np.intp)
        out[t] = values[t, rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return out


def _blur(values: Float[np.ndarray, "t h w"], rng: np.random.Generator, strength: float) -> Float[np.ndarray, "t h w"]:
    """Blur every frame with a tent filter."""
    side = 1 + int(BLUR * strength * rng.random() * max(values.shape[1:]))
    for _ in range(2):
        values = uniform_filter(values, (1, side, side), mode="nearest")
    return values


def _add_noise(
    values: Float[np.ndarray, "t h w"], rng: np.random.Generator, strength: float
) -> Float[np.ndarray, "t h w"]:
    """Add noise of low frequency."""
    amount = np.float32(NOISE * strength * rng.random())
    return np.asarray(values + amount * np.stack(list(_smooth_fields(rng, values.shape, NOISE_CELLS))))


_STEPS = (_bend, _warp, _blur, _add_noise)


def _smooth_fields(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Iterator[Float[np.ndarray, "h w"]]:
    """Yield a smooth random field for each frame, of a lasting and a changing part."""
    frames, height, width = shape
    window = Window((width / 2, height / 2), (width, height))
    lasting = rng.standard_normal((cells, cells))
    for _ in range(frames):
        changing = rng.standard_normal((cells, cells))
        grid = np.sqrt(1 - FLICKERING) * lasting + np.sqrt(FLICKERING) * changing
        yield paste(grid.astype(np.float32), window, height, width)[2]
